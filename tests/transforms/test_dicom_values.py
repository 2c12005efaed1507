"""Values that occur, by what they should mean, read from bytes written by hand or by pydicom."""

import struct

import pytest
from pydicom.tag import Tag

from transforms.dicom_elements import Budget, Encoding
from transforms.dicom_values import DataSet, integer, integers, item, number, numbers, read_data_set, text, texts
from transforms.errors import InputError

LITTLE = Encoding(is_implicit=False, order='<')


def element(keyword: str, vr: str, value: bytes) -> bytes:
  """An element as no writer might write it."""
  tag = Tag(keyword)
  form = '<HH2sHI' if vr in ('UN', 'OB', 'SQ') else '<HH2sH'
  lengths = (0, len(value)) if vr in ('UN', 'OB', 'SQ') else (len(value),)
  return struct.pack(form, tag.group, tag.element, vr.encode(), *lengths) + value


def read(*elements: bytes) -> DataSet:
  data = b''.join(elements)
  return read_data_set(data, 0, len(data), LITTLE, Budget(100, 10))


def sequence(keyword: str, *items: bytes) -> bytes:
  inside = b''.join(struct.pack('<HHI', 0xFFFE, 0xE000, len(item)) + item for item in items)
  return element(keyword, 'SQ', inside)


@pytest.mark.parametrize(
  ('value', 'expected'),
  [
    (b'CHEST ', ['CHEST']),
    (b' CHEST\0', ['CHEST']),
    (b'', []),
    (b'  ', ['']),
    (b'A\\ B\\', ['A', 'B', '']),
    (b'\\B', ['', 'B']),
  ],
)
def test_texts(value: bytes, expected: list[str]) -> None:
  dataset = read(element('BodyPartExamined', 'CS', value))
  assert texts(dataset, 'BodyPartExamined') == expected
  assert text(dataset, 'BodyPartExamined') == ((expected or [''])[0] or None)
  assert text(dataset, 'Modality') is None


@pytest.mark.parametrize('vr', ['UN', 'LO', 'OB'])
def test_text_of_another_vr(vr: str) -> None:
  assert text(read(element('PatientID', vr, b'A1')), 'PatientID') == (None if vr == 'OB' else 'A1')


@pytest.mark.parametrize(
  ('character_set', 'value', 'expected'),
  [
    ('ISO_IR 100', b'M\xfcller', 'Müller'),
    ('ISO_IR 192', 'Müller'.encode(), 'Müller'),
    ('', b'M\xfcller', 'Müller'),
    ('NONSENSE', b'M\xfcller', 'Müller'),
    ('GB18030', '王\\小'.encode('gb18030'), '王'),
    ('GB18030', '乗'.encode('gb18030'), '乗'),  # its second byte is a backslash
    ('\\ISO 2022 IR 87', b'\x1b$B;3ED\x1b(B', '山田'),
  ],
)
def test_text_in_its_character_set(character_set: str, value: bytes, expected: str) -> None:
  declared = element('SpecificCharacterSet', 'CS', character_set.encode()) if character_set else b''
  assert text(read(declared, element('PatientID', 'LO', value)), 'PatientID') == expected


def test_items_inherit_the_character_set() -> None:
  inner = element('RequestedProcedureID', 'SH', 'Ü'.encode())
  data = element('SpecificCharacterSet', 'CS', b'ISO_IR 192') + sequence('RequestAttributesSequence', inner)
  inside = item(read(data), 'RequestAttributesSequence')
  assert inside is not None
  assert text(inside, 'RequestedProcedureID') == 'Ü'


@pytest.mark.parametrize(
  ('vr', 'value', 'expected'),
  [
    ('DS', b'1.5', 1.5),
    ('DS', b' -1.5e2 ', -150.0),
    ('DS', b'40\\400', 40.0),
    ('DS', b'1,5', 1.5),  # a comma of the country
    ('DS', b'.5', 0.5),
    ('DS', b'1e999', None),
    ('DS', b'nan', None),
    ('DS', b'inf', None),
    ('DS', b'1_000', None),
    ('DS', b'1,000.5', None),
    ('DS', b'forty', None),
    ('DS', b'\\40', None),
    ('DS', b'', None),
    ('IS', b'12', 12.0),
    ('US', b'\x07\x01', 263.0),
    ('SS', b'\xff\xff', -1.0),
    ('UL', b'\x01\0\0\0', 1.0),
    ('FD', struct.pack('<d', 2.5), 2.5),
    ('FL', struct.pack('<f', float('nan')), None),
    ('US', b'\x07', None),
    ('UN', b'40', 40.0),  # by the dictionary: DS
    ('LO', b'40', 40.0),
  ],
)
def test_number(vr: str, value: bytes, expected: float | None) -> None:
  assert number(read(element('WindowCenter', vr, value)), 'WindowCenter') == expected


@pytest.mark.parametrize(('order', 'is_implicit'), [('<', True), ('<', False), ('>', True), ('>', False)])
def test_numbers_in_every_encoding(order: str, is_implicit: bool) -> None:
  value = struct.pack(f'{order}3H', 256, 0xFFFF, 16)
  length = struct.pack(f'{order}I', 6) if is_implicit else b'US' + struct.pack(f'{order}H', 6)
  data = struct.pack(f'{order}HH', 0x0028, 0x3002) + length + value
  dataset = read_data_set(data, 0, len(data), Encoding(is_implicit, order), Budget(10, 10))
  assert integers(dataset, 'LUTDescriptor') == [256, 0xFFFF, 16]


def test_whole_numbers() -> None:
  assert integers(read(element('WindowCenter', 'DS', b'1\\2.5\\x')), 'WindowCenter') == [1, None, None]
  assert integer(read(element('NumberOfFrames', 'IS', b'3.0')), 'NumberOfFrames') == 3
  assert numbers(read(element('NumberOfFrames', 'IS', b'3')), 'Rows') == []


EXPLANATIONS = sequence(
  'VOILUTSequence', b'', element('LUTExplanation', 'LO', b'B'), element('LUTExplanation', 'LO', b'C')
)


@pytest.mark.parametrize(('index', 'expected'), [(0, None), (1, 'B'), (2, 'C')])
def test_item(index: int, expected: str | None) -> None:
  found = item(read(EXPLANATIONS), 'VOILUTSequence', index)
  assert isinstance(found, DataSet)
  assert bool(found) == (index > 0)
  assert text(found, 'LUTExplanation') == expected


@pytest.mark.parametrize(
  'data', [b'', EXPLANATIONS, element('ModalityLUTSequence', 'LO', b'text'), sequence('ModalityLUTSequence')]
)
def test_no_item(data: bytes) -> None:
  assert item(read(data), 'ModalityLUTSequence') is None
  assert item(read(data), 'VOILUTSequence', 3) is None
  assert item(None, 'VOILUTSequence') is None


@pytest.mark.parametrize('is_implicit', [True, False])
@pytest.mark.parametrize('outside', ['<', '>'])
def test_a_sequence_in_vr_un(is_implicit: bool, outside: str) -> None:
  """Implicit and little endian, by the standard (PS3.5 6.2.2); some write it as explicit."""
  order = '<' if is_implicit else outside
  length = struct.pack(f'{order}I', 4) if is_implicit else b'LO' + struct.pack(f'{order}H', 4)
  inside = struct.pack(f'{order}HH', 0x0028, 0x3003) + length + b'name'
  sequence = struct.pack(f'{order}HHI', 0xFFFE, 0xE000, len(inside)) + inside
  data = struct.pack(f'{outside}HH2sHI', 0x0028, 0x3010, b'UN', 0, len(sequence)) + sequence
  dataset = read_data_set(data, 0, len(data), Encoding(False, outside), Budget(10, 10))
  found = item(dataset, 'VOILUTSequence')
  assert found is not None
  assert text(found, 'LUTExplanation') == 'name'


def test_items_count_for_the_limit() -> None:
  dataset = read(EXPLANATIONS)
  dataset.budget.elements = 2
  with pytest.raises(InputError) as caught:
    item(dataset, 'VOILUTSequence')
  assert caught.value.code == 'too-large'


def test_a_keyword_that_does_not_exist_is_a_bug() -> None:
  with pytest.raises(ValueError, match='PatientNames'):
    text(read(EXPLANATIONS), 'PatientNames')

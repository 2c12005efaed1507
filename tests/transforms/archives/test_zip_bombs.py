import zipfile

import pytest

from tests.transforms.archive_files import zip_bytes
from tests.transforms.archives.outcomes import codes
from tests.transforms.raw_zip import BZIP2, DEFLATED, STORED, ZSTD, Entry, deflate, raw_zip
from transforms.elements import Limits

MIB = 1 << 20


def test_the_ratio_counts_for_large_members_only() -> None:
  small, large = bytes(16 * MIB), bytes(16 * MIB + 1)
  data = zip_bytes([('small', small), ('large', large)], zipfile.ZIP_DEFLATED)
  ratio = -(-len(large) // len(deflate(large)))
  outcomes = [codes(data, Limits(max_inflation_ratio=limit)) for limit in (ratio, ratio - 1)]
  assert outcomes == [[small, large], [small, 'bomb']]


@pytest.mark.parametrize('method', [BZIP2, ZSTD])
def test_methods_that_inflate_without_end_are_held(method: int) -> None:
  assert codes(raw_zip([Entry('a', bytes(64 * MIB), method), Entry('b', b'x')])) == ['bomb', b'x']


@pytest.mark.parametrize('limit', [2 * MIB, 2 * MIB - 1])
def test_an_archive_inflates_up_to_its_limit_and_no_further(limit: int) -> None:
  data = raw_zip([Entry(f'{number}', bytes(MIB), BZIP2) for number in range(2)])
  expected = [bytes(MIB), bytes(MIB) if limit == 2 * MIB else 'bomb']
  assert codes(data, Limits(max_inflated_bytes=limit, max_inflation_ratio=1)) == expected
  assert codes(data, Limits(max_inflated_bytes=1, max_inflation_ratio=2 * MIB // len(data) + 1)) == [bytes(MIB)] * 2


def test_members_that_share_all_their_bytes_are_a_bomb() -> None:
  content = bytes(1000)
  entries = [Entry('0', content)] + [Entry(f'{number}', content, offset=0, in_file=False) for number in range(1, 9)]
  assert codes(raw_zip(entries)) == ['bomb'] * 8 + [content]


def quoted(kernel: bytes, files: int) -> bytes:
  """Fifield's construction: each local header is content of the members before it, in stored blocks of deflate."""
  last = Entry(f'{files - 1:04d}', kernel, DEFLATED)
  entries, body = [last], last.local()
  for number in reversed(range(files - 1)):
    quote = body[: 30 + 4]
    packed = b'\0' + len(quote).to_bytes(2, 'little') + (len(quote) ^ 0xFFFF).to_bytes(2, 'little')
    content = quote + entries[0].content
    entry = Entry(f'{number:04d}', content, DEFLATED, packed=packed + quote + entries[0].packed_content)
    entries.insert(0, entry)
    body = entry.local()
  offsets = [number * (34 + 5) for number in range(files)]
  first, *others = [
    Entry(e.name, e.content, DEFLATED, packed=e.packed_content, offset=o) for e, o in zip(entries, offsets, strict=True)
  ]
  rest = [Entry(e.name, e.content, e.method, packed=e.packed, offset=e.offset, in_file=False) for e in others]
  return raw_zip([first, *rest])


def test_members_that_quote_each_other_are_a_bomb() -> None:
  data = quoted(bytes(100_000), 50)
  with zipfile.ZipFile(__import__('io').BytesIO(data)) as archive:  # it is what it is meant to be
    assert archive.getinfo('0000').file_size == 100_000 + 49 * 34
  assert codes(data) == ['bomb'] * 49 + [bytes(100_000)]


def test_a_lie_about_one_length_costs_that_member_alone() -> None:
  entries = [Entry('a', b'x' * 100), Entry('b', b'y' * 100), Entry('c', b'z' * 100, STORED)]
  data = raw_zip(entries)
  at = data.index(b'PK\1\2') + 20
  assert codes(data[:at] + (9999).to_bytes(4, 'little') + data[at + 4 :]) == ['bomb', b'y' * 100, b'z' * 100]


def test_what_a_member_claims_to_take_is_not_taken_on_trust() -> None:
  data = raw_zip([Entry('a', b'x', size=1 << 62, large=True), Entry('b', b'y')])
  assert codes(data) == ['bomb', b'y']

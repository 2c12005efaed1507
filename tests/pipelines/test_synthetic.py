import csv
import io
import pathlib
import struct
import tarfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
import PIL.Image
import pydicom
import pytest

from pipelines.synthetic import PLANTED, PlantedSource, SyntheticExport, SyntheticOptions, write_synthetic_export
from pipelines.synthetic_dicom import TRANSFER_SYNTAXES
from transforms.errors import CODES

SMALL = SyntheticOptions(patients=24, height_px=72)
Found = dict[tuple[str, str, int], bytes | None]


@pytest.fixture(scope='module')
def export(tmp_path_factory: pytest.TempPathFactory) -> SyntheticExport:
  return write_synthetic_export(tmp_path_factory.mktemp('export'), SMALL)


@pytest.fixture(scope='module')
def found(export: SyntheticExport) -> Found:
  return list_inbox(export.inbox)


def list_inbox(inbox: pathlib.Path) -> Found:
  """All that an inbox holds, by archive, member and occurrence, read with the standard library alone."""
  found: Found = {}
  for path in sorted(path for path in inbox.rglob('*') if path.is_file()):
    name = path.relative_to(inbox).as_posix()
    if name.endswith(('.zip', '.tar.gz')):
      seen: Counter[str] = Counter()
      for member, data in _open(name, path.read_bytes()):
        found[name, member, seen[member]] = data
        seen[member] += 1
    else:
      found['', name, 0] = path.read_bytes()
  return found


def _open(name: str, data: bytes) -> Iterator[tuple[str, bytes | None]]:
  """Members of an archive, of archives in it as well; a broken archive is itself a member, without a name."""
  try:
    members = list(_unzip(data) if name.endswith('.zip') else _untar(data))
  except zipfile.BadZipFile:
    yield '', None
    members = list(_unzip_by_headers(data))
  for member, content in members:
    if content is not None and member.endswith(('.zip', '.tar')):
      yield from ((f'{member}!/{inner}', inside) for inner, inside in _open(member, content))
    else:
      yield member, content


def _unzip(data: bytes) -> Iterator[tuple[str, bytes | None]]:
  with zipfile.ZipFile(io.BytesIO(data)) as archive:
    for info in archive.infolist():
      if not info.is_dir():
        yield info.filename, _read(archive, info)


def _unzip_by_headers(data: bytes) -> Iterator[tuple[str, bytes | None]]:
  """Stored members of a zip that has no directory; None for what is cut."""
  at = 0
  while data.startswith(b'PK\3\4', at):
    size, _, name_bytes, extra_bytes = struct.unpack_from('<2L2H', data, at + 18)
    content_at = at + 30 + name_bytes + extra_bytes
    at = content_at + size
    name = data[content_at - name_bytes - extra_bytes :][:name_bytes].decode()
    yield name, data[content_at:at] if at <= len(data) else None


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes | None:
  try:
    return archive.read(info)
  except (zipfile.BadZipFile, RuntimeError):  # the checksum; encryption
    return None


def _untar(data: bytes) -> Iterator[tuple[str, bytes]]:
  with tarfile.open(fileobj=io.BytesIO(data)) as archive:
    for info in archive:
      content = archive.extractfile(info)
      assert content is not None
      yield info.name, content.read()


def _key(source: PlantedSource) -> tuple[str, str, int]:
  return source.archive, source.member, source.occurrence


def _images(export: SyntheticExport) -> list[PlantedSource]:
  return [source for source in export.manifest if source.status == 'image']


def _datasets(export: SyntheticExport, found: Found) -> list[tuple[PlantedSource, pydicom.Dataset]]:
  dicom = [source for source in _images(export) if source.sop_instance_uid]
  return [(source, pydicom.dcmread(io.BytesIO(found[_key(source)] or b''))) for source in dicom]


def _files(directory: pathlib.Path) -> dict[str, bytes]:
  paths = (path for path in directory.rglob('*') if path.is_file())
  return {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}


def test_the_seed_decides_every_byte(export: SyntheticExport, tmp_path: pathlib.Path) -> None:
  again = write_synthetic_export(tmp_path / 'again', SMALL)
  assert _files(again.inbox.parent) == _files(export.inbox.parent)
  assert again.manifest == export.manifest


def test_another_seed_changes_every_image(export: SyntheticExport, found: Found, tmp_path: pathlib.Path) -> None:
  other = write_synthetic_export(tmp_path, SyntheticOptions(patients=24, height_px=72, seed=8))
  assert other.labels.read_bytes() != export.labels.read_bytes()
  for name in ('cr-dx-studies.zip', 'teaching-files.tar.gz', 'outer.zip', 'broken/half.jpeg'):
    assert (other.inbox / name).read_bytes() != (export.inbox / name).read_bytes()
  first, second = ({source.sop_instance_uid for source in each.manifest} - {None} for each in (export, other))
  assert not first & second


def test_the_manifest_names_every_source_once(export: SyntheticExport, found: Found) -> None:
  assert sorted(map(_key, export.manifest)) == sorted(found)


def test_dicom_images_are_what_the_manifest_says(export: SyntheticExport, found: Found) -> None:
  for source, dataset in _datasets(export, found):
    assert dataset.SOPInstanceUID == source.sop_instance_uid
    assert dataset.PatientID == source.patient
    assert dataset.get('NumberOfFrames', 1) == source.frames
    assert np.ptp(dataset.pixel_array) > 0


def test_other_images_decode_and_carry_their_label_and_patient_in_their_name(
  export: SyntheticExport, found: Found
) -> None:
  others = [source for source in _images(export) if not source.sop_instance_uid]
  for source in others:
    PIL.Image.open(io.BytesIO(found[_key(source)] or b'')).load()
  for source in (source for source in others if 'person' in source.member):
    assert f'{source.label}/person{(source.patient or "")[-4:]}_' in source.member


def test_reasons_are_codes_with_their_status(export: SyntheticExport) -> None:
  for source in export.manifest:
    assert source.status == (CODES[source.reason].status if source.reason else 'image')


@pytest.mark.parametrize(
  ('archive', 'member', 'reason'),
  [
    ('broken/truncated.zip', '', 'archive-corrupt'),
    ('broken/truncated.zip', 'ZZPLANTED/IM000', 'read-failed'),
    ('broken/damaged.zip', 'damaged.png', 'read-failed'),
    ('broken/damaged.zip', 'secret.png', 'archive-encrypted'),
  ],
)
def test_what_must_not_be_readable_is_not(
  export: SyntheticExport, found: Found, archive: str, member: str, reason: str
) -> None:
  assert found[archive, member, 0] is None
  assert [source.reason for source in export.manifest if _key(source) == (archive, member, 0)] == [reason]


def test_members_are_damaged_in_the_way_that_the_manifest_says(export: SyntheticExport) -> None:
  with zipfile.ZipFile(export.inbox / 'broken/damaged.zip') as archive:
    with pytest.raises(zipfile.BadZipFile, match='CRC'):
      archive.read('damaged.png')
    with pytest.raises(RuntimeError, match='encrypted'):
      archive.read('secret.png')
    assert archive.read('neighbour.png')


def test_cut_images_have_a_good_header_and_too_few_pixels(found: Found) -> None:
  data = found['', 'broken/cut-off.dcm', 0] or b''
  dataset = pydicom.dcmread(io.BytesIO(data), force=True)
  assert 0 < len(dataset.PixelData) < 2 * dataset.Rows * dataset.Columns
  with pytest.raises(OSError, match='truncated'):
    PIL.Image.open(io.BytesIO(found['', 'broken/half.jpeg', 0] or b'')).load()


def test_a_blank_image_has_one_grey_level(found: Found) -> None:
  assert len(np.unique(np.asarray(PIL.Image.open(io.BytesIO(found['', 'broken/blank.png', 0] or b''))))) == 1


def test_every_way_to_store_an_image_occurs(export: SyntheticExport, found: Found) -> None:
  datasets = [dataset for _, dataset in _datasets(export, found)]
  assert {dataset.file_meta.TransferSyntaxUID for dataset in datasets} == set(TRANSFER_SYNTAXES)
  assert {dataset.PhotometricInterpretation for dataset in datasets} == {'MONOCHROME1', 'MONOCHROME2'}
  assert {dataset.BitsStored for dataset in datasets} == {8, 12, 16}
  assert {dataset.Modality for dataset in datasets} == {'CR', 'DX'}
  greys = {('WindowWidth' in dataset, 'RescaleSlope' in dataset) for dataset in datasets if dataset.BitsStored > 8}
  assert greys == {(True, False), (True, True), (False, False)}


def test_storage_does_not_give_the_label_away(tmp_path: pathlib.Path) -> None:
  """Over many images, no way to store occurs in one class only."""
  export = write_synthetic_export(tmp_path, SyntheticOptions(patients=120, height_px=48))
  labels = defaultdict(set)
  for source, dataset in _datasets(export, list_inbox(export.inbox)):
    for fact in (dataset.file_meta.TransferSyntaxUID, dataset.PhotometricInterpretation, dataset.BitsStored):
      labels[fact].add(source.label)
  assert len(labels) == len(TRANSFER_SYNTAXES) + 2 + 3
  assert all(found == {'NORMAL', 'PNEUMONIA'} for found in labels.values())


def test_awkward_things_of_real_exports_occur(export: SyntheticExport, found: Found) -> None:
  images = _images(export)
  assert [source.occurrence for source in images if source.occurrence] == [1]
  assert [source.frames for source in images if source.frames > 1] == [2]
  archives = defaultdict(set)
  for source in images:
    archives[source.patient].add((source.archive, bool(source.sop_instance_uid)))
  assert any(len({archive for archive, _ in places}) > 1 for places in archives.values())
  assert any(len({dicom for _, dicom in places}) > 1 for places in archives.values()), 'JPEG and DICOM of one patient'
  studies = defaultdict(set)
  for source, dataset in _datasets(export, found):
    studies[source.patient].add(dataset.StudyInstanceUID)
  assert max(map(len, studies.values())) > 1


def test_a_patient_has_one_label(export: SyntheticExport) -> None:
  labels = defaultdict(set)
  for source in _images(export):
    labels[source.patient].add(source.label)
  assert all(len(found) == 1 for found in labels.values())


def test_the_label_csv_says_what_the_manifest_says(export: SyntheticExport) -> None:
  with export.labels.open(newline='', encoding='utf-8') as file:
    rows = list(csv.DictReader(file))
  assert [(row['sop_instance_uid'] or None, row['label']) for row in rows] == [
    (source.sop_instance_uid, source.label) for source in export.manifest if source.label
  ]
  by_member = {row['member']: row for row in rows if row['member']}
  for source in export.manifest:
    if source.label and not source.sop_instance_uid:
      assert by_member[source.member]['patient'] == source.patient


def test_one_image_has_no_label(export: SyntheticExport) -> None:
  assert [source.member for source in _images(export) if not source.label] == ['broken/unlabelled.png']


def test_prevalence_is_what_was_asked_for(tmp_path: pathlib.Path) -> None:
  export = write_synthetic_export(tmp_path, SyntheticOptions(patients=40, height_px=48, prevalence=0.25))
  ill = {source.patient for source in export.manifest if source.label == 'PNEUMONIA'}
  assert len(ill) == 10


def test_planted_strings_are_in_names_and_headers(export: SyntheticExport, found: Found) -> None:
  haystack = b'\n'.join([*(data or b'' for data in found.values()), *('/'.join(key[:2]).encode() for key in found)])
  assert [needle for needle in PLANTED if needle.encode() not in haystack] == []
  for source, dataset in _datasets(export, found):
    assert str(dataset.PatientName).startswith(PLANTED[0]), source


def test_uids_are_valid_and_distinct(export: SyntheticExport, found: Found) -> None:
  uids = [dataset.SOPInstanceUID for _, dataset in _datasets(export, found)]
  assert all(uid.is_valid and int(uid.removeprefix('2.25.')) < 2**128 for uid in uids)
  assert len(set(uids)) == len(uids)


def test_an_inbox_that_is_there_is_refused(export: SyntheticExport) -> None:
  with pytest.raises(FileExistsError):
    write_synthetic_export(export.inbox.parent, SMALL)


@pytest.mark.parametrize('wrong', [{'patients': 19}, {'prevalence': 0.0}, {'prevalence': 1.0}, {'height_px': 8}])
def test_options_that_cannot_work_are_refused(wrong: dict[str, float]) -> None:
  with pytest.raises(ValueError, match=next(iter(wrong))):
    SyntheticOptions(**wrong)  # type: ignore[arg-type]

import gzip
import hashlib
import io
import os
import pathlib
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import BinaryIO, cast

import numpy as np
import pytest

from tests.transforms.archive_files import damage, tar_bytes, tar_info, tar_of, zip_bytes
from tests.transforms.pictures import dicom_dataset, dicom_file, gradient, png
from tests.transforms.raw_zip import Entry, raw_zip, zip_end
from transforms import read
from transforms.decode import DecodeOptions, decode_source
from transforms.elements import Frame, Limits, Source
from transforms.inputs import list_input, name_inputs
from transforms.listed_files import open_listed
from transforms.preprocess import PreprocessSpec
from transforms.read import ReadBatch, read_tasks, run
from transforms.shards import pack_shards

SPEC = PreprocessSpec(16)
PNG = png(gradient(20, 20, 8))
TEXT = b'read me\n'


def noisy_png(seed: int) -> bytes:
  return png(np.random.default_rng(seed).integers(0, 256, (20, 20), np.uint8))


Outcomes = list[tuple[str, str, int, str]]


def read_input(path: pathlib.Path, limits: Limits | None = None, originals: int = 0) -> list[ReadBatch]:
  options = DecodeOptions(SPEC, limits=limits or Limits())
  [given] = name_inputs([str(path)])
  batches = list(list_input(given, options.limits))
  return [
    part for batch in batches for task in read_tasks(batch, open_listed, options, originals) for part in run(task)
  ]


def outcomes(results: list[ReadBatch]) -> Outcomes:
  """Archive, member, occurrence and reason, of every source; checks that none was lost, invented or named twice."""
  sources = [source for result in results for source in result.sources]
  assert sum(result.listed for result in results) == len(sources) == len({source.source for source in sources})
  assert all(source.frames for source in sources)
  rows = [(s.source, s.frames[0].error.code if s.frames[0].error else 'ok') for s in sources]
  return [(source.archive, source.member, source.occurrence, code) for source, code in rows]


def read_bytes(folder: pathlib.Path, data: bytes, limits: Limits | None = None) -> list[tuple[str, int, str]]:
  (folder / 'x').write_bytes(data)
  found = outcomes(read_input(folder / 'x', limits))
  assert {archive for archive, *_ in found} == {'x'}
  return [(member, occurrence, code) for _, member, occurrence, code in found]


INNER_ZIP = zip_bytes([('1.png', PNG), ('t', TEXT)])
INNER_ROWS = [('1.png', 'ok'), ('t', 'auxiliary-file')]
INNER_MEMBERS = [(f'i.zip!/{name}', code) for name, code in INNER_ROWS]
ONE_TGZ = tar_bytes([('1', PNG)], 'w:gz')
NOISE = np.random.default_rng(1).bytes(2000)


@pytest.mark.parametrize(
  ('data', 'expected'),
  [
    (PNG, [('', 'ok')]),
    (b'', [('', 'empty-file')]),
    (INNER_ZIP, INNER_ROWS),
    (tar_bytes([('1.png', PNG)]), [('1.png', 'ok')]),
    (gzip.compress(PNG), [('', 'ok')]),
    (gzip.compress(b''), [('', 'empty-file')]),
    (zip_bytes([('i', INNER_ZIP), ('2', PNG)]), [('i!/1.png', 'ok'), ('i!/t', 'auxiliary-file'), ('2', 'ok')]),
    (zip_bytes([('i.tar', tar_bytes([('1', PNG)]))]), [('i.tar!/1', 'ok')]),
    (zip_bytes([('i.gz', gzip.compress(PNG))]), [('i.gz', 'ok')]),
    (tar_bytes([('i.zip', INNER_ZIP)], 'w:gz'), [(f'i.zip!/{name}', code) for name, code in INNER_ROWS]),
    (gzip.compress(INNER_ZIP), INNER_ROWS),
    (zip_bytes([('i.tgz', tar_bytes([('1', PNG), ('2', PNG)], 'w:gz'))]), [('i.tgz!/1', 'ok'), ('i.tgz!/2', 'ok')]),
    (zip_bytes([]), [('', 'archive-empty')]),
    (gzip.compress(tar_of(tar_info('folder', tarfile.DIRTYPE))), [('', 'archive-empty')]),
    (zip_bytes([('i.zip', zip_bytes([]))]), [('i.zip', 'archive-empty')]),
    (INNER_ZIP[:-5], [*INNER_ROWS, ('', 'archive-corrupt')]),
    (
      zip_bytes([('i.zip', INNER_ZIP[:-5]), ('2', PNG)]),
      [*INNER_MEMBERS, ('i.zip', 'archive-corrupt'), ('2', 'ok')],
    ),
    (tar_bytes([('i.zip', INNER_ZIP[:-5])], 'w:zst'), [*INNER_MEMBERS, ('i.zip', 'archive-corrupt')]),
    (tar_bytes([('1', PNG), ('2', PNG)])[:600], [('1', 'read-failed'), ('', 'archive-corrupt')]),
    (raw_zip([Entry('', PNG), Entry('folder/', PNG)]), [('\\', 'ok'), ('folder/', 'ok')]),
    (zip_bytes([('a.zip', b'')]), [('a.zip', 'empty-file')]),
    (zip_bytes([('a.zip', b'<html>')]), [('a.zip', 'archive-corrupt')]),
    (zip_bytes([('a.tgz', b'<html>')]), [('a.tgz', 'archive-corrupt')]),
    (zip_bytes([('a.tar', bytes(10_240))]), [('a.tar', 'archive-empty')]),
    (zip_bytes([('a.tar.gz', gzip.compress(bytes(10_240)))]), [('a.tar.gz', 'archive-empty')]),
    (zip_bytes([('a.zip', PNG)]), [('a.zip', 'ok')]),
    (zip_bytes([('a.png', INNER_ZIP)]), [('a.png!/1.png', 'ok'), ('a.png!/t', 'auxiliary-file')]),
    (zip_bytes([('setup.exe', b'MZ' + INNER_ZIP)]), [('setup.exe!/1.png', 'ok'), ('setup.exe!/t', 'auxiliary-file')]),
    (zip_bytes([('viewer.jar', INNER_ZIP)]), [('viewer.jar', 'auxiliary-file')]),
    (zip_bytes([('v', zip_bytes([('META-INF/MANIFEST.MF', b'')]))]), [('v', 'auxiliary-file')]),
    (zip_bytes([('a.7z', b'7z\xbc\xaf\x27\x1c')]), [('a.7z', 'archive-unsupported')]),
    (zip_bytes([('export.z01', NOISE)]), [('export.z01', 'archive-split')]),
    (zip_bytes([('Thumbs.db', NOISE), ('IM1', NOISE)]), [('Thumbs.db', 'auxiliary-file'), ('IM1', 'not-an-image')]),
    (zip_bytes([('i.gz', gzip.compress(PNG)[:-12])]), [('i.gz', 'archive-corrupt')]),
    (raw_zip([Entry('i.gz', gzip.compress(PNG), crc32=1)]), [('i.gz', 'read-failed')]),
    (
      raw_zip([Entry('i.tgz', tar_bytes([('1', PNG)], 'w:gz'), crc32=1)]),
      [('i.tgz!/1', 'ok'), ('i.tgz', 'read-failed')],
    ),
    (raw_zip([Entry('i.zip', INNER_ZIP, crc32=1)]), [*INNER_MEMBERS, ('i.zip', 'read-failed')]),
    (damage(INNER_ZIP, 60), [('1.png', 'read-failed'), ('t', 'auxiliary-file')]),
    (zip_bytes([('i.zip', damage(INNER_ZIP, 60))]), [('i.zip!/1.png', 'read-failed'), ('i.zip!/t', 'auxiliary-file')]),
    (tar_of(tar_info('a', tarfile.SYMTYPE)), [('a', 'link')]),
    (gzip.compress(tar_of(tar_info('a', tarfile.SYMTYPE))), [('a', 'link')]),
    (gzip.compress(PNG)[:-12], [('', 'archive-corrupt')]),
    (b'\x1f\x8b', [('', 'archive-corrupt')]),
  ],
)
def test_every_source_has_one_outcome(tmp_path: pathlib.Path, data: bytes, expected: list[tuple[str, str]]) -> None:
  assert [(member, code) for member, _, code in read_bytes(tmp_path, data)] == expected


def broken_tgz() -> bytes:
  noise = np.random.default_rng(0).bytes(300_000)
  return tar_bytes([('1', PNG), ('2', noise), ('3', noise[::-1])], 'w:gz')[:-100_000]


def test_a_stream_that_breaks_off_has_rows_of_what_came_and_one_of_its_own(tmp_path: pathlib.Path) -> None:
  assert read_bytes(tmp_path, broken_tgz()) == [
    ('1', 0, 'ok'),
    ('2', 0, 'not-an-image'),
    ('3', 0, 'read-failed'),
    ('', 0, 'archive-corrupt'),
  ]


def test_an_inner_stream_that_breaks_off_leaves_the_others_alone(tmp_path: pathlib.Path) -> None:
  found = read_bytes(tmp_path, zip_bytes([('i.tgz', broken_tgz()), ('last', PNG)]))
  assert found == [
    ('i.tgz!/1', 0, 'ok'),
    ('i.tgz!/2', 0, 'not-an-image'),
    ('i.tgz!/3', 0, 'read-failed'),
    ('i.tgz', 0, 'archive-corrupt'),
    ('last', 0, 'ok'),
  ]


def nested(depth: int) -> bytes:
  data = PNG
  for _ in range(depth):
    data = zip_bytes([('i', data)])
  return data


def test_archives_are_opened_down_to_the_limit_and_no_deeper(tmp_path: pathlib.Path) -> None:
  assert read_bytes(tmp_path, nested(4), Limits(max_nesting=3)) == [('i!/i!/i!/i', 0, 'ok')]
  assert read_bytes(tmp_path, nested(5), Limits(max_nesting=3)) == [('i!/i!/i!/i', 0, 'archive-nesting')]
  assert read_bytes(tmp_path, nested(2), Limits(max_nesting=0)) == [('i', 0, 'archive-nesting')]


def test_repeated_names_stay_apart_inside_and_outside(tmp_path: pathlib.Path) -> None:
  inner = zip_bytes([('a', PNG), ('a', TEXT)])
  found = read_bytes(tmp_path, zip_bytes([('i', inner), ('i', inner), ('i!/a', PNG)]))
  assert [(member, code) for member, _, code in found] == [('i!/a', 'ok'), ('i!/a', 'auxiliary-file')] * 2 + [
    (r'i!\/a', 'ok')
  ]
  assert len({occurrence for _, occurrence, _ in found[:4]}) == 4


@pytest.mark.parametrize(('limit', 'code'), [(len(PNG), 'ok'), (len(PNG) - 1, 'too-large')])
def test_loose_files_are_read_up_to_the_limit(tmp_path: pathlib.Path, limit: int, code: str) -> None:
  assert read_bytes(tmp_path, PNG, Limits(max_member_bytes=limit)) == [('', 0, code)]


def test_limits_hold_inside_inner_archives(tmp_path: pathlib.Path) -> None:
  data = zip_bytes([('i', zip_bytes([('a', TEXT), ('b', TEXT)]))])
  assert read_bytes(tmp_path, data, Limits(max_members=1)) == [('i', 0, 'bomb')]


def test_a_folder_with_everything(tmp_path: pathlib.Path) -> None:
  folder = tmp_path / 'in'
  folder.mkdir()
  for name, content in [('1.png', PNG), ('M\udcfcller', PNG), ('a.zip', INNER_ZIP), ('b.tgz', broken_tgz())]:
    (folder / name).write_bytes(content)
  os.mkfifo(folder / 'pipe')
  assert sorted(outcomes(read_input(folder))) == [
    ('in', '1.png', 0, 'ok'),
    ('in', 'M\\xfcller', 0, 'ok'),
    ('in', 'pipe', 0, 'link'),
    ('in/a.zip', '1.png', 0, 'ok'),
    ('in/a.zip', 't', 0, 'auxiliary-file'),
    ('in/b.tgz', '', 0, 'archive-corrupt'),
    ('in/b.tgz', '1', 0, 'ok'),
    ('in/b.tgz', '2', 0, 'not-an-image'),
    ('in/b.tgz', '3', 0, 'read-failed'),
  ]


@pytest.mark.parametrize(
  ('data', 'expected'),
  [(PNG, ['']), (INNER_ZIP, ['1.png', 't']), (tar_bytes([('1', PNG)]), ['1']), (gzip.compress(PNG), [''])],
)
def test_a_file_that_vanishes_after_the_listing_costs_its_own_rows(
  tmp_path: pathlib.Path, data: bytes, expected: list[str]
) -> None:
  (tmp_path / 'x').write_bytes(data)
  [batch] = list_input(name_inputs([str(tmp_path / 'x')])[0], Limits())
  (tmp_path / 'x').unlink()
  found = outcomes([task() for task in read_tasks(batch, open_listed, DecodeOptions(SPEC))])
  assert found == [('x', member, 0, 'input-gone') for member in expected]


THREE = [(str(number), noisy_png(number)) for number in range(3)]


@pytest.mark.parametrize(
  ('made', 'moment', 'stands', 'missing'),
  [
    (zip_bytes(THREE), 'before', [], ['0', '1', '2']),
    (tar_bytes(THREE), 'before', [], ['0', '1', '2']),
    (tar_bytes(THREE, 'w:gz'), 'before', [], ['']),  # the rest of a stream has no names, and one row
    (zip_bytes(THREE), 'between', ['0'], ['1', '2']),
    (tar_bytes(THREE), 'between', ['0'], ['1', '2']),
  ],
)
def test_what_a_rewritten_file_still_holds_is_no_image(
  tmp_path: pathlib.Path, made: bytes, moment: str, stands: list[str], missing: list[str]
) -> None:
  path = tmp_path / 'x'
  path.write_bytes(made)
  [batch] = list_input(name_inputs([str(path)])[0], Limits())
  decoded: list[bytes] = []

  def rewrite_after_the_first(data: bytes, options: DecodeOptions, *, keep_original: bool = False) -> Iterator[Frame]:
    if not decoded:
      path.write_bytes(made[: len(made) // 2])
    decoded.append(data)
    return decode_source(data, options, keep_original=keep_original)

  if moment == 'before':
    path.write_bytes(made[: len(made) // 2])
  tasks = read_tasks(batch, open_listed, DecodeOptions(SPEC), decode=rewrite_after_the_first)
  found = outcomes([part for task in tasks for part in run(task)])
  assert [member for _, member, _, code in found if code == 'ok'] == stands
  assert [member for _, member, _, code in found if code == 'changed-while-reading'] == missing
  assert len(found) == len(stands) + len(missing)


def test_a_stream_is_compared_with_its_listing_as_it_is_read(tmp_path: pathlib.Path) -> None:
  path = tmp_path / 'x'
  members = [(str(number), np.random.default_rng(number).bytes(1 << 20)) for number in range(40)]
  made = gzip.compress(tar_bytes([*members, ('inner.tar', tar_bytes([('a', PNG), ('b', PNG)]))]), 0)
  path.write_bytes(made)
  [batch] = list_input(name_inputs([str(path)])[0], Limits())
  tasks = read_tasks(batch, open_listed, DecodeOptions(SPEC))
  results = [next(tasks)()]
  path.write_bytes(made + b'more')
  results += [part for task in tasks for part in run(task)]
  codes = [code for *_, code in outcomes(results)]
  assert codes[:32] == ['not-an-image'] * 32
  assert codes[-1] == 'changed-while-reading'
  assert len(codes) < 40


def test_other_files_of_a_folder_are_read_beside_one_that_changed(tmp_path: pathlib.Path) -> None:
  for number in range(3):
    (tmp_path / f'{number}.png').write_bytes(noisy_png(number))
  [batch] = list_input(name_inputs([str(tmp_path)])[0], Limits())
  (tmp_path / '1.png').write_bytes(noisy_png(7) + b'more')
  found = outcomes([task() for task in read_tasks(batch, open_listed, DecodeOptions(SPEC))])
  assert [code for *_, code in found] == ['ok', 'changed-while-reading', 'ok']


@pytest.mark.parametrize(
  ('batch_bytes', 'batch_members', 'lengths'),
  [(250, 99, [3, 3, 1]), (100, 99, [1] * 7), (9999, 3, [3, 3, 1]), (9999, 99, [7])],
)
def test_a_stream_is_cut_into_tasks_by_bytes_and_by_members(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, batch_bytes: int, batch_members: int, lengths: list[int]
) -> None:
  monkeypatch.setattr(read, '_STREAM_BATCH_BYTES', batch_bytes)
  monkeypatch.setattr(read, '_STREAM_BATCH_MEMBERS', batch_members)
  (tmp_path / 'x').write_bytes(tar_bytes([(str(number), bytes(100)) for number in range(7)], 'w:gz'))
  results = read_input(tmp_path / 'x')
  assert [member for _, member, _, _ in outcomes(results)] == [str(number) for number in range(7)]
  assert [len(result.sources) for result in results if result.sources] == lengths


def test_a_stream_is_read_no_further_than_its_tasks_are_taken(tmp_path: pathlib.Path) -> None:
  data = gzip.compress(
    tar_bytes([(str(number), np.random.default_rng(number).bytes(1 << 20)) for number in range(70)]), 0
  )
  path = tmp_path / 'x'
  path.write_bytes(data)
  [batch] = list_input(name_inputs([str(path)])[0], Limits())
  file = io.BytesIO(data)
  tasks = read_tasks(batch, lambda *_: file, DecodeOptions(SPEC))
  first = next(tasks)()
  assert file.tell() < len(data) * 0.6
  assert len(first.sources) == 32


def test_a_zip_of_20_gigabytes_is_read_by_ranges_from_several_workers(tmp_path: pathlib.Path) -> None:
  path = tmp_path / 'x'
  entries = [Entry(f'{number}', PNG) for number in range(100)]
  write_with_holes(path, entries, hole_bytes=5 << 30, every=25)
  assert path.stat().st_size > 20 << 30
  batches = list(list_input(name_inputs([str(path)])[0], Limits()))
  shards = pack_shards(batches, cores=1)
  assert len(shards) > 2
  for shard in shards:
    spans: list[tuple[int, int]] = []
    parts = [task() for batch in shard.batches for task in read_tasks(batch, recorder(spans), DecodeOptions(SPEC))]
    assert {code for *_, code in outcomes(parts)} <= {'ok', 'too-large'}
    wanted = [(m.offset, m.offset + m.packed_bytes + 100) for batch in shard.batches for m in batch.members]
    assert all(any(start <= begin and end <= stop for start, stop in wanted) for begin, end in spans)
    assert sum(stop - start for start, stop in spans) < 32 << 20


def write_with_holes(path: pathlib.Path, entries: list[Entry], hole_bytes: int, every: int) -> None:
  """A zip in which some members are large and made of zeros that take no place on the disk."""
  central = b''
  with path.open('wb') as file:
    for number, entry in enumerate(entries):
      if number % every == 0:
        large = Entry(f'large {number}', large=True, crc32=0, size=hole_bytes, packed_size=hole_bytes)
        central += large.central(file.tell())
        file.write(large.local())
        file.seek(hole_bytes, os.SEEK_CUR)
      central += replace(entry, large=True).central(file.tell())
      file.write(entry.local())
    start = file.tell()
    file.write(central)
    file.write(zip_end(len(central), start, count=len(entries) + -(-len(entries) // every), large=True))


def recorder(spans: list[tuple[int, int]]) -> Callable[[str, int, int], BinaryIO]:
  """Opens files that note which bytes are read; without a buffer, as an object store is asked."""

  class Recording(io.FileIO):
    def read(self, size: int | None = -1, /) -> bytes:
      start = self.tell()
      data = super().read(size)
      spans.append((start, start + len(data)))
      return data

  return lambda path, *_: cast(BinaryIO, Recording(path))


@pytest.mark.parametrize(
  ('part_sources', 'part_bytes', 'lengths'), [(5, 9999, [5, 5, 1]), (99, 500, [2, 2, 2, 2, 2, 1]), (99, 9999, [11])]
)
def test_a_range_is_read_in_parts(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, part_sources: int, part_bytes: int, lengths: list[int]
) -> None:
  monkeypatch.setattr(read, '_PART_SOURCES', part_sources)
  monkeypatch.setattr(read, '_PART_BYTES', part_bytes)
  inner = zip_bytes([(str(number), PNG) for number in range(10)])
  (tmp_path / 'x').write_bytes(zip_bytes([('i', inner), ('last', PNG)]))
  results = read_input(tmp_path / 'x', originals=3)
  assert [member for _, member, _, _ in outcomes(results)] == [*(f'i!/{number}' for number in range(10)), 'last']
  assert [len(result.sources) for result in results if result.sources] == lengths
  originals = [source.frames[0].original is not None for result in results for source in result.sources]
  assert originals == [True] * 3 + [False] * 8


def test_sources_carry_the_digest_of_their_content_and_all_their_frames(tmp_path: pathlib.Path) -> None:
  values = np.stack([gradient(20, 20), gradient(20, 20)[::-1]])
  data = dicom_file(dicom_dataset(values, NumberOfFrames=2))
  (tmp_path / 'x').write_bytes(zip_bytes([('a', data)]))
  [result] = read_input(tmp_path / 'x')
  [source] = result.sources
  assert source.source == Source('x', 'a')
  assert source.content_sha256 == hashlib.sha256(data).hexdigest()
  assert [frame.number for frame in source.frames] == [1, 2]
  assert [frame.pixels is not None and frame.pixels.shape for frame in source.frames] == [(16, 16)] * 2
  assert result.listed == 1


@pytest.mark.parametrize('mode', ['w', 'w:gz'])
def test_so_many_originals_are_kept_as_were_asked_for(tmp_path: pathlib.Path, mode: str) -> None:
  (tmp_path / 'x').write_bytes(tar_bytes([(str(number), PNG) for number in range(40)], mode))
  results = read_input(tmp_path / 'x', originals=2)
  kept = [source.frames[0].original is not None for result in results for source in result.sources]
  assert kept[:3] == [True, True, False]

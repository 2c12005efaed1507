"""Archives damaged by chance, read in the way that the jobs take: every row is there, once, and nothing else."""

import bz2
import gzip
import hashlib
import io
import lzma
import pathlib
import random
import tarfile
import zipfile

import pytest
import zstandard

from tests.transforms.archive_files import tar_bytes, zip_bytes
from tests.transforms.raw_zip import BZIP2, DEFLATED, DESCRIPTOR, LZMA, STORED, UTF8, ZSTD, Entry, raw_zip
from transforms.decode import DecodeOptions
from transforms.elements import Limits
from transforms.inputs import list_input, name_inputs
from transforms.listed_files import open_listed
from transforms.preprocess import PreprocessSpec
from transforms.read import ReadSource, read_tasks, run

CONTENTS = [random.Random(seed).randbytes(700).hex().encode() for seed in range(5)]
MEMBERS = [(f'folder/{number}', content) for number, content in enumerate(CONTENTS)]
MIXED = raw_zip(
  Entry(name, content, method, flags, large=large)
  for (name, content), method, flags, large in zip(
    MEMBERS,
    [STORED, DEFLATED, BZIP2, LZMA, ZSTD],
    [0, DESCRIPTOR, 0, UTF8, DESCRIPTOR],
    [False, False, True, False, True],
    strict=True,
  )
)
TAR = tar_bytes(MEMBERS)
ARCHIVES = {
  'stored.zip': zip_bytes(MEMBERS),
  'deflated.zip': zip_bytes(MEMBERS, zipfile.ZIP_DEFLATED),
  'mixed.zip': MIXED,
  'late.zip': raw_zip(Entry(name, content, DEFLATED, DESCRIPTOR) for name, content in MEMBERS),
  'nested.zip': zip_bytes([('i.zip', MIXED), ('i.tar', TAR), ('i.tgz', gzip.compress(TAR)), ('x', CONTENTS[0])]),
  'gnu.tar': TAR,
  'pax.tar': tar_bytes([(name * 40, content) for name, content in MEMBERS], tar_format=tarfile.PAX_FORMAT),
  'nested.tar': tar_bytes([('i.zip', MIXED), ('i.tar', TAR), ('x', CONTENTS[0])]),
  'a.tar.gz': gzip.compress(TAR),
  'a.tar.bz2': bz2.compress(TAR),
  'a.tar.xz': lzma.compress(TAR),
  'a.tar.zst': zstandard.compress(TAR),
  'a.zip.gz': gzip.compress(MIXED),
}
MUTATIONS_OF_EACH = 200
LIMITS = Limits(max_members=100, max_member_bytes=1 << 20, max_inflated_bytes=8 << 20, max_spooled_bytes=1 << 20)


def mutate(data: bytes, rng: random.Random) -> bytes:
  """A cut, bits that flip, or bytes that are lost, doubled, put in or overwritten."""
  at, length = rng.randrange(len(data)), rng.choice((1, 2, 30, 512, 1000))
  match rng.randrange(7):
    case 0:
      return data[:at]
    case 1:
      return data[at:]
    case 2:
      return data[:at] + data[at + length :]
    case 3:
      return data[: at + length] + data[at:]
    case 4:
      return data[:at] + rng.randbytes(length) + data[at:]
    case 5:
      return data[:at] + bytes(length) + data[at + length :]
    case _:
      flipped = bytearray(data)
      for _ in range(rng.randrange(1, 6)):
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
      return bytes(flipped)


def read_path(path: pathlib.Path) -> list[ReadSource]:
  """All sources of a file; checks that none was lost, invented or named twice."""
  options = DecodeOptions(PreprocessSpec(16), limits=LIMITS)
  batches = list_input(name_inputs([str(path)])[0], LIMITS)
  results = [part for batch in batches for task in read_tasks(batch, open_listed, options) for part in run(task)]
  sources = [source for result in results for source in result.sources]
  assert sum(result.listed for result in results) == len(sources) == len({source.source for source in sources})
  assert all(source.frames for source in sources)
  return sources


@pytest.mark.parametrize('name', ARCHIVES)
def test_whatever_is_damaged_every_source_has_one_row(tmp_path: pathlib.Path, name: str) -> None:
  path, rng = tmp_path / name, random.Random(name)
  for _ in range(MUTATIONS_OF_EACH):
    path.write_bytes(mutate(ARCHIVES[name], rng))
    assert read_path(path)


def found(path: pathlib.Path) -> list[bool]:
  """Which of the contents came through."""
  digests = {source.content_sha256 for source in read_path(path)}
  return [hashlib.sha256(content).hexdigest() in digests for content in CONTENTS]


@pytest.mark.parametrize('name', ['stored.zip', 'deflated.zip', 'mixed.zip', 'late.zip', 'gnu.tar', 'pax.tar'])
def test_what_stands_before_a_cut_is_read(tmp_path: pathlib.Path, name: str) -> None:
  data, path = ARCHIVES[name], tmp_path / name
  ends = content_ends(name)
  for cut in random.Random(name).sample(range(1, len(data)), 40):
    path.write_bytes(data[:cut])
    through = found(path)
    assert all(came for came, end in zip(through, ends, strict=True) if end <= cut), cut


def content_ends(name: str) -> list[int]:
  """Where the content of each member ends, late sizes included, according to the standard library."""
  data = ARCHIVES[name]
  if name.endswith('.tar'):
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
      return [info.offset_data + info.size for info in archive.getmembers()]
  with zipfile.ZipFile(io.BytesIO(data)) as opened:
    starts = [info.header_offset for info in opened.infolist()]
    return [*starts[1:], opened.start_dir]


@pytest.mark.parametrize('name', ['stored.zip', 'deflated.zip', 'mixed.zip', 'late.zip', 'gnu.tar', 'pax.tar'])
def test_one_damaged_byte_costs_one_member_at_most(tmp_path: pathlib.Path, name: str) -> None:
  data, path = ARCHIVES[name], tmp_path / name
  for at in random.Random(name).sample(range(len(data)), 60):
    path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
    assert found(path).count(False) <= 1, at

"""What one input may cost, at each limit and one past it, by the way that the jobs take."""

import bz2
import gzip
import lzma
import pathlib
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

import pytest

from tests.transforms.archive_files import tar_bytes, zip_bytes
from tests.transforms.pictures import gradient, png
from tests.transforms.raw_zip import BZIP2, STORED, ZSTD, Entry, raw_zip
from transforms.concurrency import run_in_order
from transforms.decode import DecodeOptions
from transforms.elements import Limits
from transforms.inputs import list_input, name_inputs
from transforms.listed_files import open_listed
from transforms.preprocess import PreprocessSpec
from transforms.read import ReadSource, read_tasks, run

MIB = 1 << 20
PNG = png(gradient(20, 20, 8))
NOISE = random.Random(0).randbytes(100)


def read_path(path: pathlib.Path, limits: Limits) -> list[ReadSource]:
  options = DecodeOptions(PreprocessSpec(16), limits=limits)
  batches = list_input(name_inputs([str(path)])[0], limits)
  results = [part for batch in batches for task in read_tasks(batch, open_listed, options) for part in run(task)]
  sources = [source for result in results for source in result.sources]
  assert sum(result.listed for result in results) == len(sources) == len({source.source for source in sources})
  return sources


def rows(folder: pathlib.Path, data: bytes, limits: Limits) -> list[tuple[str, str]]:
  (folder / 'x').write_bytes(data)
  read = read_path(folder / 'x', limits)
  return [(s.source.member, s.frames[0].error.code if s.frames[0].error else 'ok') for s in read]


INNER = zip_bytes([('a', NOISE), ('b', NOISE)])


@pytest.mark.parametrize(('limit', 'expected'), [(len(INNER), 2), (len(INNER) - 1, 1)])
@pytest.mark.parametrize('in_stream', [False, True])
def test_a_zip_inside_is_spooled_up_to_the_limit(
  tmp_path: pathlib.Path, limit: int, expected: int, in_stream: bool
) -> None:
  data = gzip.compress(INNER) if in_stream else zip_bytes([('i', INNER)])
  codes = [code for _, code in rows(tmp_path, data, Limits(max_spooled_bytes=limit))]
  assert codes == (['not-an-image'] * 2 if expected == 2 else ['too-large'])


@pytest.mark.parametrize('outer', [zip_bytes, tar_bytes])
@pytest.mark.parametrize(('limit', 'second'), [(4, 'not-an-image'), (3, 'bomb')])
def test_members_of_all_levels_below_one_member_are_counted(
  tmp_path: pathlib.Path, outer: Callable[[list[tuple[str, bytes]]], bytes], limit: int, second: str
) -> None:
  tree = zip_bytes([('i', INNER), ('x', NOISE)])  # four members: two here, two inside
  found = rows(tmp_path, outer([('tree', tree)]), Limits(max_members=limit))
  expected = {'not-an-image': ['tree!/i!/a', 'tree!/i!/b', 'tree!/x'], 'bomb': ['tree!/i', 'tree!/x']}
  assert [member for member, _ in found] == expected[second]
  assert found[0][1] == second


def test_small_members_do_not_hold_many(tmp_path: pathlib.Path) -> None:
  def tree(count: int) -> bytes:
    return bz2.compress(raw_zip([Entry('a')] * count))

  many = next(count for count in range(1001, 2000) if count > 1000 + len(tree(count)) // 8)
  found = [rows(tmp_path, raw_zip([Entry('i', tree(count))]), Limits()) for count in (many - 1, many)]
  assert [Counter(code for _, code in each) for each in found] == [{'empty-file': many - 1}, {'bomb': 1}]


@pytest.mark.parametrize(('spare', 'last'), [(0, 'not-an-image'), (-1, 'bomb')])
def test_an_archive_inflates_up_to_its_limit_with_all_inside(tmp_path: pathlib.Path, spare: int, last: str) -> None:
  inner = raw_zip([Entry('a', bytes(MIB), BZIP2), Entry('b', bytes(MIB), BZIP2)])
  limits = Limits(max_inflated_bytes=len(inner) + 2 * MIB + spare, max_inflation_ratio=1)
  assert [code for _, code in rows(tmp_path, gzip.compress(inner), limits)] == ['not-an-image', last]


@pytest.mark.parametrize(('spare', 'last'), [(1, 'not-an-image'), (-1, 'bomb')])
def test_a_member_has_a_share_of_it_by_its_size(tmp_path: pathlib.Path, spare: int, last: str) -> None:
  inner = raw_zip([Entry(name, bytes(8 * MIB), BZIP2) for name in 'abc'])
  outer = raw_zip([Entry('i', inner), Entry('x', bytes(len(inner)))])
  limits = Limits(max_inflated_bytes=24 * MIB * len(outer) // len(inner) + spare, max_inflation_ratio=1)
  assert [code for _, code in rows(tmp_path, outer, limits)] == ['not-an-image'] * 2 + [last, 'not-an-image']


def test_bombs_inside_bombs_come_to_an_end(tmp_path: pathlib.Path) -> None:
  bomb = bz2.compress(bz2.compress(bz2.compress(bytes(80 * MIB))))
  limits = Limits(max_inflated_bytes=64 * MIB)
  assert rows(tmp_path, zip_bytes([('a.bz2', bomb), ('b', PNG)]), limits) == [('a.bz2', 'bomb'), ('b', 'ok')]
  assert rows(tmp_path, bomb, limits) == [('', 'bomb')]
  many = raw_zip([Entry(f'{number}', bytes(8 * MIB), ZSTD) for number in range(40)])
  found = Counter(code for _, code in rows(tmp_path, zip_bytes([('many', many), ('b', PNG)]), limits))
  assert found['ok'] == 1
  assert found['bomb'] > 30


def test_an_archive_that_holds_copies_of_itself_comes_to_an_end(tmp_path: pathlib.Path) -> None:
  data = zip_bytes([('x', NOISE)])
  for _ in range(8):
    data = zip_bytes([('left', data), ('right', data)])
  found = Counter(code for _, code in rows(tmp_path, data, Limits()))
  assert found == {'archive-nesting': 16}


@pytest.mark.parametrize('pack', [gzip.compress, bz2.compress, lzma.compress])
def test_streams_inside_streams_are_nested(tmp_path: pathlib.Path, pack: Callable[[bytes], bytes]) -> None:
  data = PNG
  for _ in range(4):
    data = pack(data)
  assert rows(tmp_path, data, Limits(max_nesting=3)) == [('', 'ok')]
  assert rows(tmp_path, data, Limits(max_nesting=2)) == [('', 'archive-nesting')]


def test_a_file_that_grew_is_read_up_to_the_limit(tmp_path: pathlib.Path) -> None:
  (tmp_path / 'x').write_bytes(NOISE)
  limits = Limits(max_member_bytes=len(NOISE))
  [batch] = list_input(name_inputs([str(tmp_path / 'x')])[0], limits)
  (tmp_path / 'x').write_bytes(NOISE + b'!')
  unknown = 0  # a version that nothing is compared with

  def opener(path: str, size_bytes: int, _: int) -> BinaryIO:
    return open_listed(path, size_bytes, unknown)

  [task] = read_tasks(batch, opener, DecodeOptions(PreprocessSpec(16), limits=limits))
  [source] = task().sources
  assert source.frames[0].error
  assert source.frames[0].error.code == 'too-large'


_MEASURE = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
from transforms.concurrency import run_in_order
from transforms.decode import DecodeOptions
from transforms.inputs import list_input, name_inputs
from transforms.listed_files import open_listed
from transforms.read import read_tasks

def peak():
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

idle, options = peak(), DecodeOptions()
batches = [batch for path in sys.argv[1:] for batch in list_input(name_inputs([path])[0], options.limits)]
tasks = (task for batch in batches for task in read_tasks(batch, open_listed, options))
with ThreadPoolExecutor(2) as pool:
  sources = sum(len(result.sources) for result in run_in_order(tasks, pool, 4, lambda part: part.rest))
print(sources, peak() - idle)
"""


def test_two_threads_hold_no_more_than_the_budget(tmp_path: pathlib.Path) -> None:
  large = random.Random(0).randbytes(1 << 12) * (300 * MIB >> 12)
  for name in ('a.zip', 'b.zip'):  # two archives are two tasks, which would run at the same time
    (tmp_path / name).write_bytes(raw_zip([Entry('x', large, ZSTD, packed=None), Entry('y', NOISE, STORED)]))
  (tmp_path / 'c.tar.gz').write_bytes(tar_bytes([('x', large), ('y', large)], 'w:gz'))
  del large
  paths = [str(tmp_path / name) for name in ('a.zip', 'b.zip', 'c.tar.gz')]
  output = subprocess.run([sys.executable, '-c', _MEASURE, *paths], check=True, capture_output=True, text=True).stdout
  sources, peak = map(int, output.split())
  assert sources == 6
  assert peak < 512 * MIB


def test_large_members_of_a_stream_do_not_wait_for_each_other(tmp_path: pathlib.Path) -> None:
  """More than the budget in all, of one stream and of ranges at once: whoever waits gets its turn."""
  large = bytes(5 * MIB) + NOISE
  (tmp_path / 'a.tar.gz').write_bytes(tar_bytes([(f'{number}', large) for number in range(120)], 'w:gz'))
  limits = Limits()
  options = DecodeOptions(PreprocessSpec(16), limits=limits)
  results: list[int] = []

  def read() -> None:
    batches = list_input(name_inputs([str(tmp_path / 'a.tar.gz')])[0], limits)
    tasks = (task for batch in batches for task in read_tasks(batch, open_listed, options))
    with ThreadPoolExecutor(2) as pool:
      results.append(sum(len(result.sources) for result in run_in_order(tasks, pool, 4, lambda part: part.rest)))

  readers = [threading.Thread(target=read) for _ in range(2)]
  for reader in readers:
    reader.start()
  for reader in readers:
    reader.join()
  assert results == [120, 120]

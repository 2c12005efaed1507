"""Broken files of every kind: rows come out, and `InputError` is the only defect that there is.

`make fuzz` is the same for longer, over real files as well.
"""

import pathlib
import random
import sys
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks import fuzz
from benchmarks.fuzz import Case, cases, run_cases
from benchmarks.fuzz_seeds import Seed, generated
from benchmarks.mutations import MUTATIONS, Mutation, mutate
from tests.transforms.archives.outcomes import read_ranged, read_stream
from tests.transforms.pictures import gradient, pillow_jpeg, png
from transforms.archives.members import STREAMED
from transforms.decode import DecodeOptions, decode_source
from transforms.dicom import header_facts, read_dicom
from transforms.elements import Limits
from transforms.errors import InputError
from transforms.pixel_layout import pixel_layout
from transforms.sniff import HEAD_BYTES, Kind, sniff

_LIMIT_S = 60.0
_MUTATIONS = 12
_EXAMPLES = settings(
  max_examples=1500,
  deadline=None,
  derandomize=True,  # the same examples every time: this is a test, and `make fuzz` is the search
  database=None,
  suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
_SEEDS = list(generated())
_LIMITS = Limits(max_members=1000)


def broken(*kinds: Kind) -> st.SearchStrategy[bytes]:
  """Seeds of some kinds, broken; what is found is shrunk to the fewest changes."""
  of_kinds = [data for _, data in _SEEDS if sniff(data[:HEAD_BYTES]) in kinds]
  assert len(of_kinds) > 2
  files = st.sampled_from(of_kinds)
  return st.builds(mutate, files, files, st.randoms(use_true_random=False))


@pytest.fixture(scope='module')
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[pathlib.Path]:
  folder = tmp_path_factory.mktemp('seeds')
  return [write(folder, seed) for seed in _SEEDS]


def write(folder: pathlib.Path, seed: Seed) -> pathlib.Path:
  (folder / seed[0]).write_bytes(seed[1])
  return folder / seed[0]


def test_every_broken_file_has_a_row_and_harms_nobody(seeds: list[pathlib.Path], tmp_path: pathlib.Path) -> None:
  outcomes = list(run_cases(list(cases(seeds, _MUTATIONS, seed=1)), tmp_path, _LIMIT_S, processes=2))
  assert len(outcomes) == _MUTATIONS * len(seeds)
  assert [(outcome.failure, outcome.case.chance, outcome.text) for outcome in outcomes if outcome.failure] == []
  codes = sum((Counter(outcome.codes) for outcome in outcomes), Counter())
  assert {'ok', 'decode-failed', 'header-corrupt', 'archive-corrupt', 'read-failed', 'unsupported-image'} <= set(codes)


@_EXAMPLES
@given(broken(Kind.ZIP, Kind.TAR))
def test_listing_and_reading_an_archive_raises_input_errors_only(data: bytes) -> None:
  for kind in (Kind.ZIP, Kind.TAR):
    rows = read_ranged(data, _LIMITS, kind)
    assert len({(name, occurrence) for name, occurrence, _ in rows}) == len(rows) > 0


@_EXAMPLES
@given(broken(Kind.GZIP, Kind.BZIP2, Kind.XZ, Kind.ZSTD))
def test_reading_a_stream_raises_input_errors_only(data: bytes) -> None:
  kind = sniff(data[:HEAD_BYTES])
  assert read_stream(data, _LIMITS, kind if kind in STREAMED else Kind.GZIP)


@_EXAMPLES
@given(broken(Kind.DICOM))
def test_reading_a_header_raises_input_errors_only(data: bytes) -> None:
  try:
    dataset = read_dicom(data, _LIMITS)
    header_facts(dataset)
    pixel_layout(dataset, _LIMITS)
  except InputError:
    return


@_EXAMPLES
@given(broken(Kind.DICOM) | broken(Kind.JPEG, Kind.PNG, Kind.GIF, Kind.BMP, Kind.TIFF))
def test_decoding_is_total(data: bytes) -> None:
  frames = list(decode_source(data, DecodeOptions()))
  assert frames
  assert all((frame.pixels is None) != (frame.error is None) for frame in frames)


def test_the_same_chance_breaks_in_the_same_way() -> None:
  data, donor = pillow_jpeg(gradient(bits=8)), png(gradient(bits=8))
  assert mutate(data, donor, random.Random('a')) == mutate(data, donor, random.Random('a'))
  assert len({mutate(data, donor, random.Random(seed)) for seed in range(50)}) > 45


@pytest.mark.parametrize('mutation', dict.fromkeys(MUTATIONS))
@pytest.mark.parametrize('data', [b'', b'\0', b'some bytes'])
def test_every_mutation_takes_any_file(mutation: Mutation, data: bytes) -> None:
  changed = 0
  for seed in range(200):
    copy = bytearray(data)
    mutation(random.Random(seed), copy, b'donor')
    changed += copy != data
  assert changed > 0 or not data


# Processes that read badly, in place of ours; all answer once, to say that they have started.
_STARTED = 'print("{}", flush=True); input(); '
_ANSWER = 'print(\'{"listed": 1, "written": 1, "codes": {"ok": 1}}\', flush=True); input()'
STAND_INS = {
  'crash': 'import os; os.abort()',
  'hang': 'import threading; threading.Event().wait()',
  'loss': _ANSWER.replace('"listed": 1', '"listed": 2'),
  'memory': f'data = b"1" * (200 << 20); del data; {_ANSWER}',
  '': _ANSWER,
}


@pytest.mark.parametrize('failure', STAND_INS)
def test_each_failure_is_noticed_and_kept(
  failure: str, seeds: list[pathlib.Path], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  monkeypatch.setattr(fuzz, 'MEMORY_LIMIT_BYTES', 100 << 20)
  case = Case(seeds[0], seeds[1], '1/2/seed')
  command = [sys.executable, '-c', f'input(); {_STARTED}{STAND_INS[failure]}']
  [outcome] = run_cases([case], tmp_path, limit_s=2, processes=1, command=command)
  assert outcome.failure == failure
  kept = [path.read_bytes() for path in tmp_path.glob('failures/*')]
  assert kept == ([case.data()] if failure else [])

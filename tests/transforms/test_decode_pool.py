"""Codecs that crash, hang and eat memory take their own process down, and nothing else."""

import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pydicom.uid import UID, JPEGLSLossless

from transforms.decode_pool import DecodePool, decode_pool
from transforms.elements import Limits
from transforms.errors import InputError, MachineError
from transforms.pixel_layout import Layout

ROOT = pathlib.Path(__file__).parents[2]
LIMITS = Limits(max_decode_seconds=60, max_decode_bytes=512 << 20)
HASTY = Limits(max_decode_seconds=1)
LAYOUT = Layout(
  keyword='PixelData',
  start=0,
  end=0,
  transfer_syntax=UID(JPEGLSLossless),
  rows=4,
  columns=6,
  frames=1,
  fragments=(),
  samples=1,
  photometric='MONOCHROME2',
  bits_allocated=16,
  bits_stored=12,
  high_bit=11,
  signed=False,
  planar=0,
  order='<',
  is_swapped=False,
)


@pytest.fixture
def pool() -> Iterator[DecodePool]:
  made = DecodePool(2, 'tests.transforms.bad_codecs')
  yield made
  made.close()


def reason(pool: DecodePool, codestream: bytes, limits: Limits = LIMITS) -> str:
  with pytest.raises(InputError) as caught:
    pool.decode(codestream, LAYOUT, limits)
  return caught.value.code


def children() -> set[str]:
  return set(pathlib.Path(f'/proc/self/task/{os.getpid()}/children').read_text().split())


def open_files() -> int:
  return len(os.listdir('/proc/self/fd'))


def test_values_come_back_as_they_are(pool: DecodePool) -> None:
  values = pool.decode(b'\x07', LAYOUT, LIMITS)
  assert values.dtype == np.uint16
  assert np.array_equal(values, np.full((4, 6), 7))


@pytest.mark.parametrize(
  ('codestream', 'limits', 'code'),
  [
    (b'crash', LIMITS, 'decoder-crashed'),
    (b'exit', LIMITS, 'decoder-crashed'),
    (b'babble', LIMITS, 'decoder-crashed'),
    (b'hang', HASTY, 'decoder-timeout'),
    (b'eat', LIMITS, 'decoder-memory'),
    (b'refuse', LIMITS, 'decode-failed'),
  ],
)
def test_failure_costs_its_own_call_alone(pool: DecodePool, codestream: bytes, limits: Limits, code: str) -> None:
  assert reason(pool, codestream, limits) == code
  assert pool.decode(b'\x09', LAYOUT, LIMITS)[0, 0] == 9


def test_neighbours_at_work_do_not_notice(pool: DecodePool) -> None:
  jobs = [b'crash' if number % 5 == 0 else bytes([number]) for number in range(40)]

  def outcome(codestream: bytes) -> int | str:
    return reason(pool, codestream) if codestream == b'crash' else int(pool.decode(codestream, LAYOUT, LIMITS)[0, 0])

  with ThreadPoolExecutor(4) as threads:
    outcomes = list(threads.map(outcome, jobs))
  assert outcomes == ['decoder-crashed' if number % 5 == 0 else number for number in range(40)]


def test_nothing_leaks_over_many_crashes(pool: DecodePool) -> None:
  before = children()
  pool.decode(b'\x01', LAYOUT, LIMITS)
  files = open_files()
  for _ in range(20):
    assert reason(pool, b'crash') == 'decoder-crashed'
  pool.decode(b'\x01', LAYOUT, LIMITS)
  assert len(children() - before) == 1
  assert open_files() == files


def test_worker_lives_on_after_memory_and_refusals(pool: DecodePool) -> None:
  pool.decode(b'\x01', LAYOUT, LIMITS)
  before = children()
  assert reason(pool, b'eat') == 'decoder-memory'
  assert reason(pool, b'refuse') == 'decode-failed'
  assert children() == before


def test_a_defect_of_ours_costs_the_image_and_is_told_by_its_kind_and_place_alone(pool: DecodePool) -> None:
  with pytest.raises(InputError, match=r'KeyError at transforms/decode_worker\.py:') as caught:
    pool.decode(b'defect', LAYOUT, LIMITS)
  assert caught.value.code == 'internal-error'
  assert 'nobody may see' not in str(caught.value)


def test_worker_that_cannot_start_is_no_fault_of_the_input() -> None:
  with pytest.raises(MachineError, match='does not start'):
    DecodePool(1, 'transforms.there_is_none').decode(b'\x01', LAYOUT, LIMITS)


def test_one_pool_a_process() -> None:
  with ThreadPoolExecutor(4) as threads:
    assert len({id(pool) for pool in threads.map(lambda _: decode_pool(), range(8))}) == 1


def start_busy_parent() -> subprocess.Popen[str]:
  program = (
    'from tests.transforms.test_decode_pool import *\n'
    "pool = DecodePool(2, 'tests.transforms.bad_codecs')\n"
    "pool.decode(b'1', LAYOUT, LIMITS)\n"
    "threading.Thread(target=reason, args=(pool, b'hang', HASTY), daemon=True).start()\n"
    'while len(children()) < 1: time.sleep(0.01)\n'
    'print(*children(), flush=True)\n'
    'time.sleep(600)\n'
  )
  return subprocess.Popen([sys.executable, '-c', program], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def is_alive(pid: str) -> bool:
  try:
    return pathlib.Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0] != 'Z'
  except FileNotFoundError:
    return False


def test_workers_go_with_a_parent_that_is_killed() -> None:
  with start_busy_parent() as parent:
    assert parent.stdout is not None
    workers = parent.stdout.readline().split()
    parent.send_signal(signal.SIGKILL)
  assert workers
  deadline = time.monotonic() + 60  # the clock of a worker at work ends it, its socket one that is idle
  while any(map(is_alive, workers)) and time.monotonic() < deadline:
    time.sleep(0.05)
  assert not any(map(is_alive, workers))


def loaded_by(module: str) -> set[str]:
  program = f'import sys, {module}; print(*sys.modules)'
  done = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, check=True)
  return set(done.stdout.split())


@pytest.mark.parametrize('module', ['transforms.decode_worker', 'transforms.pydicom_plugins'])
def test_a_worker_is_small(module: str) -> None:
  assert not loaded_by(module) & {'apache_beam', 'tensorflow', 'google.cloud.storage'}


def test_the_parent_leaves_the_plugins_alone() -> None:
  assert 'transforms.pydicom_plugins' not in loaded_by('transforms.decode')


def test_threads_take_their_turns(pool: DecodePool) -> None:
  before = children()
  with ThreadPoolExecutor(8) as threads:
    list(threads.map(lambda number: pool.decode(bytes([number]), LAYOUT, LIMITS), range(64)))
  assert len(children() - before) <= 2
  assert threading.active_count() < 64

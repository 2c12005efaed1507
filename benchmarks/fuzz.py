"""Breaks files in many ways and reads them as the jobs do: every source must get a row, and nothing else may happen.

  python -m benchmarks.fuzz --output DIR [--samples DIR] [--files 300] [--mutations 20] [--seed 1] [--limit_s 60]

Files are read in processes of their own, through listing, packing, reading and decoding. A process that ends, or an
exception, is a crash; one that takes longer than the limit is a hang; a source without a row, or more rows than were
listed, is a loss. What fails is kept in DIR/failures, with the seed that made it; exit 1 if anything did.
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO, Any

from benchmarks.fuzz_seeds import write_seeds
from benchmarks.measure import forget_peaks, tree_bytes, tree_peak_bytes
from benchmarks.mutations import mutate

FAILURES = ('crash', 'hang', 'loss', 'memory')
MEMORY_LIMIT_BYTES = 3 << 29  # 1.5 GiB above the idle process
READ = (sys.executable, '-m', 'benchmarks.fuzz', '--read')
_POLL_S = 0.02
_TAIL_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Case:
  """One broken file: mutation `number` of a seed; the donor follows from both."""

  path: pathlib.Path
  donor: pathlib.Path
  chance: str

  def data(self) -> bytes:
    """Its bytes."""
    return mutate(self.path.read_bytes(), self.donor.read_bytes(), random.Random(self.chance))


@dataclass(slots=True)
class Outcome:
  """What came of one case; `failure` is empty where all is well."""

  case: Case
  failure: str = ''
  codes: dict[str, int] = field(default_factory=dict)
  seconds: float = 0
  grown_bytes: int = 0
  text: str = ''


def cases(seeds: Sequence[pathlib.Path], mutations: int, seed: int) -> Iterator[Case]:
  """So many mutations of each file; the same seed gives the same."""
  for number in range(mutations):
    for place, path in enumerate(seeds):
      chance = f'{seed}/{number}/{path.name}'
      donor = seeds[(place + random.Random(chance).randrange(len(seeds))) % len(seeds)]
      yield Case(path, donor, chance)


# --- the process that reads


def read_forever() -> None:
  """Reads the files whose paths come by stdin, a line each, and says what came of each, a line each."""
  from transforms.concurrency import usable_cores
  from transforms.decode import DecodeOptions
  from transforms.inputs import Input, list_input
  from transforms.read_beam import read_shard
  from transforms.shards import pack_shards

  options = DecodeOptions()
  for line in sys.stdin:
    listed, codes, sources = 0, Counter[str](), Counter[Any]()
    batches = list(list_input(Input(line.strip(), 'fuzz'), options.limits))
    for shard in pack_shards(batches, usable_cores()):
      for batch in read_shard(shard, options):
        listed += batch.listed
        for source in batch.sources:
          sources[source.source] += 1
          codes.update(frame.error.code if frame.error else 'ok' for frame in source.frames)
          codes['no row'] += not source.frames
    print(json.dumps({'listed': listed, 'written': len(sources), 'codes': codes}), flush=True)


class Reader:
  """A process that reads, and is started anew when it had to go."""

  def __init__(self, limit_s: float, command: Sequence[str] = READ) -> None:
    self._limit_s = limit_s
    self._command = command
    self._process: subprocess.Popen[bytes] | None = None
    self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the reader
    self._idle_bytes = 0

  def read(self, path: pathlib.Path, case: Case) -> Outcome:
    """Reads one file."""
    process = self._process or self._start()
    forget_peaks(process.pid)
    outcome = Outcome(case)
    started = time.perf_counter()
    answer = self._ask(process, path, outcome)
    outcome.seconds = time.perf_counter() - started
    if answer:
      outcome.grown_bytes = max(outcome.grown_bytes, tree_peak_bytes(process.pid) - self._idle_bytes)
      found = json.loads(answer)
      outcome.codes = {code: count for code, count in found['codes'].items() if count}
      if found['listed'] != found['written'] or not found['written'] or 'no row' in outcome.codes:
        outcome.failure, outcome.text = 'loss', f'listed {found["listed"]}, written {found["written"]}'
      elif outcome.grown_bytes > MEMORY_LIMIT_BYTES:
        outcome.failure, outcome.text = 'memory', f'{outcome.grown_bytes / 2**30:.2f} GiB'
    return outcome

  def _ask(self, process: 'subprocess.Popen[bytes]', path: pathlib.Path, outcome: Outcome) -> bytes:
    assert process.stdin
    assert process.stdout
    process.stdin.write(f'{path}\n'.encode())
    process.stdin.flush()
    deadline = time.monotonic() + self._limit_s
    while not select.select([process.stdout], [], [], _POLL_S)[0]:
      outcome.grown_bytes = max(outcome.grown_bytes, tree_bytes(process.pid) - self._idle_bytes)
      if time.monotonic() > deadline:
        outcome.failure, outcome.text = 'hang', f'{self._limit_s:.0f} s'
        self.stop()
        return b''
    answer = process.stdout.readline()
    if not answer:
      outcome.failure, outcome.text = 'crash', f'exit {process.wait()}\n{self._tail()}'
      self.stop()
    return answer

  def _start(self) -> 'subprocess.Popen[bytes]':
    self._errors.truncate(0)
    self._process = subprocess.Popen(
      self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, start_new_session=True
    )
    with tempfile.NamedTemporaryFile() as empty:  # an answer says that all is loaded
      self._idle_bytes = 0
      self._ask(self._process, pathlib.Path(empty.name), Outcome(Case(pathlib.Path(), pathlib.Path(), '')))
    self._idle_bytes = tree_bytes(self._process.pid)
    return self._process

  def _tail(self) -> str:
    self._errors.seek(0)
    return self._errors.read()[-_TAIL_BYTES:].decode(errors='replace')

  def stop(self) -> None:
    """Ends the process and all that it started."""
    if self._process:
      with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        os.killpg(self._process.pid, signal.SIGKILL)
      self._process.wait()
      self._process = None


def run_cases(
  todo: Sequence[Case], output: pathlib.Path, limit_s: float, processes: int, command: Sequence[str] = READ
) -> Iterator[Outcome]:
  """Reads every case; what fails is kept below the output."""
  own = threading.local()
  readers: list[Reader] = []

  def run(case: Case) -> Outcome:
    if not hasattr(own, 'reader'):
      own.reader = Reader(limit_s, command)
      readers.append(own.reader)
    data = case.data()
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder, 'broken')
      path.write_bytes(data)
      outcome: Outcome = own.reader.read(path, case)
    if outcome.failure:
      kept = output / 'failures' / f'{outcome.failure}-{case.chance.replace("/", "-")}'
      kept.parent.mkdir(parents=True, exist_ok=True)
      kept.write_bytes(data)
    return outcome

  try:
    with ThreadPoolExecutor(processes) as threads:
      yield from threads.map(run, todo)
  finally:
    for reader in readers:
      reader.stop()


def report(outcomes: Sequence[Outcome]) -> None:
  """Prints what came of all cases."""
  codes: Counter[str] = Counter()
  for outcome in outcomes:
    codes.update(outcome.codes)
  failures = Counter(outcome.failure for outcome in outcomes if outcome.failure)
  print('rows: ' + ', '.join(f'{code} {count}' for code, count in codes.most_common()))
  slowest = sorted(outcomes, key=lambda outcome: -outcome.seconds)[:3]
  print('slowest: ' + ', '.join(f'{outcome.seconds:.1f} s {outcome.case.chance}' for outcome in slowest))
  largest = max(outcomes, key=lambda outcome: outcome.grown_bytes)
  print(f'most memory above idle: {largest.grown_bytes / 2**30:.2f} GiB {largest.case.chance}')
  print(f'{len(outcomes)} broken files; ' + ', '.join(f'{failures[kind]} {kind}' for kind in FAILURES))


def main(argv: Sequence[str] | None = None) -> int:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--output', type=pathlib.Path, help='folder for the files to break and for failures')
  parser.add_argument('--samples', type=pathlib.Path, help='folder of real DICOM files, to be broken as well')
  parser.add_argument('--files', type=int, default=300)
  parser.add_argument('--mutations', type=int, default=20)
  parser.add_argument('--seed', type=int, default=1, help='another one, other mutations')
  parser.add_argument('--limit_s', type=float, default=60, help='longer is a hang')
  parser.add_argument('--processes', type=int, default=2)
  parser.add_argument('--read', action='store_true', help=argparse.SUPPRESS)
  options = parser.parse_args(argv)
  if options.read:
    read_forever()
    return 0
  seeds = write_seeds(options.output / 'whole', options.samples, options.files)
  todo = list(cases(seeds, options.mutations, options.seed))
  print(f'{len(seeds)} files, {len(todo)} mutations', flush=True)
  outcomes = []
  for outcome in run_cases(todo, options.output, options.limit_s, options.processes):
    outcomes.append(outcome)
    if outcome.failure:
      print(f'{outcome.failure}: {outcome.case.chance} {outcome.seconds:.1f} s\n{outcome.text}', flush=True)
  report(outcomes)
  return int(any(outcome.failure for outcome in outcomes))


if __name__ == '__main__':
  sys.exit(main())

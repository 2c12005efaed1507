"""An inbox, two small models, and the command line of a night, for tests that live through some."""

import copy
import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.cli import main
from pipelines.run_record import read_record, recorded_runs
from tests.transforms.archive_files import zip_bytes
from tests.transforms.pictures import dicom_dataset, dicom_file

_MAIN = 'from pipelines.cli import main; raise SystemExit(main())'
_SIDE_PX = 16


def radiograph(image: str, grey: int, study: str = '7') -> bytes:
  """A DICOM file whose pixel at the upper left is `grey` when it comes to the model."""
  values = np.full((_SIDE_PX, _SIDE_PX), grey, np.uint8)
  values[-1] = np.arange(_SIDE_PX)  # else it would be blank
  uid = f'1.2.826.{image}'
  identity = {'WindowCenter': 128, 'WindowWidth': 256}  # PS3.3 C.11.2.1.2.1: of 8 bits, as they are
  return dicom_file(dicom_dataset(values, SOPInstanceUID=uid, StudyInstanceUID=f'1.2.840.{study}', **identity))


class Site:
  """A hospital: an inbox, an output, a key, and models `1` and `2`, of which `2` halves the scores of `1`."""

  def __init__(self, root: pathlib.Path, models: pathlib.Path) -> None:
    self.root = root
    self.models = models
    self.inbox.mkdir(parents=True)
    self.key.write_bytes(bytes(range(32)))
    self.key.chmod(0o600)
    self.pointer = root / 'current-model'
    self.roll_out('1')
    self._second = 1_700_000_000

  @property
  def inbox(self) -> pathlib.Path:
    return self.root / 'inbox'

  @property
  def output(self) -> pathlib.Path:
    return self.root / 'out'

  @property
  def key(self) -> pathlib.Path:
    return self.root / 'key'

  def copied(self, root: pathlib.Path) -> 'Site':
    """The hospital as far as it came, elsewhere, so that a test can go on from there."""
    shutil.copytree(self.root, root)
    twin = copy.copy(self)
    twin.root, twin.pointer = root, root / self.pointer.name
    return twin

  def roll_out(self, version: str) -> None:
    """Makes a model the current one."""
    self.pointer.write_text(f'{self.models / version}\n')

  def deliver(self, name: str, content: bytes) -> pathlib.Path:
    """A file arrives, each a second after the one before."""
    path = self.inbox / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    self._second += 1
    os.utime(path, (self._second, self._second))
    return path

  def deliver_zip(self, name: str, **greys: int) -> pathlib.Path:
    """A zip of images, by their names and what the model is to see."""
    members = [(f'{image}.dcm', radiograph(image[1:], grey)) for image, grey in greys.items()]
    return self.deliver(name, zip_bytes(members))

  def command(self, *more: str) -> list[str]:
    """The arguments of a night, of the current model unless another is named."""
    model = () if '--bundle' in more else ('--bundle', str(self.pointer))
    return [
      *('nightly', '--inbox', str(self.inbox), *model, '--output', str(self.output)),
      *('--pseudonym_key_file', str(self.key), '--settle_seconds', '0', '--max_reject_ratio', '1', *more),
    ]

  def night(self, *more: str) -> int:
    """Runs a night in this process; its exit code."""
    return main(self.command(*more))

  def start_night(self, *more: str) -> 'subprocess.Popen[str]':
    """Starts a night in a process group of its own."""
    command = [sys.executable, '-c', _MAIN, *self.command(*more)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)

  def records(self, job: str = 'nightly') -> list[dict[str, Any]]:
    """The records of all nights, or of all slices, oldest first."""
    records = [read_record(str(self.output), run_id) for run_id in recorded_runs(str(self.output))]
    return [record for record in records if record['job'] == job]

  def rows(self) -> list[dict[str, Any]]:
    """All rows of runs that happened, in the order of the runs."""
    tables = [
      pq.read_table(self.output / record['predictions'] / name, partitioning=None)
      for record in self.records('score')
      for name in record['files']
    ]
    rows: list[dict[str, Any]] = pa.concat_tables(tables).to_pylist() if tables else []
    return rows

  def published(self) -> set[str]:
    """The runs that have a folder of predictions, whether they have a record or not."""
    return {path.name.removeprefix('run_id=') for path in self.output.glob('predictions/*/*/*')}

  def staged(self) -> list[dict[str, Any]]:
    """What unfinished slices have noted of themselves."""
    return [json.loads(path.read_text()) for path in self.output.glob('.staging/nightly/*/run.json')]

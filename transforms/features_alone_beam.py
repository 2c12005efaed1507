"""The full pass over the train split's sums in a process of its own, which has a disk of its own.

tf.Transform writes through TensorFlow, which not every object store can be
given to. Where workers share no disk it therefore runs on one of them, in this
module's own process, by the in-process engine; the graph is copied afterwards.
That is no loss: what it analyses is one row per class.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import fn_runner

from transforms import storage
from transforms.features import SUMS, Scaling
from transforms.features_beam import AnalyzeFeatures, Row, add_sums, gathered, key_by_label


@dataclass(eq=False)
class AnalyzeFeaturesAlone(beam.PTransform):
  """PCollection[dict] → PCollection[str]: as `AnalyzeFeatures`, for an output that may be an object store's."""

  shape: tuple[int, int, int]
  scaling: Scaling
  labelled: bool
  output_dir: str

  def expand(self, rows: beam.PCollection[Row]) -> beam.PCollection[str]:
    """Adds up, brings the sums together, analyses them."""
    values = {'shape': self.shape, 'scaling': self.scaling, 'labelled': self.labelled}
    return (
      rows
      | 'KeyByLabel' >> beam.Map(key_by_label)
      | 'AddSums' >> beam.CombinePerKey(add_sums)
      | 'OnOneWorker' >> beam.combiners.ToList()
      | 'AnalyzeAlone' >> beam.Map(_analyze, values, self.output_dir)
    )


def _analyze(totals: list[tuple[str, tuple[int, ...]]], values: dict[str, Any], output_dir: str) -> str:
  rows = [{'label': label or None, **dict(zip(SUMS, sums, strict=True))} for label, sums in sorted(totals)]
  with tempfile.TemporaryDirectory(prefix='radbeam-') as folder:
    _run_alone(values | {'rows': rows, 'output_dir': f'{folder}/graph'})
    root = gathered(f'{folder}/graph')
    files = sorted(file for file in root.rglob('*') if file.is_file())
    target = storage.join(output_dir, root.name)  # of this attempt: an engine may make several, also at once
    storage.copy_files([(str(file), storage.join(target, file.relative_to(root).as_posix())) for file in files])
  return target


def _run_alone(job: dict[str, Any]) -> None:
  paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
  done = subprocess.run(
    [sys.executable, '-P', '-m', __name__],
    input=json.dumps(job).encode(),
    env=os.environ | {'PYTHONPATH': paths},
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,  # what TensorFlow says may name labels
    check=False,
  )
  if done.returncode:
    raise RuntimeError(f'`python -m {__name__}` ended with exit code {done.returncode}')


def main() -> None:
  """Reads the job from stdin."""
  job = json.load(sys.stdin)
  rows = job.pop('rows')
  analyze = AnalyzeFeatures(**job | {'shape': tuple(job['shape'])})
  with beam.Pipeline(runner=fn_runner.FnApiRunner()) as pipeline:
    _ = pipeline | 'Rows' >> beam.Create(rows) | 'AnalyzeFeatures' >> analyze


if __name__ == '__main__':
  main()

"""Years of predictions without any image: how long `current`, the study rows of a night, and the DuckDB statement take.

`python -m benchmarks.tables --output DIR` writes 200 nights of 5,000 images each, of which every tenth is an older one
again, and reads them.
"""

import argparse
import datetime
import hashlib
import pathlib
import re
import resource
import shutil
import time
from collections.abc import Callable, Iterable
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from pipelines.current import current
from pipelines.run_record import new_run_id, record_path, write_record
from pipelines.schemas import PREDICTIONS, write_arrow
from pipelines.studies import current_studies, publish_studies

_README = pathlib.Path(__file__).parent.parent / 'README.md'
_FIRST = datetime.datetime(2024, 1, 1, 1, tzinfo=datetime.UTC)
_IMAGES_OF_A_STUDY = 4
_DELIVERIES = 40  # images of one
_PART = 'part-00000-of-00001.parquet'
_MODEL = {'name': 'cnn', 'version': '1', 'digest': 'd' * 64}


def _ids(kind: str, numbers: Iterable[int]) -> list[str]:
  return [hashlib.md5(f'{kind}{number}'.encode()).hexdigest() for number in numbers]


def rows_of(images: 'np.ndarray[Any, np.dtype[np.int64]]', run_id: str, chance: np.random.Generator) -> pa.Table:
  """The rows of a run; every column that is of some size has values."""
  scores = chance.random(len(images))
  texts = {'run_id': run_id, 'modality': 'DX', 'view_position': 'PA', 'model_name': 'cnn', 'model_version': '1'}
  digests = dict.fromkeys(('model_digest', 'preprocess_digest', 'config_digest'), 'd' * 64)
  values: dict[str, Any] = {name: [text] * len(images) for name, text in (texts | digests).items()} | {
    'image_id': _ids('image', images),
    'source_id': _ids('source', images),
    'study_id': _ids('study', images // _IMAGES_OF_A_STUDY),
    'patient_id': _ids('patient', images // _IMAGES_OF_A_STUDY),
    'file_id': _ids('file', images // _DELIVERIES),
    'content_sha256': [2 * one for one in _ids('content', images)],
    'pixel_sha256': [2 * one for one in _ids('pixels', images)],
    'frame': np.ones(len(images), np.int32),
    'status': np.where(chance.random(len(images)) < 0.95, 'scored', 'rejected'),
    'probability': scores,
    'threshold': np.full(len(images), 0.5),
    'predicted_label': np.where(scores >= 0.5, 'sick', 'well'),
    'scores': [[{'label': 'sick', 'probability': p}, {'label': 'well', 'probability': 1 - p}] for p in scores],
    'quality': [[]] * len(images),
  }
  nothing = [None] * len(images)
  return pa.table([pa.array(values.get(field.name, nothing), field.type) for field in PREDICTIONS], PREDICTIONS)


def write_night(output: pathlib.Path, number: int, images: int, chance: np.random.Generator) -> float:
  """A night of one slice; seconds that its study rows took."""
  started = _FIRST + datetime.timedelta(days=number)
  night, date = new_run_id(started, 'a' * 8), started.date().isoformat()
  new = images - images // 10
  known = chance.integers(0, number * new, images // 10) if number else np.arange(0)
  numbers = np.unique(np.concatenate([known, np.arange(number * new, (number + 1) * new)]))
  run_id = f'{night}-s0000'
  folder = f'predictions/run_date={date}/model=cnn-1/run_id={run_id}'
  (output / folder).mkdir(parents=True)
  with open(output / folder / _PART, 'wb') as file:
    write_arrow(file, rows_of(numbers, run_id, chance))
  facts = {'run_date': date, 'finished': started.isoformat(), 'model': _MODEL}
  files = {'predictions': folder, 'files': [_PART], 'rows': {'scored': len(numbers)}}
  write_record(record_path(str(output), run_id), facts | files | {'job': 'score', 'run_id': run_id})
  begun = time.perf_counter()
  studies = publish_studies(str(output), night, date, 'max', str(output / '.staging'))
  seconds = time.perf_counter() - begun
  write_record(record_path(str(output), night), facts | {'job': 'nightly', 'run_id': night, 'studies': studies})
  return seconds


def report(what: str, work: Callable[[], int]) -> None:
  """Does some work, and says what it took."""
  begun = time.perf_counter()
  rows = work()
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
  print(
    f'{what}: {rows:,} rows, {time.perf_counter() - begun:.1f} s, peak of the process so far {peak:,} MiB', flush=True
  )


def by_duckdb(output: str) -> int:
  """Reads `current` as the README says."""
  statement = re.findall(r'```sql\n(.*?)```', _README.read_text(), re.DOTALL)[0]
  with duckdb.connect() as database:
    database.execute(statement.replace('nights/', f'{output}/'))
    return len(database.sql('SELECT * FROM current').to_arrow_table())


def main() -> None:
  """Writes and reads."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--output', required=True)
  parser.add_argument('--nights', type=int, default=200)
  parser.add_argument('--images', type=int, default=5000)
  given = parser.parse_args()
  pa.set_memory_pool(pa.system_memory_pool())  # as the command line does
  shutil.rmtree(given.output, ignore_errors=True)
  chance = np.random.default_rng(1)
  for number in range(given.nights):
    seconds = write_night(pathlib.Path(given.output), number, given.images, chance)
    if number in (1, given.nights // 2, given.nights - 1):
      print(f'study rows of night {number + 1}: {seconds:.1f} s', flush=True)
  report('current, three columns', lambda: len(current(given.output, 'cnn-1', ['image_id', 'status', 'probability'])))
  report('current_studies', lambda: len(current_studies(given.output, 'cnn-1')))
  report(f'current, {len(PREDICTIONS)} columns', lambda: len(current(given.output, 'cnn-1')))
  report('the same by DuckDB', lambda: by_duckdb(given.output))


if __name__ == '__main__':
  main()

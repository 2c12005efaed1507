"""All jobs on an object store: what was a folder is a URL."""

import json
import pathlib

import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from pipelines.current import current
from pipelines.exits import Exit
from tests.end_to_end.conftest import Chain
from transforms import storage


def upload(folder: pathlib.Path, url: str) -> None:
  files = [file for file in folder.rglob('*') if file.is_file()]
  storage.copy_files([(str(file), storage.join(url, file.relative_to(folder).as_posix())) for file in files])


def facts(record: dict[str, object]) -> dict[str, object]:
  return {name: record[name] for name in ('digest', 'counts', 'rows', 'reasons', 'labels')}


def test_every_job_reads_and_writes_an_object_store(chain: Chain, bucket: str, tmp_path: pathlib.Path) -> None:
  upload(chain.export.inbox, f'{bucket}/inbox')
  ids = ('--pseudonym_key_file', chain.key)
  ingest = chain.ingest('unused')
  inputs = {str(chain.export.inbox): f'{bucket}/inbox', str(chain.root / 'unused'): f'{bucket}/dataset'}
  assert main([inputs.get(word, word) for word in ingest]) == Exit.DONE
  there = json.loads(storage.read_bytes(f'{bucket}/dataset/dataset.json'))
  here = json.loads((chain.root / 'dataset/dataset.json').read_text())
  assert facts(there) == facts(here)

  train = ('train', '--dataset', f'{bucket}/dataset', '--bundle', f'{bucket}/bundle', '--epochs', '1')
  assert main([*train, '--deterministic']) == Exit.DONE
  evaluate = ('evaluate', '--dataset', f'{bucket}/dataset', '--bundle', f'{bucket}/bundle')
  assert main([*evaluate, '--output', f'{bucket}/evaluation']) == Exit.DONE
  assert storage.exists(f'{bucket}/evaluation/report.html')

  score = ('--bundle', f'{bucket}/bundle', '--max_reject_ratio', '0.9', *ids)
  assert main(['score', '--input', f'{bucket}/inbox', '--output', f'{bucket}/scores', *score]) == Exit.DONE
  rows = current(f'{bucket}/scores').to_pylist()
  expected = chain.by_source('scores/predictions')
  assert {(row['source_id'], row['frame']) for row in rows} <= set(expected)
  for row in rows:
    same = expected[row['source_id'], row['frame']]
    assert [row[name] for name in ('image_id', 'status', 'reason', 'pixel_sha256')] == [
      same[name] for name in ('image_id', 'status', 'reason', 'pixel_sha256')
    ]

  night = ['nightly', '--inbox', f'{bucket}/inbox', '--output', f'{bucket}/nights', '--slice_files', '2', *score]
  assert main(night) == Exit.DONE
  assert main(night) == Exit.NOTHING_TO_DO
  assert len(current(f'{bucket}/nights')) == len(rows)
  left = [file.path for file in storage.list_files(bucket) if '.staging' in file.path or '.lock' in file.path]
  assert left == []


@pytest.mark.parametrize('flag', ['--input', '--output', '--bundle'])
def test_a_bucket_that_is_not_there_is_one_line(
  chain: Chain, bucket: str, flag: str, capfd: pytest.CaptureFixture[str]
) -> None:
  score = chain.score('nowhere')
  score[score.index(flag) + 1] = 'gs://no-such-bucket/x'
  assert main(score) == Exit.USAGE
  line = capfd.readouterr().err.splitlines()[-1]
  assert line.startswith('radbeam score: error: ')


def test_parquet_is_read_by_ranges(chain: Chain, bucket: str) -> None:
  (path, *_) = (chain.root / 'scores/predictions').rglob('*.parquet')
  storage.copy_files([(str(path), f'{bucket}/a.parquet')])
  with storage.open_read(f'{bucket}/a.parquet') as file:
    assert pq.read_table(file).equals(pq.read_table(path, partitioning=None))

import pytest

from pipelines.arguments import parse
from pipelines.exits import UsageError
from pipelines.preflight import check_engine

ENGINE = [
  *('--runner=DataflowRunner', '--project=p', '--region=r', '--temp_location=gs://b/temp'),
  '--sdk_container_image=registry/radbeam:1',
]
NIGHTLY = ['--inbox=gs://b/inbox', '--bundle=gs://b/bundle', '--output=gs://b/out', '--pseudonym_key_file=gs://k/key']
INGEST = ['--input=gs://b/inbox', '--output=gs://b/out', '--pseudonym_key_file=gs://k/key']


def check(job: str, words: list[str]) -> None:
  options, extras = parse(job, words)
  check_engine(job, options, extras)


@pytest.mark.parametrize(
  ('job', 'words'),
  [
    ('nightly', [*NIGHTLY, *ENGINE]),
    ('ingest', [*INGEST, *ENGINE, '--labels=gs://b/labels.csv']),
    ('ingest', [*INGEST, *ENGINE, '--labels=folder', '--no_wait_until_finish']),
    ('ingest', ['--input=/data', '--output=/tmp/out', '--labels=none']),
    ('ingest', ['--input=/data', '--output=/tmp/out', '--labels=none', '--runner=DirectRunner']),
  ],
)
def test_what_an_engine_can_run_passes(job: str, words: list[str]) -> None:
  check(job, words)


@pytest.mark.parametrize(
  ('job', 'words', 'text'),
  [
    ('nightly', [*NIGHTLY, *ENGINE, '--no_wait_until_finish'], 'cannot be started without waiting'),
    ('nightly', [*NIGHTLY, *ENGINE, '--inbox=/data/inbox'], '--inbox is /data/inbox, a path of this machine'),
    ('ingest', [*INGEST, *ENGINE, '--labels=labels.csv'], '--labels is a file of this machine'),
    ('ingest', [*INGEST, *ENGINE, '--labels=none', '--staging_location=/tmp/x'], '--staging_location is /tmp/x'),
  ],
)
def test_what_dataflow_cannot_run_is_one_line(job: str, words: list[str], text: str) -> None:
  with pytest.raises(UsageError, match=text) as raised:
    check(job, words)
  assert '\n' not in str(raised.value)

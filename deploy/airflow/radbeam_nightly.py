"""The nightly run as an Airflow DAG: one at a time, each night's date, and exit codes as Airflow understands them.

The job runs in an environment of its own, since Airflow's libraries and those
of radbeam do not go together. No catch-up: a night that was missed is part of
the next one, which scores all that is new.
"""

import subprocess
from datetime import timedelta

import pendulum
from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

COMMAND = ('/opt/radbeam/bin/radbeam', 'nightly', '--config', '/etc/radbeam/nightly.yaml')
NOT_FAILED = {3: 'nothing new', 5: 'another run is at work', 6: 'stopped at the deadline; the next run goes on'}
FOR_A_PERSON = {2: 'wrong usage', 4: 'too many rejects', 7: 'an alarm'}  # trying again changes nothing


def run(command: tuple[str, ...]) -> None:
  """Runs the job; its log lines, ids and codes only, become those of the task."""
  code = subprocess.run(command, check=False).returncode
  if code in NOT_FAILED:
    raise AirflowSkipException(f'exit {code}: {NOT_FAILED[code]}')
  if code in FOR_A_PERSON:
    raise AirflowFailException(f'exit {code}: {FOR_A_PERSON[code]}')
  if code:
    raise AirflowException(f'exit {code}; it goes on where it stopped when it is tried again')


@dag(
  schedule='0 22 * * *',
  start_date=pendulum.datetime(2026, 1, 1, tz='Europe/Berlin'),
  catchup=False,
  max_active_runs=1,
  dagrun_timeout=timedelta(hours=10),
  tags=['radbeam'],
)
def radbeam_nightly() -> None:
  """Scores what the PACS exported."""

  @task(retries=2, retry_delay=timedelta(minutes=5), execution_timeout=timedelta(hours=9))
  def score() -> None:
    date = get_current_context().get('ds')  # a run that was started by hand may have none: then it is today's
    run((*COMMAND, *(('--run_date', date) if date else ())))

  score()


radbeam_nightly()

"""What an engine would find out late is found out before anything is sent to it: one line, exit code 2."""

from collections.abc import Sequence

from pipelines.options import JobOptions
from pipelines.preflight_dataflow import check_dataflow


def check_engine(job: str, options: JobOptions, beam_args: Sequence[str]) -> None:
  """Refuses what the engine that was chosen cannot run.

  Raises:
    UsageError: naming what is missing or out of reach.
  """
  check_dataflow(job, options, beam_args)

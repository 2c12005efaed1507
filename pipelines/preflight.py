"""What an engine would find out late is found out before anything is sent to it: one line, exit code 2."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines import preflight_dataflow, preflight_portable
from pipelines.options import JobOptions

if TYPE_CHECKING:
  from model.bundle import Bundle


def check_engine(job: str, options: JobOptions, beam_args: Sequence[str]) -> None:
  """Refuses what the engine that was chosen cannot run.

  Raises:
    UsageError: naming what is missing or out of reach.
  """
  preflight_dataflow.check_dataflow(job, options, beam_args)
  preflight_portable.check_portable(beam_args)


def check_model(bundle: 'Bundle', batch_size: int, beam_args: Sequence[str]) -> None:
  """Refuses a model that no worker of the engine can hold, as far as its memory is known.

  Raises:
    UsageError: with the arithmetic.
  """
  preflight_dataflow.check_model(bundle, batch_size, beam_args)
  preflight_portable.check_model(bundle, batch_size, beam_args)

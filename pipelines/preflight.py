"""What an engine would find out late is found out before anything is sent to it: one line, exit code 2.

It comes before the job's own module, and TensorFlow with it, is loaded: what is refused is refused soon.
"""

from collections.abc import Sequence

from model.bundle import load_bundle
from pipelines import preflight_dataflow, preflight_portable
from pipelines.bundle_pointer import current_bundle
from pipelines.night_options import NightlyOptions
from pipelines.options import JobOptions, ScoreOptions


def check_engine(job: str, options: JobOptions, beam_args: Sequence[str]) -> None:
  """Refuses what the engine that was chosen cannot run.

  Raises:
    UsageError: naming what is missing or out of reach.
  """
  preflight_dataflow.check_dataflow(job, options, beam_args)
  preflight_portable.check_portable(beam_args)


def check_model(options: JobOptions, beam_args: Sequence[str]) -> None:
  """Refuses models that no worker of the engine can hold, as far as their memory is known.

  Raises:
    UsageError: with the arithmetic.
    BundleError: if there is no model.
  """
  if isinstance(options, ScoreOptions | NightlyOptions):
    paths = options.bundle if isinstance(options, ScoreOptions) else (options.bundle,)
    bundles = [load_bundle(current_bundle(path)) for path in paths]
    preflight_dataflow.check_models(bundles, options.batch_size, beam_args)
    preflight_portable.check_models(bundles, options.batch_size, beam_args)

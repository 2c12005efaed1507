"""The jobs of `radbeam` by name; nothing heavy is imported here, so that `--help` answers at once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pipelines.ensemble_options import EnsembleOptions
from pipelines.night_options import LookupOptions, NightlyOptions, PruneOptions, RunsOptions
from pipelines.options import (
  DemoOptions,
  EvaluateOptions,
  IngestOptions,
  InspectOptions,
  JobOptions,
  RecipeOptions,
  ScoreOptions,
)
from pipelines.train_options import TrainJobOptions


@dataclass(frozen=True, slots=True)
class Job:
  """A subcommand.

  Attributes:
    takes_beam_flags: whether what it does not know is Beam's.
  """

  summary: str
  options: type[JobOptions]
  takes_beam_flags: bool


JOBS: Final[Mapping[str, Job]] = {
  'ingest': Job('archives and labels in, a dataset out', IngestOptions, True),
  'train': Job('a dataset in, a model bundle out', TrainJobOptions, False),
  'ensemble': Job('several model bundles in, one that scores as their mean out', EnsembleOptions, False),
  'recipe': Job('how a bundle was trained, as a file for train; or how two recipes differ', RecipeOptions, False),
  'evaluate': Job('a bundle and a dataset in, metrics and a report out', EvaluateOptions, False),
  'score': Job('archives and a bundle in, a table with a row per image out', ScoreOptions, True),
  'nightly': Job('what is new in an inbox and a bundle in, the rows of tonight out', NightlyOptions, True),
  'runs': Job('the nights of an output as a table or a page', RunsOptions, False),
  'lookup': Job('an id back to its study, by the crosswalk: identifies patients', LookupOptions, False),
  'prune': Job('rows of old nights deleted; says what would go, unless --apply is given', PruneOptions, False),
  'inspect': Job('one file as the pipeline sees it: facts, steps, picture', InspectOptions, False),
  'demo': Job('all of the above on a small synthetic export', DemoOptions, True),
}

"""What the jobs around the nightly run can be told."""

from dataclasses import dataclass
from typing import Literal

from pipelines.flags import (
  BATCH_SIZE_OF_SCORING,
  DETERMINISTIC,
  Flag,
  above_zero,
  between,
  is_date_range,
  is_html,
  is_id,
  is_local_folder,
  is_marker,
  is_prom,
  is_study_rule,
  is_time_of_day,
  not_empty,
)
from pipelines.options import JobOptions, ResultOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchOptions(ResultOptions):
  """What raises an alarm. The defaults are those of `model.drift`; a test compares them."""

  drift_alarm: Literal['off', 'warn', 'fail'] = Flag(
    'images or scores unlike those of the training: say nothing, warn, or end with exit 7', 'warn', group='alarms'
  ).field()
  max_psi: float = Flag('population stability index', 0.25, 'N', above_zero, 'alarms').field()
  max_ks: float = Flag('Kolmogorov-Smirnov distance', 0.2, 'N', between(0, 1), 'alarms').field()
  min_drift_images: int = Flag(
    'fewer images of a night, or of a scanner, are not compared; those of a study count as about one',
    50,
    'N',
    between(10),
    'alarms',
  ).field()
  volume_alarm: Literal['off', 'warn', 'fail'] = Flag(
    'no files, or far fewer than in the last 14 nights: say nothing, warn, or end with exit 7', 'warn', group='alarms'
  ).field()
  min_volume_ratio: float = Flag('of the median of these nights', 0.5, 'RATIO', between(0, 1), 'alarms').field()
  uid_alarm: Literal['off', 'warn', 'fail'] = Flag(
    'different images under one SOP Instance UID: say nothing, warn, or end with exit 7', 'warn', group='alarms'
  ).field()


@dataclass(frozen=True, slots=True, kw_only=True)
class NightlyOptions(WatchOptions):
  """What `radbeam nightly` can be told."""

  inbox: tuple[str, ...] = Flag(
    'where the exports arrive: a folder or gs://…; may be given several times', ..., 'DIR', not_empty
  ).field()
  bundle: str = Flag(
    'the one model of the night, or a text file that holds the path of the current one',
    ...,
    'DIR|FILE',
    not_empty,
    once=True,
  ).field()
  batch_size: int = BATCH_SIZE_OF_SCORING.field()
  deterministic: bool = DETERMINISTIC.field()
  only_failed: bool = Flag('score again what was rejected, and nothing else', False).field()
  retry_rejected: bool = Flag('score again what was rejected, after what is new', False).field()
  done_by: Literal['model', 'any'] = Flag(
    'which earlier scores make a file done: of this model and configuration, or of any', 'model'
  ).field()
  backfill: str | None = Flag(
    'score with this model what was first scored on these days, instead of what is new',
    None,
    'FROM..TO',
    is_date_range,
  ).field()
  settle_seconds: int = Flag(
    'a file counts once its size and time have not changed for so long', 60, 'N', between(0)
  ).field()
  max_wait_seconds: int = Flag(
    'wait at most so long for files that are still being written; the next run has the rest', 600, 'N', between(0)
  ).field()
  done_marker: str = Flag(
    'instead: a file counts once FILE plus this, or a file of this name in its folder or above, is there',
    '',
    'NAME',
    is_marker,
  ).field()
  deadline: str | None = Flag(
    'begin no slice after this time of day of this machine; exit 6 if there is more', None, 'HH:MM', is_time_of_day
  ).field()
  study_rule: str = Flag(
    'what the images of a study come to: the highest probability, the mean, or the highest of one view',
    'max',
    'max|mean|view:NAME',
    is_study_rule,
  ).field()
  slice_files: int = Flag('at most so many files are published together', 2000, 'N', between(1)).field()
  slice_bytes: int = Flag('at most so many bytes, unless one file has more', 4 << 30, 'N', between(1)).field()
  metrics_file: str | None = Flag(
    "the figures of the night for Prometheus: a file for node_exporter's textfile collector", None, 'FILE.prom', is_prom
  ).field()
  otel: bool | None = Flag(
    'send spans of the night by OpenTelemetry; default: if OTEL_EXPORTER_OTLP_ENDPOINT is set', None
  ).field()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsOptions(JobOptions):
  """What `radbeam runs` can be told."""

  output: str = Flag('what `radbeam nightly` writes', ..., 'DIR', not_empty, positional=True).field()
  last: int = Flag('at most so many nights', 30, 'N', between(1, 10_000)).field()
  json: bool = Flag('the same as JSON', False).field()
  html: str | None = Flag('the same as a page that needs nothing else', None, 'PAGE.html', is_html).field()


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneOptions(JobOptions):
  """What `radbeam prune` can be told."""

  output: str = Flag('what `radbeam nightly` or `score` writes', ..., 'DIR', not_empty, positional=True).field()
  keep_days: int = Flag('rows of run dates before so many days go', ..., 'N', between(0, 100_000)).field()
  superseded_days: int | None = Flag(
    'rows of runs before so many days go as well, if each has a later one', None, 'N', between(0, 100_000)
  ).field()
  crosswalk: str | None = Flag('their parts of this crosswalk go with them', None, 'DIR', is_local_folder).field()
  apply: bool = Flag('do it; without this it is only said what would go', False).field()


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupOptions(JobOptions):
  """What `radbeam lookup` can be told."""

  id: str = Flag(
    'of an image, source, file, study, series or patient, or its first 8 digits and more',
    ...,
    'ID',
    is_id,
    positional=True,
  ).field()
  crosswalk: str = Flag('what the runs were given as --crosswalk', ..., 'DIR', is_local_folder).field()
  pseudonym_key_file: str | None = Flag(
    'the key of the runs; default: the one under your configuration folder, if there is one', None, 'FILE'
  ).field()
  output: str | None = Flag('shows also what became of it: what the runs were given as --output', None, 'DIR').field()
  json: bool = Flag('the same as JSON', False).field()

"""What each job can be told: every flag is declared once, with its default, its help and its check.

The parsers of the command line, the keys of `--config` files and the frozen
values that the jobs work with all come from these declarations. Nothing heavy
is imported here, so that `--help` answers at once; the jobs turn the plain
values into the specs of `transforms` and `model`.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, Final, Literal

from pipelines.exits import UsageError
from pipelines.flags import (
  BATCH_SIZE_OF_SCORING,
  BUNDLE,
  CHANNELS,
  DATASET,
  DETERMINISTIC,
  IMAGE_SIZE,
  INPUT,
  OUTPUT,
  RESIZE,
  SEED,
  Flag,
  are_labels,
  between,
  flag_of,
  is_date,
  is_local_folder,
  is_png,
  is_regex,
  not_empty,
  today,
)

# Places. Their names may identify patients or sites: they never leave in a record.
PATHS: Final = frozenset(
  {
    'input',
    'inbox',
    'path',
    'other',
    'member',
    'output',
    'dataset',
    'bundle',
    'pseudonym_key_file',
    'crosswalk',
    'select',
    'burned_in_regions',
    'html',
    'metrics_file',
    'checkpoints',
    'teacher',
    'tensorboard',
  }
)
# How a run goes about it; the same result would come of other values.
MANNERS: Final = frozenset(
  {
    'run_date',
    'max_reject_ratio',
    'max_labels',
    'overwrite',
    'dry_run',
    'quiet',
    'log_format',
    'log_file',
    'only_failed',
    'retry_rejected',
    'done_by',
    'backfill',
    'settle_seconds',
    'max_wait_seconds',
    'done_marker',
    'deadline',
    'study_rule',
    'slice_files',
    'slice_bytes',
    'otel',
    'drift_alarm',
    'max_psi',
    'max_ks',
    'min_drift_images',
    'volume_alarm',
    'min_volume_ratio',
    'uid_alarm',
    'workers',
    'worker_index',
  }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
  """What every job can be told.

  Raises:
    UsageError: on making one, if a value is not what its flag expects.
  """

  overwrite: bool = Flag('replace a result that is already there', False).field()
  dry_run: bool = Flag('say what would be done: counts, schemas, steps; write nothing', False).field()
  quiet: bool = Flag('no progress and no summary on stderr', False).field()
  log_format: Literal['text', 'json'] = Flag('what is said on stderr: for a person, or an event a line', 'text').field()
  log_file: str | None = Flag('append all events to this file, as JSON lines', None, 'FILE', not_empty).field()

  def __post_init__(self) -> None:
    for field in dataclasses.fields(self):
      value, check = getattr(self, field.name), flag_of(field).check
      expected = check(value) if check and value is not None else None
      if expected:
        raise UsageError(f'--{field.name} is {_shown(value)}; expected {expected}')
    self._check_together()

  def _check_together(self) -> None:
    """Checks what concerns several flags."""

  def to_config(self) -> dict[str, Any]:
    """What decides the result, for digests and run records: JSON-able, and without any path."""
    names = [field.name for field in dataclasses.fields(self)]
    return {name: getattr(self, name) for name in names if name not in PATHS | MANNERS}


def _shown(value: Any) -> str:
  return repr(value) if isinstance(value, str) else str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingOptions(JobOptions):
  """What jobs that read images can be told."""

  frames: Literal['first', 'middle', 'all'] = Flag('which frames of an image that has several', 'all').field()
  select: str | None = Flag('rules on header facts: which images are wanted', None, 'FILE.yaml', not_empty).field()
  burned_in: Literal['flag', 'reject', 'mask'] = Flag(
    'text in the pixels: say so in the row, refuse the image, or cover what --burned_in_regions names', 'flag'
  ).field()
  burned_in_regions: str | None = Flag('what each device writes over', None, 'FILE.yaml', not_empty).field()
  # The defaults are those of `transforms.elements.Limits`; a test compares them.
  max_member_bytes: int = Flag('largest file or member', 512 << 20, 'N', between(1), 'limits').field()
  max_spooled_bytes: int = Flag(
    'largest zip inside an archive, kept on disk while it is read', 8 << 30, 'N', between(1), 'limits'
  ).field()
  max_inflation_ratio: int = Flag('inflated to compressed size', 1000, 'N', between(1), 'limits').field()
  max_inflated_bytes: int = Flag(
    'of an archive and all inside it; more where its size times --max_inflation_ratio is more',
    1 << 30,
    'N',
    between(1),
    'limits',
  ).field()
  max_members: int = Flag('members of one archive', 500_000, 'N', between(1), 'limits').field()
  max_nesting: int = Flag('archives inside archives', 3, 'N', between(0), 'limits').field()
  max_pixels: int = Flag('pixels of one image', 100_000_000, 'N', between(1), 'limits').field()
  max_decode_seconds: int = Flag('for one frame of a codec that may hang', 60, 'N', between(1), 'limits').field()
  max_decode_bytes: int = Flag(
    'memory for one frame of a codec that may ask for any', 1 << 30, 'N', between(1 << 20), 'limits'
  ).field()
  max_header_elements: int = Flag('elements of a DICOM header', 1_000_000, 'N', between(1), 'limits').field()
  max_header_depth: int = Flag('DICOM sequences inside sequences', 32, 'N', between(1), 'limits').field()

  def _check_together(self) -> None:
    if (self.burned_in == 'mask') != bool(self.burned_in_regions):
      given = 'is given' if self.burned_in_regions else 'is not'
      raise UsageError(
        f'--burned_in is {self.burned_in}, but --burned_in_regions {given}; mask needs regions, and nothing else does'
      )


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultOptions(ReadingOptions):
  """What jobs that make rows of images can be told."""

  output: str = OUTPUT.field()
  pseudonym_key_file: str | None = Flag(
    'at least 32 random bytes, for the owner alone; default: one is made under your configuration folder', None, 'FILE'
  ).field()
  crosswalk: str | None = Flag(
    'write there from which image each id comes: identifies patients', None, 'DIR', is_local_folder, written=True
  ).field()
  run_date: str = Flag('the day in UTC that the result is filed under', today, 'YYYY-MM-DD', is_date).field()
  max_reject_ratio: float = Flag('exit 4 if more of the sources are rejects', 0.25, 'RATIO', between(0, 1)).field()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveJobOptions(ResultOptions):
  """What jobs that make rows of the archives named can be told."""

  input: tuple[str, ...] = INPUT.field()


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions(ArchiveJobOptions):
  """What `radbeam ingest` can be told."""

  labels: str = Flag(
    'folder (its name is the label), a CSV file, or none', ..., 'folder|FILE.csv|none', are_labels
  ).field()
  max_labels: int = Flag(
    'more different labels are taken for names of patients, and refused', 20, 'N', between(1)
  ).field()
  image_size: int = IMAGE_SIZE.field()
  resize: Literal['pad', 'crop', 'stretch'] = RESIZE.field()
  channels: Literal[1, 3] = CHANNELS.field()
  patient_from: Literal['auto', 'dicom', 'csv', 'pattern', 'member'] = Flag(
    'what tells patients apart; auto: the CSV, else DICOM, else the pattern', 'auto'
  ).field()
  patient_pattern: str = Flag(
    'found in member names; its group `patient`, else its first, else all of it is the patient', '', 'REGEX', is_regex
  ).field()
  val_fraction: float = Flag('patients for validation', 0.1, 'FRACTION', between(0, 1)).field()
  test_fraction: float = Flag('patients for the test', 0.1, 'FRACTION', between(0, 1)).field()
  split_salt: str = Flag('another salt deals the patients anew', 'radbeam', 'TEXT').field()
  scaling: Literal['unit', 'standard'] = Flag(
    'what the model is fed: [0, 1], or standardised over the train split', 'standard'
  ).field()
  near_duplicate_bits: int = Flag(
    'images whose perceptual hashes differ in at most so many of 64 bits are reported as pairs', 4, 'N', between(0, 7)
  ).field()

  def _check_together(self) -> None:
    super(IngestOptions, self)._check_together()  # named, since slots make the class twice
    if self.val_fraction + self.test_fraction >= 1:
      raise UsageError(
        f'--val_fraction is {self.val_fraction} and --test_fraction is {self.test_fraction}; '
        'expected a sum below 1, since the rest is what a model is trained on'
      )
    if self.patient_from == 'pattern' and not self.patient_pattern:
      raise UsageError('--patient_from is pattern, but there is no pattern; give one with --patient_pattern')
    if self.patient_pattern and self.patient_from not in ('auto', 'pattern'):
      raise UsageError(
        f'--patient_pattern is given, but --patient_from is {self.patient_from}; expected auto or pattern'
      )
    if self.patient_from == 'csv' and self.labels in ('folder', 'none'):
      raise UsageError(f'--patient_from is csv, but --labels is {self.labels}; expected the name of a .csv file')

  def to_config(self) -> dict[str, Any]:
    """As for every job; that labels come from a CSV is said, which one is not."""
    config = super(IngestOptions, self).to_config()
    return config | {'labels': self.labels if self.labels in ('folder', 'none') else 'csv'}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions(JobOptions):
  """What `radbeam evaluate` can be told."""

  dataset: str = DATASET.field()
  bundle: str = BUNDLE.field()
  output: str = OUTPUT.field()
  split: Literal['test', 'val', 'train'] = Flag('which images to evaluate on', 'test').field()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions(ArchiveJobOptions):
  """What `radbeam score` can be told."""

  bundle: tuple[str, ...] = dataclasses.replace(
    BUNDLE, help=f'{BUNDLE.help}; several score the same images, each with rows of its own'
  ).field()
  batch_size: int = BATCH_SIZE_OF_SCORING.field()
  deterministic: bool = DETERMINISTIC.field()


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectOptions(ReadingOptions):
  """What `radbeam inspect` can be told."""

  path: str = Flag('file, archive, folder, glob or gs://…', ..., 'PATH', not_empty, positional=True).field()
  member: str | None = Flag(
    'which source of an archive or a folder: its number in the list, its name, or a source_id of a table',
    None,
    'N|NAME|ID',
    not_empty,
  ).field()
  frame: int | None = Flag('which frame; default: the first that has a row', None, 'N', between(1)).field()
  output: str | None = Flag('the picture, as displayed and as the model is fed', None, 'PICTURE.png', is_png).field()
  json: bool = Flag('the same as JSON', False).field()
  names: bool = Flag('show the names of members, which may name patients', False).field()
  image_size: int = IMAGE_SIZE.field()
  resize: Literal['pad', 'crop', 'stretch'] = RESIZE.field()
  channels: Literal[1, 3] = CHANNELS.field()
  pseudonym_key_file: str | None = Flag(
    'shows ids as in the tables; default: the key under your configuration folder, if there is one', None, 'FILE'
  ).field()


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeOptions(JobOptions):
  """What `radbeam recipe` can be told."""

  path: str = Flag('a bundle, or a .yaml file of flags of train', ..., 'PATH', not_empty, positional=True).field()
  other: str | None = Flag('another, to say how it differs', None, 'PATH', not_empty, positional=True).field()
  json: bool = Flag('the same as JSON', False).field()


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions(JobOptions):
  """What `radbeam demo` can be told."""

  output: str = dataclasses.replace(OUTPUT, default='demo').field()
  patients: int = Flag('synthetic patients to make', 240, 'N', between(10, 100_000)).field()
  seed: int = SEED.field()

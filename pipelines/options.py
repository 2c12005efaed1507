"""What each job can be told: every flag is declared once, with its default, its help and its check.

The parsers of the command line, the keys of `--config` files and the frozen
values that the jobs work with all come from these declarations. Nothing heavy
is imported here, so that `--help` answers at once; the jobs turn the plain
values into the specs of `transforms` and `model`.
"""

import dataclasses
import datetime
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from pipelines.exits import UsageError

Check = Callable[[Any], str | None]

# Places. Their names may identify patients or sites: they never leave in a record.
PATHS: Final = frozenset(
  {
    'input',
    'path',
    'member',
    'output',
    'dataset',
    'bundle',
    'pseudonym_key_file',
    'crosswalk',
    'select',
    'burned_in_regions',
  }
)
# How a run goes about it; the same result would come of other values.
MANNERS: Final = frozenset({'run_date', 'max_reject_ratio', 'overwrite', 'dry_run', 'quiet'})


@dataclass(frozen=True, slots=True)
class Flag:
  """What is said of a flag beside its name and type, which stand where an options class holds it.

  Attributes:
    help: one line.
    default: None for a flag without one, `...` for one that must be given.
    check: gives what is expected where a value is not that, else None.
    group: the heading in `--help`.
    written: whether it names a folder that the job writes.
    positional: whether it may stand first, without its name.
  """

  help: str
  default: Any = None
  metavar: str | None = None
  check: Check | None = None
  group: str = ''
  written: bool = False
  positional: bool = False

  def field(self) -> Any:
    """The field of an options class."""
    metadata = {'flag': self}
    if self.default is ...:
      return dataclasses.field(metadata=metadata)
    if callable(self.default):
      return dataclasses.field(default_factory=self.default, metadata=metadata)
    return dataclasses.field(default=self.default, metadata=metadata)


def flag_of(field: 'dataclasses.Field[Any]') -> Flag:
  """The declaration behind a field of an options class."""
  flag: Flag = field.metadata['flag']
  return flag


def _between(low: float, high: float | None = None) -> Check:
  expected = f'{low} or more' if high is None else f'{low} to {high}'
  return lambda value: None if value >= low and (high is None or value <= high) else expected


def _above_zero(value: float) -> str | None:
  return None if value > 0 else 'a number above 0'


def _is_date(value: str) -> str | None:
  try:
    parsed = datetime.date.fromisoformat(value)
  except ValueError:
    parsed = None
  return None if parsed and parsed.isoformat() == value else 'a date such as 2026-01-31'


def _is_regex(value: str) -> str | None:
  try:
    re.compile(value)
  except re.error as error:
    return f'a regular expression of Python ({error})'
  return None


def _is_path_part(value: str) -> str | None:
  plain = not value or re.fullmatch(r'[A-Za-z0-9][A-Za-z0-9._]*(-[A-Za-z0-9._]+)*', value)
  return None if plain else 'letters, digits, dots, underscores and single dashes, since it becomes a part of paths'


def _are_labels(value: str) -> str | None:
  plain = value in ('folder', 'none') or value.lower().endswith('.csv')
  return None if plain else '`folder`, `none` or the name of a .csv file'


def _is_png(value: str) -> str | None:
  return None if value.lower().endswith('.png') else 'the name of a .png file'


def _not_empty(value: str | tuple[str, ...]) -> str | None:
  return None if value and all(value) else 'a name'


def today() -> str:
  """Today in UTC, so that machines of one cluster agree."""
  return datetime.datetime.now(datetime.UTC).date().isoformat()


_INPUT: Final = Flag('file, folder, glob or gs://…; may be given several times', ..., 'PATH', _not_empty)
_DATASET: Final = Flag('the dataset, as written by `radbeam ingest`', ..., 'DIR', _not_empty)
_BUNDLE: Final = Flag('the model, as written by `radbeam train`', ..., 'DIR', _not_empty)
_OUTPUT: Final = Flag('where the result goes', ..., 'DIR', _not_empty, written=True)
_IMAGE_SIZE: Final = Flag('height and width of the result, in pixels', 224, 'N', _between(16, 4096))
_RESIZE: Final = Flag('how an image that is no square becomes one', 'pad')
_CHANNELS: Final = Flag('1 for grey, 3 for colour', 1)
_BATCH_SIZE: Final = Flag('images per training step, over all devices', 32, 'N', _between(1, 4096))
_SEED: Final = Flag('where chance starts from', 1, 'N', _between(0, 2**31 - 1))
_DETERMINISTIC: Final = Flag('the same seed gives the same bytes: one device, fixed order, slower', False)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
  """What every job can be told.

  Raises:
    UsageError: on making one, if a value is not what its flag expects.
  """

  overwrite: bool = Flag('replace a result that is already there', False).field()
  dry_run: bool = Flag('say what would be done: counts, schemas, steps; write nothing', False).field()
  quiet: bool = Flag('no progress and no summary on stderr', False).field()

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
  select: str | None = Flag('rules on header facts: which images are wanted', None, 'FILE.yaml', _not_empty).field()
  burned_in: Literal['flag', 'reject', 'mask'] = Flag(
    'text in the pixels: say so in the row, refuse the image, or cover what --burned_in_regions names', 'flag'
  ).field()
  burned_in_regions: str | None = Flag('what each device writes over', None, 'FILE.yaml', _not_empty).field()
  # The defaults are those of `transforms.elements.Limits`; a test compares them.
  max_member_bytes: int = Flag('largest file or member', 512 << 20, 'N', _between(1), 'limits').field()
  max_spooled_bytes: int = Flag(
    'largest zip inside an archive, kept on disk while it is read', 8 << 30, 'N', _between(1), 'limits'
  ).field()
  max_inflation_ratio: int = Flag('inflated to compressed size', 1000, 'N', _between(1), 'limits').field()
  max_inflated_bytes: int = Flag(
    'of an archive and all inside it; more where its size times --max_inflation_ratio is more',
    1 << 30,
    'N',
    _between(1),
    'limits',
  ).field()
  max_members: int = Flag('members of one archive', 500_000, 'N', _between(1), 'limits').field()
  max_nesting: int = Flag('archives inside archives', 3, 'N', _between(0), 'limits').field()
  max_pixels: int = Flag('pixels of one image', 100_000_000, 'N', _between(1), 'limits').field()
  max_decode_seconds: int = Flag('for one frame of a codec that may hang', 60, 'N', _between(1), 'limits').field()
  max_decode_bytes: int = Flag(
    'memory for one frame of a codec that may ask for any', 1 << 30, 'N', _between(1 << 20), 'limits'
  ).field()
  max_header_elements: int = Flag('elements of a DICOM header', 1_000_000, 'N', _between(1), 'limits').field()
  max_header_depth: int = Flag('DICOM sequences inside sequences', 32, 'N', _between(1), 'limits').field()

  def _check_together(self) -> None:
    if (self.burned_in == 'mask') != bool(self.burned_in_regions):
      given = 'is given' if self.burned_in_regions else 'is not'
      raise UsageError(
        f'--burned_in is {self.burned_in}, but --burned_in_regions {given}; mask needs regions, and nothing else does'
      )


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveJobOptions(ReadingOptions):
  """What jobs that make rows of archives of images can be told."""

  input: tuple[str, ...] = _INPUT.field()
  output: str = _OUTPUT.field()
  pseudonym_key_file: str | None = Flag(
    'at least 32 random bytes, for the owner alone; default: one is made under your configuration folder', None, 'FILE'
  ).field()
  crosswalk: str | None = Flag(
    'write there from which image each id comes: identifies patients', None, 'DIR', written=True
  ).field()
  run_date: str = Flag('the day in UTC that the result is filed under', today, 'YYYY-MM-DD', _is_date).field()
  max_reject_ratio: float = Flag('exit 4 if more of the sources are rejects', 0.25, 'RATIO', _between(0, 1)).field()


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestOptions(ArchiveJobOptions):
  """What `radbeam ingest` can be told."""

  labels: str = Flag(
    'folder (its name is the label), a CSV file, or none', ..., 'folder|FILE.csv|none', _are_labels
  ).field()
  image_size: int = _IMAGE_SIZE.field()
  resize: Literal['pad', 'crop', 'stretch'] = _RESIZE.field()
  channels: Literal[1, 3] = _CHANNELS.field()
  patient_from: Literal['auto', 'dicom', 'csv', 'pattern', 'member'] = Flag(
    'what tells patients apart; auto: the CSV, else DICOM, else the pattern', 'auto'
  ).field()
  patient_pattern: str = Flag(
    'found in member names; its group `patient`, else its first, else all of it is the patient', '', 'REGEX', _is_regex
  ).field()
  val_fraction: float = Flag('patients for validation', 0.1, 'FRACTION', _between(0, 1)).field()
  test_fraction: float = Flag('patients for the test', 0.1, 'FRACTION', _between(0, 1)).field()
  split_salt: str = Flag('another salt deals the patients anew', 'radbeam', 'TEXT').field()
  scaling: Literal['unit', 'standard'] = Flag(
    'what the model is fed: [0, 1], or standardised over the train split', 'standard'
  ).field()
  near_duplicate_bits: int = Flag(
    'images whose perceptual hashes differ in at most so many of 64 bits are reported as pairs', 4, 'N', _between(0, 7)
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
class TrainJobOptions(JobOptions):
  """What `radbeam train` can be told."""

  dataset: str = _DATASET.field()
  bundle: str = Flag('where the model goes', ..., 'DIR', _not_empty, written=True).field()
  # Those of `model.networks.registry`, which loads TensorFlow; a test compares them.
  architecture: Literal['cnn'] = Flag('the network', 'cnn').field()
  epochs: int = Flag('at most so many passes over the train split', 30, 'N', _between(1)).field()
  batch_size: int = _BATCH_SIZE.field()
  learning_rate: float = Flag('of the optimiser, at the start', 1e-3, 'RATE', _above_zero).field()
  patience: int = Flag('stop after so many epochs without a better validation AUC', 6, 'N', _between(0)).field()
  strategy: Literal['auto', 'one_device', 'mirrored'] = Flag('how the devices share the work', 'auto').field()
  augment: Literal['none', 'light', 'standard'] = Flag('random changes to the training images', 'light').field()
  positive_label: str | None = Flag('of two labels, the one whose probability is given', None, 'LABEL').field()
  name: str = Flag('of the model; default: its architecture', '', 'NAME', _is_path_part).field()
  model_version: str | None = Flag(
    'of the model; default: the beginning of its digest', None, 'VERSION', _is_path_part
  ).field()
  seed: int = _SEED.field()
  deterministic: bool = _DETERMINISTIC.field()

  @property
  def model_name(self) -> str:
    """The name given, or the architecture."""
    return self.name or self.architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions(JobOptions):
  """What `radbeam evaluate` can be told."""

  dataset: str = _DATASET.field()
  bundle: str = _BUNDLE.field()
  output: str = _OUTPUT.field()
  split: Literal['test', 'val', 'train'] = Flag('which images to evaluate on', 'test').field()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions(ArchiveJobOptions):
  """What `radbeam score` can be told."""

  bundle: str = _BUNDLE.field()
  batch_size: int = dataclasses.replace(
    _BATCH_SIZE, help='at most so many images per call of the model', default=64
  ).field()
  deterministic: bool = _DETERMINISTIC.field()


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectOptions(ReadingOptions):
  """What `radbeam inspect` can be told."""

  path: str = Flag('file, archive, folder, glob or gs://…', ..., 'PATH', _not_empty, positional=True).field()
  member: str | None = Flag(
    'which source of an archive or a folder: its number in the list, its name, or a source_id of a table',
    None,
    'N|NAME|ID',
    _not_empty,
  ).field()
  frame: int | None = Flag('which frame; default: the first that has a row', None, 'N', _between(1)).field()
  output: str | None = Flag('the picture, as displayed and as the model is fed', None, 'PICTURE.png', _is_png).field()
  json: bool = Flag('the same as JSON', False).field()
  names: bool = Flag('show the names of members, which may name patients', False).field()
  image_size: int = _IMAGE_SIZE.field()
  resize: Literal['pad', 'crop', 'stretch'] = _RESIZE.field()
  channels: Literal[1, 3] = _CHANNELS.field()
  pseudonym_key_file: str | None = Flag(
    'shows ids as in the tables; default: the key under your configuration folder, if there is one', None, 'FILE'
  ).field()


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions(JobOptions):
  """What `radbeam demo` can be told."""

  output: str = dataclasses.replace(_OUTPUT, default='demo').field()
  patients: int = Flag('synthetic patients to make', 240, 'N', _between(10, 100_000)).field()
  seed: int = _SEED.field()


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
  'evaluate': Job('a bundle and a dataset in, metrics and a report out', EvaluateOptions, False),
  'score': Job('archives and a bundle in, a table with a row per image out', ScoreOptions, True),
  'inspect': Job('one file as the pipeline sees it: facts, steps, picture', InspectOptions, False),
  'demo': Job('all of the above on a small synthetic export', DemoOptions, True),
}

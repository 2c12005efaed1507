"""What can be said of a flag, and the checks and the flags that several jobs share."""

import dataclasses
import datetime
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

Check = Callable[[Any], str | None]


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
    once: whether a second value is an error, and does not replace the first; of flags that other jobs take often.
  """

  help: str
  default: Any = None
  metavar: str | None = None
  check: Check | None = None
  group: str = ''
  written: bool = False
  positional: bool = False
  once: bool = False

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


def between(low: float, high: float | None = None) -> Check:
  """A number in a range, whose upper end may be open."""
  expected = f'{low} or more' if high is None else f'{low} to {high}'
  return lambda value: None if value >= low and (high is None or value <= high) else expected


def above_zero(value: float) -> str | None:
  """A number above 0."""
  return None if value > 0 else 'a number above 0'


def is_date(value: str) -> str | None:
  """A date as ISO 8601 has it."""
  try:
    parsed = datetime.date.fromisoformat(value)
  except ValueError:
    parsed = None
  return None if parsed and parsed.isoformat() == value else 'a date such as 2026-01-31'


def is_date_range(value: str) -> str | None:
  """Two dates, `FROM..TO`."""
  first, separator, last = value.partition('..')
  fine = separator and not is_date(first) and not is_date(last) and first <= last
  return None if fine else 'two dates such as 2026-01-01..2026-01-31'


def is_time_of_day(value: str) -> str | None:
  """Hours and minutes."""
  return None if re.fullmatch(r'([01]\d|2[0-3]):[0-5]\d', value) else 'a time of day such as 06:30'


def is_marker(value: str) -> str | None:
  """A name, no path."""
  return 'a name without a slash' if '/' in value else None


def is_study_rule(value: str) -> str | None:
  """How a study's images become one row."""
  return (
    None if value in ('max', 'mean') or re.fullmatch(r'view:\w+', value) else '`max`, `mean`, or a view as in view:PA'
  )


def is_id(value: str) -> str | None:
  """An id as in the tables, or its beginning."""
  return None if re.fullmatch(r'[0-9a-f]{8,32}', value) else '8 to 32 hexadecimal digits'


def is_regex(value: str) -> str | None:
  """A regular expression of Python."""
  try:
    re.compile(value)
  except re.error as error:
    return f'a regular expression of Python ({error})'
  return None


def is_path_part(value: str) -> str | None:
  """What can stand in a path that others parse."""
  plain = not value or re.fullmatch(r'[A-Za-z0-9][A-Za-z0-9._]*(-[A-Za-z0-9._]+)*', value)
  return None if plain else 'letters, digits, dots, underscores and single dashes, since it becomes a part of paths'


def are_labels(value: str) -> str | None:
  """`folder`, `none` or a CSV file."""
  plain = value in ('folder', 'none') or value.lower().endswith('.csv')
  return None if plain else '`folder`, `none` or the name of a .csv file'


def is_png(value: str) -> str | None:
  """The name of a PNG file."""
  return None if value.lower().endswith('.png') else 'the name of a .png file'


def is_local_folder(value: str) -> str | None:
  """No URL: what identifies patients stays where its owner can be told from others."""
  return 'a folder of this machine' if '://' in value else None


def is_html(value: str) -> str | None:
  """The name of a page."""
  return None if value.lower().endswith('.html') else 'the name of an .html file'


def is_prom(value: str) -> str | None:
  """A file that the textfile collector reads."""
  return None if value.endswith('.prom') else 'the name of a .prom file, since others are not collected'


def not_empty(value: str | tuple[str, ...]) -> str | None:
  """A name, or several."""
  return None if value and all(value) else 'a name'


def today() -> str:
  """Today in UTC, so that machines of one cluster agree."""
  return datetime.datetime.now(datetime.UTC).date().isoformat()


INPUT: Final = Flag('file, folder, glob or gs://…; may be given several times', ..., 'PATH', not_empty)
DATASET: Final = Flag('the dataset, as written by `radbeam ingest`', ..., 'DIR', not_empty)
BUNDLE: Final = Flag('the model, as written by `radbeam train` or `radbeam ensemble`', ..., 'DIR', not_empty, once=True)
OUTPUT: Final = Flag('where the result goes', ..., 'DIR', not_empty, written=True)
IMAGE_SIZE: Final = Flag('height and width of the result, in pixels', 224, 'N', between(16, 4096))
RESIZE: Final = Flag('how an image that is no square becomes one', 'pad')
CHANNELS: Final = Flag('1 for grey, 3 for colour', 1)
BATCH_SIZE: Final = Flag('images per training step, over all devices', 32, 'N', between(1, 4096))
BATCH_SIZE_OF_SCORING: Final = dataclasses.replace(
  BATCH_SIZE, help='at most so many images per call of the model', default=64
)
SEED: Final = Flag('where chance starts from', 1, 'N', between(0, 2**31 - 1))
DETERMINISTIC: Final = Flag('the same seed gives the same bytes: one device, fixed order, slower', False)

"""The label of an image: the name of its folder, or a row of a CSV."""

import csv
import io
import pathlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from transforms.elements import HeaderFacts, Source

# The columns that can name an image, the most specific first, and what each is compared with.
_KEYS: Final[dict[str, Callable[[Source, HeaderFacts], str | None]]] = {
  'sop_instance_uid': lambda source, facts: facts.sop_instance_uid,
  'member': lambda source, facts: source.member,
  'study_instance_uid': lambda source, facts: facts.study_instance_uid,
  'accession_number': lambda source, facts: facts.accession_number,
  'patient_id': lambda source, facts: facts.patient_id,
}


class LabelError(ValueError):
  """The label CSV cannot be used; the text says what to do, and names lines and columns, never values."""


@dataclass(frozen=True, slots=True)
class LabelRow:
  """What the CSV says of an image."""

  label: str | None
  patient: str | None = None


NO_LABEL: Final = LabelRow(None)


@dataclass(frozen=True, slots=True)
class LabelTable:
  """Rows of the CSV by key column and value."""

  by_key: Mapping[str, Mapping[str, LabelRow]] = field(default_factory=dict)

  def find(self, source: Source, facts: HeaderFacts) -> LabelRow:
    """The row of an image: by the most specific key that matches; `NO_LABEL` where none does."""
    for column, rows in self.by_key.items():
      value = _KEYS[column](source, facts)
      if value and value in rows:
        return rows[value]
    return NO_LABEL


def folder_label(source: Source) -> str | None:
  """The innermost folder of a member, such as `NORMAL` of `export/NORMAL/1.png`; None at the top."""
  folders = source.member.replace('!/', '/').split('/')[:-1]
  return folders[-1] if folders else None


def read_label_csv(path: str) -> LabelTable:
  """Reads a CSV with a column `label`, at least one key column, and perhaps `patient`.

  Raises:
    LabelError: if columns are missing, or two lines contradict each other.
  """
  try:
    return parse_label_csv(pathlib.Path(path).read_bytes(), path)
  except OSError as error:
    raise LabelError(f'the label file cannot be read ({error.strerror}): {path}') from error


def parse_label_csv(content: bytes, path: str) -> LabelTable:
  """As `read_label_csv`, of the bytes of a file; `path` is what it is called."""
  try:
    return _table(csv.DictReader(io.StringIO(content.decode('utf-8-sig'), newline='')))
  except (UnicodeDecodeError, csv.Error) as error:
    raise LabelError(f'the label file is no CSV in UTF-8: {path}') from error


def _table(lines: 'csv.DictReader[str]') -> LabelTable:
  columns = set(lines.fieldnames or ())
  keys = [column for column in _KEYS if column in columns]
  if 'label' not in columns or not keys:
    raise LabelError(
      f'the first line of the label CSV names {len(columns)} columns; it must name `label` and at least one of '
      f'{", ".join(_KEYS)}'
    )
  return LabelTable(_index(lines, keys))


def _index(lines: 'csv.DictReader[str]', keys: list[str]) -> dict[str, dict[str, LabelRow]]:
  """Each line counts under the most specific key that it fills."""
  index: dict[str, dict[str, LabelRow]] = {key: {} for key in keys}
  for line in lines:
    number = lines.line_num
    row = LabelRow((line['label'] or '').strip() or None, (line.get('patient') or '').strip() or None)
    key = next((key for key in keys if (line[key] or '').strip()), None)
    if key is None:
      raise LabelError(f'line {number} of the label CSV fills none of the columns {", ".join(keys)}')
    if index[key].setdefault(line[key].strip(), row) != row:
      raise LabelError(f'line {number} of the label CSV contradicts an earlier line with the same {key}')
  return index

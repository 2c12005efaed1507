"""Which split a patient belongs to: by salted hash, so that it never changes and needs no table.

The raw patient is hashed, not the pseudonym: another site key gives the same split.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Final, Literal

from transforms.elements import HeaderFacts, Source

Split = Literal['train', 'val', 'test']
SPLITS: Final[tuple[Split, ...]] = ('train', 'val', 'test')
BUCKETS: Final = 60  # folds of equal shares: 2, 3, 4, 5, 6, 10, 12, 15, 20 and 30 of them
PatientFrom = Literal['auto', 'dicom', 'csv', 'pattern', 'member']


@dataclass(frozen=True, slots=True)
class SplitSpec:
  """Fractions of patients, not of images, in validation and test; the rest is for training."""

  val_fraction: float = 0.1
  test_fraction: float = 0.1
  salt: str = 'radbeam'

  def __post_init__(self) -> None:
    total = self.val_fraction + self.test_fraction
    if min(self.val_fraction, self.test_fraction) < 0 or total >= 1:
      raise ValueError(
        f'val_fraction is {self.val_fraction}, test_fraction {self.test_fraction}; '
        'they must be 0 or more and sum to less than 1'
      )

  @property
  def needs_patient(self) -> bool:
    """Whether there is more than one split to be in."""
    return self.val_fraction + self.test_fraction > 0


def split_of(patient: str, spec: SplitSpec) -> Split:
  """The split of a patient."""
  position = _number(f'{spec.salt}\x1f{patient}') / 2**64
  if position < spec.test_fraction:
    return 'test'
  return 'val' if position < spec.test_fraction + spec.val_fraction else 'train'


def bucket_of(patient: str, spec: SplitSpec) -> int:
  """Which of the `BUCKETS` a patient is in, whatever the split: folds are made of whole buckets.

  As the split it depends on patient and salt alone. They are few on purpose:
  who knows a patient's id can find the bucket, and it must not lead back to
  the patient, nor join tables that were made under different keys.
  """
  return _number(f'bucket\x1f{spec.salt}\x1f{patient}') % BUCKETS


def fold_of(bucket: int, folds: int) -> int:
  """Which fold a bucket belongs to, from 1; each fold gets as many buckets, give or take one.

  Args:
    bucket: of a patient.
    folds: how many there are, 2 to `BUCKETS`.
  """
  return bucket * folds // BUCKETS + 1


def _number(text: str) -> int:
  """64 bits of its hash."""
  return int.from_bytes(hashlib.sha256(text.encode('utf-8', 'backslashreplace')).digest()[:8])


@dataclass(frozen=True, slots=True)
class PatientRule:
  """Where the patient of an image is to be found.

  Attributes:
    source: one place, or `auto`: the label CSV's, else DICOM's, else the pattern's.
    pattern: matched anywhere in the member name; its group `patient`, else
      its first group, else the whole match is the patient.
  """

  source: PatientFrom = 'auto'
  pattern: str = ''

  def patient(self, source: Source, facts: HeaderFacts, csv_patient: str | None) -> str | None:
    """The raw patient of an image; None where none is known."""
    match self.source:
      case 'dicom':
        return facts.patient_id
      case 'csv':
        return csv_patient
      case 'pattern':
        return self._matched(source.member)
      case 'member':
        return f'{source.archive}!/{source.member}#{source.occurrence}'
    return csv_patient or facts.patient_id or self._matched(source.member)

  def _matched(self, member: str) -> str | None:
    match = re.search(self.pattern, member) if self.pattern else None
    if not match:
      return None
    if 'patient' in match.re.groupindex:
      return match['patient']
    return match[1] if match.re.groups else match[0]

"""The texts that are planted: whoever finds one in what a run leaves behind has found a leak."""

from typing import Final

Member = tuple[str, bytes]

NAME: Final = 'Zwirnfeld'
TAIL: Final = 'ößä-quendel'  # not ASCII: looks different in every encoding
PATIENT: Final = 'PX77QK'
PHONE: Final = '0664-7719355'
BIRTH: Final = '19370419'
DATES: Final = (BIRTH, '1937-04-19', '19.04.1937', '19871130', '1987-11-30')
STUDY_DATE: Final = '19871130'
UID_ROOT: Final = '1.2.826.0.1.3680043.9.77193551'  # digits that stand nowhere else
TEXTS: Final = (NAME, TAIL, PATIENT, PHONE, PHONE.replace('-', ''), UID_ROOT, *DATES)
OLD_BIRTH: Final = '18870419'  # a hundred years before the study


def name(place: str) -> str:
  """The text of a place, as a person types it."""
  return f'{NAME}^{place}^{TAIL} {PHONE} {DATES[2]}'


def ascii_name(place: str) -> str:
  """The text of a place where only ASCII fits."""
  return f'{NAME}^{place} {PHONE}'

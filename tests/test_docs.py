"""The table of transfer syntaxes is that of the code."""

import pathlib
import re

from pydicom._uid_dict import UID_dictionary
from pydicom.uid import UID

from transforms.transfer_syntaxes import READ_AS, decoder_of, name_of

ROOT = pathlib.Path(__file__).parent.parent
PAGE = (ROOT / 'docs' / 'transfer-syntaxes.md').read_text(encoding='utf-8')
LIBRARIES = {
  'numpy': 'numpy',
  'zlib': 'zlib, numpy',
  'pydicom': 'pydicom',
  'opencv': 'OpenCV (libjpeg-turbo)',
  'gdcm': 'gdcm',
  'radbeam-gdcm': 'gdcm',
  'pyjpegls': 'pyjpegls (CharLS)',
  'radbeam-openjpeg': 'pylibjpeg-openjpeg (OpenJPEG)',
}
ROWS = [[cell.strip() for cell in line.strip('|').split('|')] for line in PAGE.splitlines() if line.startswith('| `')]


def described(uid: UID) -> str:
  """The cell of its decoder."""
  decoder = decoder_of(uid)
  if decoder is None:
    return 'none: `unsupported-transfer-syntax`'
  return LIBRARIES[decoder] + (f', as `{READ_AS[uid]}`' if uid in READ_AS else '')


def test_every_transfer_syntax_is_listed() -> None:
  listed = {UID(cells[0].strip('`')) for cells in ROWS}
  known = {uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == 'Transfer Syntax'}
  assert known <= listed
  assert {uid for uid in listed - known if name_of(uid) is None} == {'1.2.840.113619.5.2'}


def test_decoders_are_those_of_the_code() -> None:
  assert {cells[0]: cells[2] for cells in ROWS} == {cells[0]: described(UID(cells[0].strip('`'))) for cells in ROWS}


def test_names_are_those_of_the_standard() -> None:
  named = {cells[0]: cells[1] for cells in ROWS if not cells[1].startswith('private')}
  assert named == {uid: name_of(UID(uid.strip('`'))) for uid in named}


def test_the_tests_exist() -> None:
  files = {name for cells in ROWS for name in re.findall(r'`(tests/\S+\.py)`', cells[3])}
  assert all(re.search(r'`tests/\S+\.py`', cells[3]) for cells in ROWS)
  assert {name for name in files if not (ROOT / name).is_file()} == set()

import pathlib
import stat

import pytest

from transforms.elements import HeaderFacts, Source
from transforms.identifiers import KEY_BYTES, KeyFileError, Pseudonyms, create_key, read_key

KEY = bytes(range(KEY_BYTES))
PSEUDONYMS = Pseudonyms(KEY)


def test_ids_never_change() -> None:
  """They connect nights: another value here breaks every site's history."""
  assert PSEUDONYMS.source(Source('a.zip', 'b/1.dcm', 2)) == '8882b482cb7bc0cfc0d6b91847dcff74'
  assert PSEUDONYMS.image(HeaderFacts(sop_instance_uid='1.2.3'), 1, None) == '3270750672c06e42d4a968bcfd14b218'
  assert PSEUDONYMS.optional('patient', 'P1') == '36a1e1adc240017f3ca5a500919bdc35'
  assert PSEUDONYMS.scanner(HeaderFacts(scanner=('ge', 'm', '1', ''))) == 'b701fbc7b935ddb4cac5d76dab7e9d39'
  assert PSEUDONYMS.fingerprint == '19684dd89dbcef04'


def test_the_same_value_has_another_id_in_every_domain_and_under_every_key() -> None:
  both = (PSEUDONYMS, Pseudonyms(KEY[::-1]))
  ids = [key.optional(domain, '1') for key in both for domain in ('study', 'series', 'patient')]
  ids += [PSEUDONYMS.archive('1'), PSEUDONYMS.image(HeaderFacts(sop_instance_uid='1'), 1, None)]
  ids += [PSEUDONYMS.scanner(HeaderFacts(scanner=('1',)))]
  assert len(set(ids)) == len(ids) == 9


def test_separators_inside_names_cannot_make_two_sources_one() -> None:
  sources = [
    Source('a', 'b', 1),
    Source('a\x1f1:b', '', 1),
    Source('a', 'b\x1f1:1', 0),
    Source('', 'a\x1f1:b', 1),
    Source('ab', '', 1),
    Source('a', 'b', 11),
    Source('a', 'b1', 1),
  ]
  assert len({PSEUDONYMS.source(source) for source in sources}) == len(sources)


def test_an_image_is_named_by_its_uid_and_frame_or_else_by_its_content() -> None:
  facts = HeaderFacts(sop_instance_uid='1.2')
  assert PSEUDONYMS.image(facts, 1, 'x') == PSEUDONYMS.image(facts, 1, 'y')
  assert PSEUDONYMS.image(facts, 1, 'x') != PSEUDONYMS.image(facts, 2, 'x')
  assert PSEUDONYMS.image(HeaderFacts(), 1, 'x') not in (None, PSEUDONYMS.image(HeaderFacts(), 1, 'y'))
  assert PSEUDONYMS.image(HeaderFacts(), 1, None) is None
  assert PSEUDONYMS.image(facts, None, 'x') is None


def test_an_unknown_patient_has_no_id() -> None:
  assert PSEUDONYMS.optional('patient', None) is None
  assert PSEUDONYMS.optional('patient', '') is None


def test_scanners_that_differ_in_one_part_have_other_ids() -> None:
  scanners = [('ge', 'm', '1', ''), ('ge', 'm', '', '1'), ('ge', 'm1', '', ''), ('g', 'em', '1', ''), ('', '', '', '')]
  assert len({PSEUDONYMS.scanner(HeaderFacts(scanner=scanner)) for scanner in scanners}) == len(scanners)
  assert PSEUDONYMS.scanner(HeaderFacts()) is None


def test_a_name_that_is_no_utf_8_has_an_id() -> None:
  assert PSEUDONYMS.source(Source('a', '\udcff')) != PSEUDONYMS.source(Source('a', '\udcfe'))


def test_the_key_is_not_shown() -> None:
  assert str(KEY[:4])[2:-1] not in f'{PSEUDONYMS!r} {PSEUDONYMS}'
  assert KEY.hex()[:8] not in PSEUDONYMS.fingerprint


def write_key(path: pathlib.Path, key: bytes, mode: int = 0o600) -> str:
  path.write_bytes(key)
  path.chmod(mode)
  return str(path)


@pytest.mark.parametrize('mode', [0o600, 0o400])
def test_a_good_key_is_read(tmp_path: pathlib.Path, mode: int) -> None:
  assert read_key(write_key(tmp_path / 'key', KEY + b'\n', mode)) == KEY + b'\n'


@pytest.mark.parametrize(
  ('key', 'mode', 'message'),
  [
    (KEY, 0o640, 'others may read'),
    (KEY, 0o604, 'others may read'),
    (KEY[:-1], 0o600, 'holds 31 bytes'),
    (bytes(64), 0o600, '1 of them distinct'),
    (b'123456789' * 8, 0o600, '9 of them distinct'),
    (b'', 0o600, 'holds 0 bytes'),
  ],
)
def test_a_weak_or_open_key_is_refused(tmp_path: pathlib.Path, key: bytes, mode: int, message: str) -> None:
  path = write_key(tmp_path / 'key', key, mode)
  with pytest.raises(KeyFileError, match=message) as refused:
    read_key(path)
  assert repr(KEY[:8])[2:-1] not in str(refused.value)


def test_a_missing_key_is_refused(tmp_path: pathlib.Path) -> None:
  with pytest.raises(KeyFileError, match='No such file'):
    read_key(str(tmp_path / 'none'))


def test_a_new_key_is_private_random_and_usable(tmp_path: pathlib.Path) -> None:
  paths = [tmp_path / 'new' / name for name in 'ab']
  for path in paths:
    create_key(str(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
  assert stat.S_IMODE(paths[0].parent.stat().st_mode) == 0o700
  assert read_key(str(paths[0])) != read_key(str(paths[1]))


def test_an_existing_key_is_never_overwritten(tmp_path: pathlib.Path) -> None:
  path = write_key(tmp_path / 'key', KEY)
  create_key(path)
  assert read_key(path) == KEY

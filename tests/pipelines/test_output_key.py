import pathlib
import re

import pytest

from pipelines.exits import UsageError
from pipelines.output_key import check_key, latest_fingerprint
from pipelines.run_record import record_path, write_record
from transforms.identifiers import KeyFileError, Pseudonyms

_KEYS = {'a': bytes(range(32)), 'b': bytes(range(1, 33))}
_PRINTS = {name: Pseudonyms(key).fingerprint for name, key in _KEYS.items()}


@pytest.fixture
def root(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
  """A machine with two keys, of which neither is the one under the configuration folder."""
  monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path / 'config'))
  for name, key in _KEYS.items():
    (tmp_path / name).write_bytes(key)
    (tmp_path / name).chmod(0o600)
  return tmp_path


def record(root: pathlib.Path, run_id: str, key: str | None = None) -> str:
  """The record of a run by a key, or of one that names none; the output."""
  output = str(root / 'out')
  named = {'pseudonym_key_fingerprint': _PRINTS[key]} if key else {}
  write_record(record_path(output, run_id), {'job': 'score', 'run_id': run_id, **named})
  return output


def test_an_output_without_runs_takes_any_key_and_none(root: pathlib.Path) -> None:
  for given in (str(root / 'a'), str(root / 'b'), None):
    check_key(str(root / 'out'), given)


def test_an_output_takes_its_key_and_no_other(root: pathlib.Path) -> None:
  output = record(root, '20260101T000000Z-00000000', 'a')
  check_key(output, str(root / 'a'))
  with pytest.raises(UsageError, match=f'fingerprint {_PRINTS["b"]}, but .* fingerprint {_PRINTS["a"]}; give the'):
    check_key(output, str(root / 'b'))


def test_where_there_is_no_key_yet_none_is_made_up(root: pathlib.Path) -> None:
  output = record(root, '20260101T000000Z-00000000', 'a')
  with pytest.raises(UsageError, match=re.escape('there is no pseudonym key, but')):
    check_key(output, None)
  assert not (root / 'config').exists()


def test_a_key_file_that_is_not_there_is_said_to_be(root: pathlib.Path) -> None:
  with pytest.raises(KeyFileError, match='cannot be read'):
    check_key(record(root, '20260101T000000Z-00000000', 'a'), str(root / 'lost'))


def test_of_runs_by_several_keys_the_latest_counts_that_names_one(root: pathlib.Path) -> None:
  record(root, '20260101T000000Z-00000000', 'b')
  output = record(root, '20260102T000000Z-00000000', 'a')
  record(root, '20260103T000000Z-00000000')
  record(root, '20260104T000000Z-00000000-prune')
  check_key(output, str(root / 'a'))
  with pytest.raises(UsageError):
    check_key(output, str(root / 'b'))


def test_one_record_is_read_where_the_latest_names_the_key(root: pathlib.Path) -> None:
  for day in range(1, 4):
    output = record(root, f'2026010{day}T000000Z-00000000', 'a')
  (root / 'out/runs/20260101T000000Z-00000000.json').unlink()
  (root / 'out/runs/20260101T000000Z-00000000.json').mkdir()  # whoever reads it fails
  assert latest_fingerprint(output) == _PRINTS['a']

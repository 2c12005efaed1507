import logging
import pathlib

import pytest

from pipelines.keys import key_path, read_site_key
from transforms import storage
from transforms.identifiers import KeyFileError, read_key


def test_a_given_key_file_is_used_by_its_absolute_path(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.chdir(tmp_path)
  assert key_path('site.key') == str(tmp_path / 'site.key')
  assert list(tmp_path.iterdir()) == []  # a site's key is never made up


@pytest.mark.parametrize('set_base', [True, False])
def test_without_one_a_key_is_made_once_and_said_so(
  tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, set_base: bool
) -> None:
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.delenv('XDG_CONFIG_HOME', raising=False)
  if set_base:
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path / 'base'))
  expected = tmp_path / ('base' if set_base else '.config') / 'radbeam' / 'pseudonym.key'
  with caplog.at_level(logging.WARNING):
    first = key_path(None)
    key = read_key(first)
    second = key_path(None)
  assert first == second == str(expected)
  assert read_key(second) == key
  [warning] = caplog.records
  assert str(expected) in warning.getMessage()


def test_a_key_of_an_object_store_is_read_there(bucket: str) -> None:
  with storage.open_write(f'{bucket}/site.key') as file:
    file.write(bytes(range(32)))
  assert key_path(f'{bucket}/site.key') == f'{bucket}/site.key'
  assert read_site_key(f'{bucket}/site.key') == bytes(range(32))


@pytest.mark.parametrize(('content', 'text'), [(None, 'cannot be read'), (b'short', 'holds 5 bytes')])
def test_what_is_no_key_there_is_said(bucket: str, content: bytes | None, text: str) -> None:
  if content is not None:
    with storage.open_write(f'{bucket}/site.key') as file:
      file.write(content)
  with pytest.raises(KeyFileError, match=text):
    read_site_key(f'{bucket}/site.key')

"""A site that lost its key, or gives another: nothing is scored a second time under new ids."""

import os
import pathlib

import pytest

from pipelines.cli import main
from pipelines.exits import Exit
from tests.end_to_end.nights import Site, radiograph
from transforms.identifiers import Pseudonyms


@pytest.fixture
def site(
  tmp_path: pathlib.Path, tiny_models: pathlib.Path, scored_by_numpy: None, monkeypatch: pytest.MonkeyPatch
) -> Site:
  """After one night; the machine has no key under its configuration folder."""
  monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path / 'config'))
  site = Site(tmp_path / 'site', tiny_models)
  site.deliver('a.dcm', radiograph('1', 10))
  assert site.night() == Exit.DONE
  return site


def arguments(site: Site, job: str, key: pathlib.Path | None) -> list[str]:
  given = '--inbox' if job == 'nightly' else '--input'
  command = [job, given, str(site.inbox), '--bundle', str(site.models / '1'), '--output', str(site.output)]
  return [*command, *(('--pseudonym_key_file', str(key)) if key else ())]


def all_files(root: pathlib.Path) -> list[tuple[str, int]]:
  return sorted((str(path), os.stat(path).st_mtime_ns) for path in root.rglob('*'))


@pytest.mark.parametrize('more', [(), ('--dry_run',)])
@pytest.mark.parametrize('job', ['nightly', 'score'])
@pytest.mark.parametrize('has_other', [True, False])
def test_another_key_and_a_lost_one_are_refused_and_nothing_is_written(
  job: str, more: tuple[str, ...], has_other: bool, site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
  other = site.root / 'other-key'
  other.write_bytes(bytes(range(1, 33)))
  other.chmod(0o600)
  before = all_files(site.root.parent)
  capfd.readouterr()
  assert main([*arguments(site, job, other if has_other else None), *more]) == Exit.USAGE
  shown = capfd.readouterr().err
  assert shown.count('\n') == 1
  assert f'scored under the key with the fingerprint {Pseudonyms(site.key.read_bytes()).fingerprint}' in shown
  assert 'another --output' in shown
  assert all_files(site.root.parent) == before


def test_the_same_key_goes_on_and_a_new_output_takes_another(site: Site) -> None:
  site.deliver('b.dcm', radiograph('2', 20))
  assert main(arguments(site, 'score', site.key)) == Exit.DONE
  assert site.night() == Exit.DONE
  site.key.write_bytes(bytes(range(1, 33)))
  assert site.night() == Exit.USAGE
  assert site.night('--output', str(site.root / 'new')) == Exit.DONE

"""Engines repeat work: each bundle of each step runs twice here, and the result is that of once."""

import hashlib
import json
import pathlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
from apache_beam.runners.portability.fn_api_runner.fn_runner import BundleManager

from pipelines.cli import main
from pipelines.current import current
from pipelines.exits import Exit
from tests.end_to_end.conftest import Chain

_OF_A_RUN = {'run_id', 'scored_at', 'supersedes_run_id'}
_ONCE = BundleManager.process_bundle


def _first_is_lost(manager: BundleManager, *work: Any) -> Any:
  """As where a worker dies after its work, and before the engine has its outputs: Dataflow and Flink try again."""
  _ONCE(manager, *work, dry_run=True)
  return _ONCE(manager, *work)


def _second_is_late(manager: BundleManager, *work: Any) -> Any:
  """As where an attempt that was taken for dead comes to its end after all."""
  result = _ONCE(manager, *work)
  _ONCE(manager, *work, dry_run=True)
  return result


def _both_at_once(manager: BundleManager, *work: Any) -> Any:
  """As where an engine has a slow bundle done by a second worker too, and takes what comes first."""
  failed: list[BaseException] = []

  def other() -> None:
    try:
      _ONCE(manager, *work, dry_run=True)
    except BaseException as error:  # raised below, where the engine sees it
      failed.append(error)

  thread = threading.Thread(target=other)
  thread.start()
  result = _ONCE(manager, *work)
  thread.join()
  if failed:
    raise failed[0]
  return result


@pytest.fixture(params=[_first_is_lost, _second_is_late, _both_at_once])
def bundles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> list[str]:
  """Has every bundle run twice; the bundles that did."""
  twice: Callable[..., Any] = request.param
  seen: list[str] = []

  def process_bundle(self: BundleManager, *work: Any, dry_run: bool = False) -> Any:
    seen.append(self.bundle_context_manager.process_bundle_descriptor.id)
    return twice(self, *work)

  monkeypatch.setattr(BundleManager, 'process_bundle', process_bundle)
  return seen


def digests(folder: pathlib.Path) -> dict[str, str]:
  files = [file for file in folder.rglob('*') if file.is_file()]
  return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def table(rows: list[dict[str, Any]]) -> dict[Any, dict[str, Any]]:
  keyed = {(row['source_id'], row['frame']): {name: row[name] for name in row.keys() - _OF_A_RUN} for row in rows}
  assert len(keyed) == len(rows)
  return keyed


# tf.Transform analyses one thing at a time in a process: a second worker would be another process.
@pytest.mark.parametrize('bundles', [_first_is_lost, _second_is_late], indirect=True)
def test_a_dataset_is_that_of_once(chain: Chain, bundles: list[str], tmp_path: pathlib.Path) -> None:
  output = tmp_path / 'dataset'
  assert main(chain.ingest(str(output), '--crosswalk', str(tmp_path / 'crosswalk'))) == Exit.DONE
  assert len(bundles) > 10
  found, expected = (json.loads((folder / 'dataset.json').read_text()) for folder in (output, chain.root / 'dataset'))
  for name in ('digest', 'counts', 'rows', 'reasons', 'sources', 'duplicates'):
    assert found[name] == expected[name], name
  for name in ('examples', 'index'):
    assert digests(output / name) == digests(chain.root / 'dataset' / name), name
  assert sorted(path.name for path in output.iterdir()) == sorted(
    path.name for path in (chain.root / 'dataset').iterdir()
  )
  assert len(list((tmp_path / 'crosswalk').rglob('*.parquet'))) == 1


def test_scores_are_those_of_once(chain: Chain, bundles: list[str], tmp_path: pathlib.Path) -> None:
  output = str(tmp_path / 'scores')
  assert main(chain.score(output, '--deterministic')) == Exit.DONE
  assert len(bundles) > 5
  assert table(chain.rows(f'{output}/predictions')) == table(chain.rows('scores/predictions'))
  assert not (tmp_path / 'scores/.staging').exists()


def test_a_night_is_that_of_once(chain: Chain, bundles: list[str], tmp_path: pathlib.Path) -> None:
  inbox = ('--inbox', str(chain.export.inbox), '--settle_seconds', '0', '--slice_files', '5')
  night = ['nightly', *inbox, *chain.score(str(tmp_path / 'nights'), '--deterministic')[3:]]
  assert main(night) == Exit.DONE
  assert len(bundles) > 10
  rows = current(str(tmp_path / 'nights')).to_pylist()
  once = table(chain.rows('scores/predictions'))
  # A delivery that comes again in the inbox supersedes itself there: the images are the same, and each stands once.
  for key, row in table(rows).items():
    assert {name: row[name] for name in ('image_id', 'status', 'reason', 'pixel_sha256', 'probability')} == {
      name: once[key][name] for name in ('image_id', 'status', 'reason', 'pixel_sha256', 'probability')
    }
  assert {row['image_id'] for row in rows} == {row['image_id'] for row in once.values()}
  assert main(night) == Exit.NOTHING_TO_DO

"""Two trainings become one bundle, and all of them score the export in one run."""

import json
import pathlib
from typing import Any

import numpy as np
import pytest

from model.bundle import load_bundle
from model.calibration import from_facts
from pipelines.cli import main
from pipelines.exits import Exit
from pipelines.run_record import by_model
from pipelines.synthetic import PLANTED
from tests.end_to_end.conftest import Chain

MEMBERS = ('bundle', 'other-seed')
Rows = dict[tuple[str, int | None], dict[str, Any]]


@pytest.fixture(scope='module')
def root(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """The bundle of the chain and one of another seed, their mean and their fusion, and the rows of all four."""
  assert main(chain.train('other-seed', '--seed', '2', '--name', 'other-seed')) == Exit.DONE
  members = [part for name in MEMBERS for part in ('--bundle', str(chain.root / name))]
  for method in ('mean', 'fusion'):
    given = ('--dataset', str(chain.root / 'dataset'), '--output', str(chain.root / method), '--name', method)
    assert main(['ensemble', *members, *given, '--method', method, '--threshold_on', 'plain']) == Exit.DONE
  more = [part for name in ('other-seed', 'mean', 'fusion') for part in ('--bundle', str(chain.root / name))]
  output = tmp_path_factory.mktemp('scores') / 'out'
  assert main(chain.score(str(output), *more, '--deterministic')) == Exit.DONE
  return output


def rows_of(chain: Chain, root: pathlib.Path, name: str) -> Rows:
  """The rows of a bundle, by their key."""
  bundle = load_bundle(chain.root / name)
  (folder,) = root.glob(f'predictions/*/model={bundle.name}-{bundle.version}')
  return chain.by_source(str(folder))


def scores_of(rows: Rows) -> dict[tuple[str, int | None], list[float]]:
  return {key: [one['probability'] for one in row['scores']] for key, row in rows.items() if row['status'] == 'scored'}


def test_the_ensemble_scores_the_mean_of_its_members(chain: Chain, root: pathlib.Path) -> None:
  members = [scores_of(rows_of(chain, root, name)) for name in MEMBERS]
  mean = load_bundle(chain.root / 'mean')
  found = scores_of(rows_of(chain, root, 'mean'))
  assert len(found) > 50
  plain = np.array([[member[key] for key in found] for member in members], np.float32).mean(axis=0)
  expected = from_facts(mean.calibration).apply(plain)
  np.testing.assert_allclose(np.array(list(found.values())), expected, atol=1e-5)
  first, second = (np.array([member[key] for key in found]) for member in members)
  assert np.abs(first - second).max() > 1e-3


def test_each_model_decides_by_its_own_threshold(chain: Chain, root: pathlib.Path) -> None:
  for name in (*MEMBERS, 'mean', 'fusion'):
    bundle = load_bundle(chain.root / name)
    scored = [row for row in rows_of(chain, root, name).values() if row['status'] == 'scored']
    for row in scored:
      is_positive = row['predicted_label'] == bundle.positive_label
      assert (row['threshold'], is_positive) == (bundle.threshold, row['probability'] >= (bundle.threshold or 0))
      assert row['model_digest'] == bundle.model_digest


def test_every_model_has_a_row_for_every_source(chain: Chain, root: pathlib.Path) -> None:
  (path,) = root.glob('runs/*.json')
  parts = by_model(json.loads(path.read_text()))
  alone = chain.by_source('scores/predictions')
  assert len(parts) == 4
  for name, part in zip(('bundle', 'other-seed', 'mean', 'fusion'), parts, strict=True):
    assert part['sources'] == {'listed': len(chain.export.manifest), 'written': len(chain.export.manifest)}
    rows = rows_of(chain, root, name)
    assert {key: (row['status'], row['pixel_sha256']) for key, row in rows.items()} == {
      key: (row['status'], row['pixel_sha256']) for key, row in alone.items()
    }
  first = rows_of(chain, root, 'bundle')
  assert scores_of(first) == scores_of(alone), 'the bundle says beside others what it says alone'


def test_an_ensemble_is_evaluated_as_any_bundle(chain: Chain, root: pathlib.Path) -> None:
  for name in ('mean', 'fusion'):
    output = root.parent / f'evaluation-{name}'
    given = ('--dataset', str(chain.root / 'dataset'), '--bundle', str(chain.root / name), '--output', str(output))
    assert main(['evaluate', *given, '--split', 'val']) == Exit.DONE
    found = json.loads((output / 'metrics.json').read_text())['metrics']
    assert found['confusion_matrix'] == load_bundle(chain.root / name).metrics['confusion_matrix']
    assert (output / 'report.html').stat().st_size > 10_000


@pytest.mark.parametrize(
  ('given', 'text'),
  [
    (['--method', 'fusion'], '--method is fusion, but there is no dataset to train its head on'),
    (['--threshold_on', 'plain'], "--threshold_on is 'plain', but there are no images to choose by"),
    (['--threshold_rule', 'best', '--dataset', 'D'], "--threshold_rule is 'best'; expected youden"),
    (['--bundle', 'B'], 'found 3 bundles of 2 different models, expected two or more, each of them once'),
  ],
)
def test_wrong_usage_is_one_line(
  chain: Chain,
  root: pathlib.Path,
  tmp_path: pathlib.Path,
  capsys: pytest.CaptureFixture[str],
  given: list[str],
  text: str,
) -> None:
  places = {'D': str(chain.root / 'dataset'), 'B': str(chain.root / 'bundle')}
  members = [part for name in MEMBERS for part in ('--bundle', str(chain.root / name))]
  words = [places.get(word, word) for word in given]
  assert main(['ensemble', *members, '--output', str(tmp_path / 'out'), *words]) == Exit.USAGE
  assert text in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()


def test_a_dry_run_writes_nothing(chain: Chain, root: pathlib.Path, tmp_path: pathlib.Path) -> None:
  members = [part for name in MEMBERS for part in ('--bundle', str(chain.root / name))]
  assert main(['ensemble', *members, '--output', str(tmp_path / 'out'), '--dry_run']) == Exit.DONE
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize('sees', ['varied', 'plain'])
def test_an_ensemble_teaches_one_network(
  chain: Chain, root: pathlib.Path, sees: str, capsys: pytest.CaptureFixture[str]
) -> None:
  student = f'student-{sees}'
  command = chain.train(student, '--teacher', str(chain.root / 'mean'), '--teacher_sees', sees)
  assert main(command) == Exit.USAGE
  assert '--teacher_weight is 0.0; expected both' in capsys.readouterr().err
  assert main([*command, '--teacher_weight', '0.5']) == Exit.DONE
  bundle, mean = load_bundle(chain.root / student), load_bundle(chain.root / 'mean')
  assert bundle.recipe['taught_by']['model_digest'] == mean.model_digest
  assert (bundle.recipe['teacher_weight'], bundle.recipe['teacher_sees']) == (0.5, sees)
  sizes = [(folder / 'model.keras').stat().st_size for folder in (bundle.path, chain.root / 'bundle')]
  assert sizes[0] == pytest.approx(sizes[1], rel=1e-3)  # one network, and no ensemble
  assert main(['recipe', str(bundle.path)]) == Exit.DONE
  shown = capsys.readouterr().out
  assert 'name it by --teacher' in shown
  assert str(chain.root) not in shown


def test_no_name_and_no_path_is_in_an_ensemble(chain: Chain, root: pathlib.Path) -> None:
  unwanted = [*PLANTED, str(chain.root), str(pathlib.Path.cwd())]
  files = [path for name in ('mean', 'fusion') for path in (chain.root / name).rglob('*') if path.is_file()]
  assert len(files) > 40
  found = [(path.name, text) for path in files for text in unwanted if text.encode() in path.read_bytes()]
  assert found == []

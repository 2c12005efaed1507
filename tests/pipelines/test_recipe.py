import dataclasses
import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest
import yaml

from model.bundle import BUNDLE_FILE, decision_facts, model_digest, to_json
from model.recipe import Recipe
from pipelines.arguments import parse
from pipelines.cli import main
from pipelines.exits import Exit
from pipelines.train_options import TrainJobOptions
from tests.pipelines.tiny_bundle import make_bundle

RECIPE = Recipe(architecture='cnn', learning_rate=3e-4, seed=7, augment_without=('blur', 'noise'), deterministic=True)


def write_recipe(folder: pathlib.Path, recipe: Recipe = RECIPE, **further: Any) -> str:
  """A bundle as far as its recipe is read."""
  rules = {'threshold_rule': {'kind': 'sensitivity', 'value': 0.95}, 'threshold_on': 'plain', 'best_epoch': 3}
  calibration = {'method': 'temperature', 'temperature': 1.25}
  bundle = make_bundle(folder)
  bundle = dataclasses.replace(bundle, recipe=recipe.to_facts() | rules | further, calibration=calibration)
  bundle = dataclasses.replace(bundle, model_digest=model_digest({}, decision_facts(bundle)))
  folder.mkdir()
  (folder / BUNDLE_FILE).write_text(to_json(bundle))
  return str(folder)


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
  assert main(['recipe', *arguments]) == Exit.DONE
  return capsys.readouterr().out


def read_by_train(text: str, path: pathlib.Path) -> TrainJobOptions:
  """The options of a training that is given the text as its --config."""
  path.write_text(text)
  options, extras = parse('train', ['--config', str(path), '--dataset', 'd', '--bundle', str(path.parent / 'new')])
  assert isinstance(options, TrainJobOptions)
  assert extras == []
  return options


@pytest.mark.parametrize(
  'recipe',
  [
    RECIPE,
    Recipe(),
    Recipe(steps=600, validate_every=50, input_size=160, optimizer='adamw', weight_decay=1e-3, final_rate=0.01),
    Recipe(initial_weights='imagenet', batch_norm='folded', frozen_share=0.1, average=0.999, learning_rate=1.5e-07),
  ],
)
def test_train_takes_what_is_printed_of_a_bundle(
  recipe: Recipe, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  options = read_by_train(told(capsys, write_recipe(tmp_path / 'bundle', recipe)), tmp_path / 'recipe.yaml')
  assert options.recipe() == recipe
  assert (options.threshold_rule, options.threshold_on) == ('sensitivity>=0.95', 'plain')
  assert (options.calibration, options.positive_label) == ('temperature', 'sick')


def test_what_no_flag_says_is_a_comment(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
  path = write_recipe(tmp_path / 'bundle', dataclasses.replace(RECIPE, initial_weights='/home/somebody/weights.h5'))
  lines = told(capsys, path).splitlines()
  assert lines[0] == f'# recipe of tiny 1, dataset {"d" * 64}'
  assert {'# best_epoch: 3', '# initial_weights: file'} < set(lines)
  assert 'name it by --initial_weights' in '\n'.join(lines)
  assert 'somebody' not in '\n'.join(lines)
  assert 'initial_weights' not in yaml.safe_load('\n'.join(lines))


def test_a_fold_is_part_of_the_recipe(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
  path = write_recipe(tmp_path / 'bundle', fold=2, folds=5)
  options = read_by_train(told(capsys, path), tmp_path / 'recipe.yaml')
  assert (options.fold, options.folds) == (2, 5)


@pytest.mark.parametrize(
  ('recipe', 'further', 'lines'),
  [
    ({}, {}, ['the recipes are the same']),
    ({}, {'best_epoch': 9}, ['the recipes are the same']),  # came of it, and is no part of it
    ({'learning_rate': 1e-3}, {}, ['learning_rate: 0.0003 -> 0.001']),
    ({'augment_without': ('blur',), 'seed': 8}, {}, ['augment_without: blur, noise -> blur', 'seed: 7 -> 8']),
    ({'augment_without': ()}, {}, ['augment_without: blur, noise -> –']),
    ({'deterministic': False}, {}, ['deterministic: true -> false']),
    ({'initial_weights': 'a.h5'}, {}, ['initial_weights: none -> file']),
    ({}, {'threshold_rule': {'kind': 'balanced', 'value': 1.0}}, ['threshold_rule: sensitivity>=0.95 -> balanced']),
    ({}, {'threshold_rule': {'kind': 'cost', 'value': 5.0}}, ['threshold_rule: sensitivity>=0.95 -> cost=5']),
    ({}, {'threshold_on': 'shifted'}, ['threshold_on: plain -> shifted']),
    ({}, {'fold': 1, 'folds': 5}, ['folds: – -> 5', 'fold: – -> 1']),
  ],
)
def test_differences_are_told_by_flag(
  recipe: dict[str, Any],
  further: dict[str, Any],
  lines: list[str],
  tmp_path: pathlib.Path,
  capsys: pytest.CaptureFixture[str],
) -> None:
  one = write_recipe(tmp_path / 'one')
  other = write_recipe(tmp_path / 'other', dataclasses.replace(RECIPE, **recipe), **further)
  assert told(capsys, one, other).splitlines() == lines
  assert told(capsys, one, one) == 'the recipes are the same\n'


def test_a_file_of_flags_has_the_defaults_where_it_says_nothing(
  tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  bundle, file = write_recipe(tmp_path / 'bundle', Recipe()), tmp_path / 'flags.yaml'
  file.write_text('learning-rate: 0.01\nthreshold_rule: cost=5.0\ndataset: somewhere\naugment_without: [blur]\n')
  changed = {'learning_rate': [0.001, 0.01], 'augment_without': [None, ['blur']]}
  rules = {'threshold_rule': ['sensitivity>=0.95', 'cost=5'], 'threshold_on': ['plain', 'shifted']}
  assert json.loads(told(capsys, bundle, str(file), '--json')) == rules | changed
  assert json.loads(told(capsys, str(file), str(file), '--json')) == {}
  assert read_by_train(told(capsys, str(file)), tmp_path / 'again.yaml').learning_rate == 0.01


def test_json_has_the_keys_of_the_flags(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
  path = write_recipe(tmp_path / 'bundle')
  assert json.loads(told(capsys, path, '--json')) == yaml.safe_load(told(capsys, '--path', path))


@pytest.mark.parametrize(
  ('content', 'text'),
  [
    ('learning_rates: 1', '--learning_rates is no flag of radbeam train; did you mean --learning_rate?'),
    ('learning_rate: -1', '--learning_rate is -1.0; expected a number above 0'),
    ('threshold_rule: best', "threshold_rule is 'best'; expected youden"),
    ('weight_decay: 0.1', 'only adamw decays weights'),
  ],
)
def test_a_file_that_train_would_refuse_is_refused(
  content: str, text: str, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  (tmp_path / 'flags.yaml').write_text(content)
  assert main(['recipe', str(tmp_path / 'flags.yaml')]) == Exit.USAGE
  assert text in capsys.readouterr().err


def test_what_has_no_recipe_is_named(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
  (tmp_path / 'notes.txt').write_text('')
  ensemble = write_recipe(tmp_path / 'ensemble')
  facts = json.loads((tmp_path / 'ensemble' / BUNDLE_FILE).read_text())
  (tmp_path / 'ensemble' / BUNDLE_FILE).write_text(json.dumps(facts | {'recipe': {'members': []}}))
  for path, text in (
    (str(tmp_path / 'notes.txt'), 'is a file, but no .yaml'),
    (str(tmp_path), 'holds no bundle.json'),
    (ensemble, "the bundle 'tiny' has no recipe of `radbeam train`"),
  ):
    assert main(['recipe', path]) == Exit.USAGE
    assert text in capsys.readouterr().err


def test_it_loads_no_tensorflow(tmp_path: pathlib.Path) -> None:
  code = 'import sys; from pipelines.cli import main; code = main(sys.argv[1:])'
  code += "; sys.exit(code or any(name in sys.modules for name in ('tensorflow', 'apache_beam', 'keras')))"
  subprocess.run([sys.executable, '-c', code, 'recipe', write_recipe(tmp_path / 'bundle')], check=True)

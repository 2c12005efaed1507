"""What `radbeam recipe` prints of a bundle trains the same model again."""

import pathlib

import pytest

from model.bundle import load_bundle
from pipelines.cli import main
from tests.end_to_end.conftest import Chain


def test_a_bundle_is_trained_again_from_its_recipe(
  chain: Chain, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  first, again = str(chain.root / 'bundle'), str(tmp_path / 'again')
  assert main(['recipe', first]) == 0
  (tmp_path / 'recipe.yaml').write_text(capsys.readouterr().out)
  given = ['--dataset', str(chain.root / 'dataset'), '--config', str(tmp_path / 'recipe.yaml')]
  assert main(['train', *given, '--bundle', again]) == 0
  one, other = load_bundle(first), load_bundle(again)
  assert (one.recipe, one.threshold, one.metrics) == (other.recipe, other.threshold, other.metrics)
  capsys.readouterr()
  assert main(['recipe', first, again]) == 0
  assert capsys.readouterr().out == 'the recipes are the same\n'

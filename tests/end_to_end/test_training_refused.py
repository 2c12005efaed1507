"""What cannot be trained is one line that says what to do, before and without a step."""

import pytest

from pipelines.cli import main
from pipelines.exits import Exit
from tests.end_to_end.conftest import Chain


@pytest.mark.parametrize('dry', [[], ['--dry_run']], ids=['run', 'dry run'])
@pytest.mark.parametrize(
  ('flags', 'text'),
  [
    (['--initial_weights', 'imagenet'], 'initial_weights is imagenet, but cnn is trained from scratch: take none'),
    (['--batch_norm', 'folded'], '--batch_norm is folded, but initial_weights is none: there are no statistics'),
    (['--frozen_share', '0.1'], '--frozen_share is 0.1, but initial_weights is none: random blocks would stay'),
    (['--stochastic_depth', '0.1'], 'stochastic_depth is 0.1, but cnn has no branches to leave out: take 0'),
    (['--input_size', '16'], 'input_size is 16; cnn needs at least 32'),
    (['--initial_weights', 'nowhere.keras'], "--initial_weights: initial weights 'nowhere.keras' cannot be read"),
  ],
)
def test_a_network_that_cannot_be(
  chain: Chain, flags: list[str], text: str, dry: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
  assert main(chain.train('refused', *flags, *dry)) == Exit.USAGE
  said = capsys.readouterr().err.splitlines()
  assert text in said[-1]
  assert 'Traceback' not in ''.join(said)
  assert not (chain.root / 'refused').exists()

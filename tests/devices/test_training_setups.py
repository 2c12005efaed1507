"""One device, two devices and two processes train the same network; chance is a matter of seeds, not of devices.

Dropout alone is left out: all devices draw the same masks, each for its share of the batch.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.devices.setups import SETUPS
from tests.model.datasets import Item, draw_items, write_dataset
from tests.model.training_process import Job, free_addresses, outcomes, start

Outcomes = dict[str, list[dict[str, Any]]]

LABELS = ('NORMAL', 'PNEUMONIA')
PLAIN = {'batch_size': 16, 'dropout': 0.0, 'augment': 'none', 'schedule': 'constant', 'keep': 'last', 'steps': 50}
LITE = {**PLAIN, 'architecture': 'efficientnet_lite0', 'initial_weights': 'imagenet'}
EVERYTHING = {
  **{'batch_size': 16, 'dropout': 0.0, 'augment': 'strong', 'mixup': 0.4, 'cutmix': 1.0, 'balance': 'batches'},
  **{'steps': 18, 'optimizer': 'sgd', 'learning_rate': 0.01, 'warmup_steps': 3, 'head_steps': 2, 'clip_norm': 1.0},
  **{'average': 0.9, 'views': 'mirror', 'label_smoothing': 0.1},
}
CASES: dict[str, dict[str, Any]] = {
  'cnn, SGD': {**PLAIN, 'optimizer': 'sgd', 'learning_rate': 1e-3},
  'cnn, AdamW': {**PLAIN, 'optimizer': 'adamw', 'learning_rate': 1e-3, 'weight_decay': 0.01},
  'cnn, everything': EVERYTHING,
  'Lite0, folded': {**LITE, 'batch_norm': 'folded', 'optimizer': 'adamw', 'learning_rate': 1e-5, 'clip_norm': 1.0},
  'Lite0, live': {**LITE, 'batch_norm': 'live', 'optimizer': 'sgd', 'learning_rate': 3e-5},  # batch norm over all
}


@pytest.fixture(scope='module')
def found(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
  """What each setup made of each case."""
  dataset = str(write_dataset(tmp_path_factory.mktemp('noisy') / 'dataset', noisy_items()))
  cases = {how: [{**case, 'strategy': how} for case in CASES.values()] for how in ('mirrored', 'multi_worker')}
  alone = outcomes(start(Job(dataset, [{**case, 'deterministic': True} for case in CASES.values()])))
  mirrored = outcomes(start(Job(dataset, cases['mirrored'], devices=2)))
  pairs = [trained_by_two(dataset, case) for case in cases['multi_worker']]
  return dict(zip(SETUPS, [alone, mirrored, *map(list, zip(*pairs, strict=True))], strict=True))


def trained_by_two(dataset: str, case: dict[str, Any]) -> list[dict[str, Any]]:
  """What either of two workers made of a case; a cluster is for one training."""
  addresses = free_addresses(2)
  pair = [start(Job(dataset, [case], workers=addresses, index=index)) for index in (0, 1)]
  return [outcome for process in pair for outcome in outcomes(process)]


def noisy_items() -> Sequence[Item]:
  """Half of the labels are drawn: what cannot be learned keeps losses away from nought for 50 steps."""
  random = np.random.default_rng(4)
  items = draw_items({'train': 100, 'val': 33, 'test': 4}, LABELS)
  return [
    dataclasses.replace(item, label=LABELS[random.integers(2)]) if random.random() < 0.5 else item for item in items
  ]


def of(found: Outcomes, setup: str, case: str, what: str) -> NDArray[np.float64]:
  return np.array(found[setup][list(CASES).index(case)][what], np.float64)


@pytest.mark.parametrize('setup', SETUPS[1:])
@pytest.mark.parametrize('case', CASES)
def test_devices_and_processes_take_the_steps_of_one_device(found: Outcomes, case: str, setup: str) -> None:
  alone = of(found, 'one device', case, 'losses')
  assert len(alone) == CASES[case]['steps']
  np.testing.assert_allclose(of(found, setup, case, 'losses'), alone, rtol=0, atol=1e-5)
  assert np.ptp(alone) > 0.01
  assert np.ptp(of(found, 'one device', case, 'scores')) > 1e-3  # a head of zeros, which has learned nothing, has one


@pytest.mark.parametrize('setup', SETUPS[1:])
@pytest.mark.parametrize('case', CASES)
def test_what_is_kept_and_how_it_is_validated_is_the_same(found: Outcomes, case: str, setup: str) -> None:
  tolerances = {'epochs': 0, 'epoch_losses': 1e-3, 'roc_auc': 0.02, 'weights': 1e-3, 'scores': 1e-3, 'truth': 0}
  for what, tolerance in tolerances.items():  # roundings reverse the order of two scores that are nearly the same
    np.testing.assert_allclose(
      of(found, setup, case, what), of(found, 'one device', case, what), rtol=tolerance, atol=tolerance, err_msg=what
    )


@pytest.mark.parametrize('case', CASES)
def test_both_processes_know_the_same_to_the_last_bit(found: Outcomes, case: str) -> None:
  for what in ('losses', 'epoch_losses', 'roc_auc', 'weights', 'scores', 'truth'):
    np.testing.assert_array_equal(of(found, SETUPS[2], case, what), of(found, SETUPS[3], case, what), err_msg=what)

import dataclasses

import pytest

from model.bundle import Bundle
from model.model_card import model_card
from model.networks.efficientnet_lite import VARIANTS
from model.networks.provenance import IMAGENET, LICENCES, provenance
from model.networks.registry import TRANSFER


def test_every_network_with_weights_has_a_licence() -> None:
  assert set(LICENCES) == {*VARIANTS, *(family.name for family in TRANSFER)}


@pytest.mark.parametrize(
  ('architecture', 'initial_weights', 'said'),
  [
    ('cnn', 'none', []),
    ('vgg16', 'none', []),
    ('efficientnet_lite0', 'imagenet', ['ImageNet, under the licence Apache-2.0', 'non-commercial']),
    ('efficientnet_lite0', '/home/someone/lite0.pth', ['a file: of weights that were trained', 'non-commercial']),
    ('efficientnet_lite0', 'file', ['or of another model of radbeam', 'non-commercial']),
    ('resnet50', 'imagenet', ['ImageNet, under the licence MIT', 'non-commercial']),
    ('resnet50', '/home/someone/mine.h5', ['are not known here']),
    ('cnn', 'file', ['are not known here']),
  ],
)
def test_terms_of_initial_weights_are_said(architecture: str, initial_weights: str, said: list[str]) -> None:
  lines = provenance(architecture, initial_weights)
  assert len(lines) == len(said)
  assert all(text in line for text, line in zip(said, lines, strict=True))
  assert 'someone' not in ' '.join(lines)
  assert (IMAGENET in lines) == ('non-commercial' in said)


def test_the_model_card_states_the_terms(bundle: Bundle) -> None:
  pretrained = {'architecture': 'efficientnet_lite0', 'initial_weights': 'imagenet'}
  card = model_card(dataclasses.replace(bundle, recipe=pretrained))
  assert '## Initial weights\n\nTraining began from weights that were trained on ImageNet' in card
  assert IMAGENET in card
  assert '## Initial weights' not in model_card(bundle)

"""The networks that take seconds to build, all of them: what `tests/model/test_networks.py` says of the small ones."""

import pathlib

import pytest

from model.networks.registry import ARCHITECTURES
from tests.model.test_networks import (
  SMALL,
  check_colours,
  check_going_on,
  check_half_precision,
  check_network,
  check_parameters,
  check_resized,
  half_precision,
)

__all__ = ['half_precision']

LARGE = [name for name in ARCHITECTURES if name not in SMALL]
OF_EACH_KIND = ('vgg16', 'efficientnet_lite0')  # of keras.applications, of EfficientNet-Lite


@pytest.mark.parametrize('architecture', LARGE)
def test_every_network_keeps_the_contract_comes_back_from_its_file_and_learns(
  architecture: str, tmp_path: pathlib.Path
) -> None:
  check_network(architecture, tmp_path)
  check_parameters(architecture)


@pytest.mark.parametrize('architecture', OF_EACH_KIND)
def test_colours_sizes_and_other_labels(architecture: str, tmp_path: pathlib.Path) -> None:
  check_colours(architecture)
  check_resized(architecture)
  check_going_on(architecture, tmp_path)


@pytest.mark.usefixtures('half_precision')
@pytest.mark.parametrize('architecture', OF_EACH_KIND)
def test_scores_are_float32_under_mixed_precision(architecture: str) -> None:
  check_half_precision(architecture)

import numpy as np
import pytest

from model.networks.registry import build_network


@pytest.mark.parametrize(('size', 'classes', 'units'), [(32, 2, 1), (45, 3, 3), (224, 2, 1), (512, 2, 1)])
def test_any_size_ends_in_few_features(size: int, classes: int, units: int) -> None:
  network = build_network('cnn', (size, size, 1), classes)
  outputs = network(np.zeros((2, size, size, 1), np.float32)).numpy()
  assert outputs.shape == (2, units)
  assert network.count_params() < 1_000_000
  if classes > 2:
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-6)


def test_the_figure_in_the_docstring_is_true() -> None:
  assert build_network('cnn', (224, 224, 1), 2).count_params() == 499_665


@pytest.mark.parametrize(
  ('architecture', 'size', 'classes', 'message'),
  [
    ('resnet', 64, 2, "architecture is 'resnet'; it must be one of cnn, efficientnet_lite0"),
    ('cnn', 64, 1, 'has 1 classes'),
    ('cnn', 16, 2, 'image_size is 16'),
  ],
)
def test_what_cannot_be_built_is_said(architecture: str, size: int, classes: int, message: str) -> None:
  with pytest.raises(ValueError, match=message):
    build_network(architecture, (size, size, 1), classes)

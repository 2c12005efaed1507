import numpy as np
import pytest
import tensorflow as tf

from model.calibration import Calibration, CalibrationMethod, fit, from_facts
from model.metrics import mean_auc
from model.signatures import calibrated

_COUNT = 4000


def overconfident(classes: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
  """Labels drawn from probabilities, and scores that are too sure of them by a factor of the logits."""
  random = np.random.default_rng(5)
  logits = random.normal(0, 1.5, (_COUNT, classes))
  chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
  truth = np.array([random.choice(classes, p=row) for row in chances])
  sure = np.exp(factor * logits)
  return truth, (sure / sure.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize('classes', [2, 3])
@pytest.mark.parametrize('factor', [0.5, 3.0])
def test_a_temperature_takes_back_what_was_too_sure(classes: int, factor: float) -> None:
  truth, scores = overconfident(classes, factor)
  found = fit('temperature', truth, scores)
  assert found.temperature == pytest.approx(factor, rel=0.1)
  mean = found.apply(scores)[np.arange(_COUNT), truth]
  assert np.log(mean).mean() > np.log(scores[np.arange(_COUNT), truth]).mean()


def test_an_isotonic_line_gives_the_share_of_positives() -> None:
  truth, scores = overconfident(2, 3.0)
  found = fit('isotonic', truth, scores).apply(scores)[:, 1]
  for low in (0.0, 0.25, 0.5, 0.75):
    inside = (found >= low) & (found < low + 0.25)
    assert truth[inside].mean() == pytest.approx(found[inside].mean(), abs=0.02)


def test_a_temperature_changes_no_order() -> None:
  truth, scores = overconfident(2, 3.0)
  assert mean_auc(truth, fit('temperature', truth, scores).apply(scores)) == pytest.approx(
    mean_auc(truth, scores), abs=1e-6
  )


@pytest.mark.parametrize('method', ['identity', 'temperature', 'isotonic'])
def test_the_graph_and_numpy_agree(method: CalibrationMethod) -> None:
  truth, scores = overconfident(2, 3.0)
  extreme = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]], np.float32)
  found = from_facts(fit(method, truth, scores).to_facts())
  for given in (scores, extreme):
    np.testing.assert_allclose(calibrated(tf.constant(given), found).numpy(), found.apply(given), atol=2e-6)
    np.testing.assert_allclose(found.apply(given).sum(axis=1), 1, atol=1e-6)


def test_equal_scores_have_one_probability() -> None:
  scores = np.full((10, 2), 0.5, np.float32)
  found = fit('isotonic', np.arange(10) % 2, scores)
  np.testing.assert_allclose(found.apply(scores), 0.5)


def test_isotonic_needs_two_classes() -> None:
  truth, scores = overconfident(3, 1.0)
  with pytest.raises(ValueError, match='isotonic, there are 3 classes'):
    fit('isotonic', truth, scores)


def test_the_identity_is_nothing_but_its_name() -> None:
  assert Calibration().to_facts() == {'method': 'identity'}


def test_an_unknown_method_is_refused() -> None:
  with pytest.raises(ValueError, match="calibration is 'magic'"):
    from_facts({'method': 'magic'})

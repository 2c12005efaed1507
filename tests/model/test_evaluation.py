import dataclasses
import json
import pathlib
import re
import shutil

import cv2
import numpy as np
import pytest

from model.bundle import Bundle, BundleError
from model.dataset import Dataset, DatasetError
from model.evaluation import Evaluation, check_fit, count_outside, evaluate
from model.intended_use import from_facts
from model.report.html import render_report, write_report
from tests.model.datasets import draw_items, write_dataset
from transforms.preprocess import PreprocessSpec


@pytest.fixture(scope='module')
def evaluation(bundle: Bundle, dataset: Dataset) -> Evaluation:
  return evaluate(bundle.path, dataset.path)


def test_every_labelled_image_has_a_row(evaluation: Evaluation, dataset: Dataset) -> None:
  expected = {item.image_id: item.label for item in draw_items({'test': 20}, ['NORMAL', 'PNEUMONIA'])}
  assert {row.image_id: row.label for row in evaluation.rows} == expected
  assert evaluation.metrics['count'] == 20
  correct = np.mean([row.label == row.predicted_label for row in evaluation.rows])
  assert evaluation.metrics['accuracy'] == pytest.approx(correct)
  content = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
  assert content['dataset_digest'] == dataset.digest


def test_the_validation_split_gives_the_figures_of_the_bundle(bundle: Bundle, dataset: Dataset) -> None:
  again = evaluate(bundle.path, dataset.path, 'val').metrics
  assert again['confusion_matrix'] == bundle.metrics['confusion_matrix']
  assert again['summary'] == pytest.approx(bundle.metrics['summary'], abs=1e-5)


def test_a_dataset_that_does_not_fit_is_refused(bundle: Bundle, dataset: Dataset) -> None:
  with pytest.raises(DatasetError, match='ingest the images again with the options of the bundle'):
    check_fit(bundle, dataclasses.replace(dataset, spec=PreprocessSpec(image_size=64)))
  with pytest.raises(DatasetError, match='1 labels that the bundle does not know'):
    check_fit(bundle, dataclasses.replace(dataset, labels=('NORMAL', 'OTHER')))


def test_a_damaged_bundle_is_not_evaluated(bundle: Bundle, dataset: Dataset, tmp_path: pathlib.Path) -> None:
  copied = pathlib.Path(shutil.copytree(bundle.path, tmp_path / 'copy'))
  (copied / 'model_card.md').write_text('better than it is')
  with pytest.raises(BundleError, match='model_card'):
    evaluate(copied, dataset.path)


def test_the_report_needs_nothing_but_itself(evaluation: Evaluation, tmp_path: pathlib.Path) -> None:
  write_report(evaluation, tmp_path / 'report.html')
  text = (tmp_path / 'report.html').read_text()
  assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', text) == []
  assert '<script' not in text
  assert 'Not a medical device' in text
  assert evaluation.bundle.model_digest in text
  assert text.count('<svg') == 4
  assert str(evaluation.dataset.path) not in text


def test_the_report_shouts_that_images_are_synthetic(evaluation: Evaluation) -> None:
  assert 'SYNTHETIC DATA' in render_report(evaluation)
  real = dataclasses.replace(
    evaluation,
    dataset=dataclasses.replace(evaluation.dataset, synthetic=False),
    bundle=dataclasses.replace(evaluation.bundle, synthetic=False),
  )
  assert 'SYNTHETIC DATA' not in render_report(real)


def test_samples_show_the_picture_before_and_after(bundle: Bundle, tmp_path: pathlib.Path) -> None:
  items = draw_items({'train': 4, 'test': 9}, ['NORMAL', 'PNEUMONIA'])
  root = write_dataset(tmp_path / 'd', items)
  (root / 'samples').mkdir()
  cv2.imwrite(str(root / 'samples' / f'{items[-1].image_id}.png'), np.zeros((50, 40), np.uint8))
  text = render_report(evaluate(bundle.path, root))
  assert text.count('class="sample"') == 6
  assert text.count('alt="source picture"') == 1
  assert text.index(items[-1].image_id[:12]) < text.index(items[4].image_id[:12])


def test_images_of_another_kind_are_counted(evaluation: Evaluation, bundle: Bundle, dataset: Dataset) -> None:
  assert evaluation.outside == {}
  assert 'no image is outside' in render_report(evaluation)
  other = dataclasses.replace(bundle, intended_use=from_facts({'modality': {'CT': 50}}))
  outside = count_outside(other, dataset, 'test', {evaluation.rows[0].image_id, evaluation.rows[1].image_id, 'gone'})
  assert outside == {'outside-intended-use': 2, 'outside-modality': 2}
  text = render_report(dataclasses.replace(evaluation, outside=outside))
  assert 'outside intended use: 2, outside modality: 2' in text
  assert json.loads(json.dumps(dataclasses.replace(evaluation, outside=outside).to_dict()))['outside'] == outside


def test_labels_are_escaped(evaluation: Evaluation) -> None:
  labels = ('<b>x', 'PNEUMONIA')
  metrics = {**evaluation.metrics, 'labels': list(labels)}
  scored = dataclasses.replace(evaluation.scored, labels=labels)
  assert '<b>x' not in render_report(dataclasses.replace(evaluation, metrics=metrics, scored=scored))

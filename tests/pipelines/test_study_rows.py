from typing import Any

import pytest

from pipelines.schemas import STUDIES
from pipelines.study_rows import NOTHING_SCORED, VIEW_MISSING, links_of, study_row, worst_flag
from transforms.quality import FLAGS


def image(probability: float | None, view: str | None = 'PA', run_id: str = 'r1', **values: Any) -> dict[str, Any]:
  scored = probability is not None
  scores = [
    {'label': 'healthy', 'probability': 1 - (probability or 0)},
    {'label': 'sick', 'probability': probability or 0},
  ]
  made = {
    'run_id': run_id,
    'study_id': 's',
    'image_id': 'i',
    'key': 'i',
    'file': 'f',
    'patient_id': 'p',
    'status': 'scored' if scored else 'rejected',
    'view_position': view,
    'quality': [],
    'predicted_label': ('sick' if (probability or 0) >= 0.4 else 'healthy') if scored else None,
    'probability': probability,
    'threshold': 0.4 if scored else None,
    'scores': scores if scored else None,
  }
  return made | values


@pytest.mark.parametrize(
  ('rule', 'probability', 'label'),
  [('max', 0.9, 'sick'), ('mean', 0.38, 'healthy'), ('view:PA', 0.14, 'healthy'), ('view:AP', 0.9, 'sick')],
)
def test_a_study_comes_to_what_its_rule_says(rule: str, probability: float, label: str) -> None:
  row = study_row('s', [image(0.1), image(0.14), image(0.9, 'AP')], rule)
  assert (row['probability'], row['predicted_label'], row['threshold']) == (pytest.approx(probability), label, 0.4)
  assert row['reason'] is None


def test_the_label_of_one_image_is_that_of_its_row() -> None:
  for probability in (0.1, 0.4, 0.9):
    alone = image(probability)
    assert study_row('s', [alone], 'mean')['predicted_label'] == alone['predicted_label']


def test_of_more_than_two_labels_the_likeliest_stands() -> None:
  def three(*probabilities: float) -> dict[str, Any]:
    scores = [{'label': name, 'probability': p} for name, p in zip('abc', probabilities, strict=True)]
    return image(0.5, threshold=None, scores=scores)

  images = [three(0.6, 0.4, 0.0), three(0.0, 0.5, 0.5)]
  assert study_row('s', images, 'max')['predicted_label'] == 'a'
  row = study_row('s', images, 'mean')
  assert (row['predicted_label'], row['probability'], row['threshold']) == ('b', pytest.approx(0.45), None)


def test_images_are_counted_by_what_became_of_them() -> None:
  images = [image(0.1), image(None), image(None, status='skipped'), image(0.3, run_id='r2')]
  row = study_row('s', images, 'max') | links_of(images)
  assert [row[f'images_{status}'] for status in ('scored', 'rejected', 'skipped')] == [2, 1, 1]
  assert row['image_run_ids'] == ['r1', 'r2']
  assert row['patient_id'] == 'p'


def test_a_study_knows_its_rows_and_the_files_of_those_that_are_no_images() -> None:
  report = image(None, run_id='r2', image_id=None, key='s1/', file='f2', status='skipped')
  links = links_of([image(0.1, key='i1'), report])
  assert links == {'row_keys': ['i1', 's1/'], 'file_ids': ['f2'], 'image_run_ids': ['r1', 'r2']}


def test_the_latest_image_says_whose_study_it_is_and_what_the_threshold_is() -> None:
  images = [image(0.5), image(0.5, patient_id='corrected', threshold=0.6, predicted_label='healthy')]
  row = study_row('s', images, 'max')
  assert (row['patient_id'], row['threshold'], row['predicted_label']) == ('corrected', 0.6, 'healthy')


def test_labels_that_only_some_images_have_are_taken_as_they_are() -> None:
  scores = [{'label': 'sick', 'probability': 0.3}, {'label': 'well', 'probability': 0.7}]
  row = study_row('s', [image(0.5), image(0.3, scores=scores, predicted_label='well')], 'mean')
  assert (row['predicted_label'], row['probability']) == ('sick', pytest.approx(0.4))


@pytest.mark.parametrize(
  ('images', 'rule', 'reason'),
  [([image(None)], 'max', NOTHING_SCORED), ([image(0.5)], 'view:LATERAL', VIEW_MISSING)],
)
def test_a_study_without_a_score_says_why(images: list[dict[str, Any]], rule: str, reason: str) -> None:
  row = study_row('s', images, rule)
  assert (row['reason'], row.get('probability'), row.get('predicted_label')) == (reason, None, None)


def test_the_worst_flag_is_that_of_any_scored_image() -> None:
  images = [image(0.1, quality=['lossy-compressed']), image(0.2, quality=['clipped', 'tiny'])]
  assert study_row('s', images, 'max')['worst_quality'] == 'tiny'
  assert study_row('s', [image(0.1)], 'max')['worst_quality'] is None
  other = image(0.3, quality=['outside-age', 'outside-intended-use', 'tiny'])
  assert study_row('s', [*images, other], 'max')['worst_quality'] == 'outside-age'


def test_every_flag_has_its_place_among_the_others() -> None:
  for flag in FLAGS:
    assert worst_flag([flag, 'zz-unknown']) == flag


def test_a_row_has_columns_of_the_table_only() -> None:
  assert set(study_row('s', [image(0.1)], 'max') | links_of([image(0.1)])) <= set(STUDIES.names)

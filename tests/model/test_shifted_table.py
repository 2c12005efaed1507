import json

import numpy as np
import pytest

from model.metrics import Scored
from model.shifted_table import Shifted, shifted_table
from model.shifts import ALL_AT_ONCE, FAMILIES, SHIFTS, STRENGTHS, TOGETHER, VARIANTS, VIEWS, set_digest

IMAGES = 40


def plain(classes: int = 2) -> Scored:
  """Images of all classes in turn, told apart without an error."""
  truth = np.arange(IMAGES) % classes
  scores = np.eye(classes, dtype=np.float32)[truth] * 0.8 + 0.2 / classes
  labels = tuple('abc'[:classes])
  return Scored(labels, truth, scores, *((1, 0.5) if classes == 2 else (None, None)))


def shifted(scored: Scored, misled: str = 'jpeg') -> Shifted:
  """Every image under one change of every family, and all at once; one change turns all scores round."""
  of_family = {family: [v for v in VARIANTS if v.family == family] for family in FAMILIES}
  seen = [
    (image, variant)
    for image in range(IMAGES)
    for variant in (*(drawn[image // 2 % len(drawn)] for drawn in of_family.values()), ALL_AT_ONCE)
  ]
  images = np.array([image for image, _ in seen])
  scores = np.array([scored.scores[i, ::-1] if v.shift == misled else scored.scores[i] for i, v in seen], np.float32)
  return Shifted(scored.truth[images].astype(np.int64), scores, tuple(variant for _, variant in seen), images)


def test_there_is_a_row_for_every_change_family_and_strength() -> None:
  table = shifted_table(plain(), shifted(plain()))
  assert table['set_digest'] == set_digest()
  assert [(row['group'], row['name']) for row in table['rows']] == [
    ('plain', 'as it is'),
    ('pooled', 'pooled'),
    ('together', 'all at once'),
    *(('strength', strength) for strength in STRENGTHS),
    *(('family', family) for family in FAMILIES),
    *(('shift', shift.name) for shift in SHIFTS),
  ]
  json.dumps(table, allow_nan=False)


def test_a_change_that_misleads_is_seen_where_it_belongs() -> None:
  given = shifted(plain())
  rows = {row['name']: row for row in shifted_table(plain(), given)['rows']}
  wrong = sum(variant.shift == 'jpeg' for variant in given.variants)
  assert wrong
  assert (rows['jpeg']['accuracy'], rows['jpeg']['roc_auc'], rows['jpeg']['sensitivity']) == (0, 0, 0)
  assert (rows['grain']['accuracy'], rows['grain']['roc_auc'], rows['grain']['specificity']) == (1, 1, 1)
  assert rows['as it is']['accuracy'] == rows['field']['accuracy'] == 1
  assert rows['noise']['accuracy'] == 1 - wrong / IMAGES
  assert rows['pooled']['accuracy'] == 1 - wrong / (VIEWS * IMAGES)


def test_counts_are_of_rows_and_of_images() -> None:
  rows = {row['name']: row for row in shifted_table(plain(), shifted(plain()))['rows']}
  assert (rows['pooled']['count'], rows['pooled']['images']) == (VIEWS * IMAGES, IMAGES)
  assert (rows['all at once']['count'], rows['all at once']['images']) == (IMAGES, IMAGES)
  assert (rows['grey']['count'], rows['grey']['images']) == (IMAGES, IMAGES)
  assert sum(rows[shift.name]['count'] for shift in SHIFTS) == 4 * IMAGES
  assert rows['mild']['count'] + rows['strong']['count'] == 4 * IMAGES


def test_the_interval_is_that_of_the_images_not_of_their_views() -> None:
  rows = {row['name']: row for row in shifted_table(plain(), shifted(plain(), misled=''))['rows']}
  assert rows['pooled']['roc_auc_interval'] == rows['grey']['roc_auc_interval'] == rows['as it is']['roc_auc_interval']
  assert rows['grain']['roc_auc_interval'][0] < rows['grey']['roc_auc_interval'][0] < 1


def test_a_change_that_no_image_drew_has_no_figures() -> None:
  scored = plain()
  given = shifted(scored)
  rows = {row['name']: row for row in shifted_table(scored, given.that('family', 'grey'))['rows']}
  assert (rows['jpeg']['count'], rows['jpeg']['accuracy'], rows['jpeg']['roc_auc_interval']) == (0, None, None)


def test_all_at_once_counts_for_itself_and_among_all() -> None:
  rows = {row['name']: row for row in shifted_table(plain(), shifted(plain(), misled=TOGETHER))['rows']}
  assert rows['all at once']['accuracy'] == 0
  assert rows['pooled']['accuracy'] == 1 - 1 / VIEWS
  assert rows['mild']['accuracy'] == rows['grey']['accuracy'] == 1


@pytest.mark.parametrize('name', ['as it is', 'pooled', 'grain'])
def test_more_classes_have_averages_and_no_interval(name: str) -> None:
  scored = plain(3)
  rows = {row['name']: row for row in shifted_table(scored, shifted(scored))['rows']}
  assert rows[name]['roc_auc'] is not None
  assert rows[name]['roc_auc_interval'] is None

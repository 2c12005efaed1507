import pathlib

import pytest

from pipelines.label_guard import add_counts, check_labels, label_counts
from tests.pipelines.shard_results import stage
from transforms.labels import LabelError


def test_labels_count_whatever_became_of_their_images(tmp_path: pathlib.Path) -> None:
  counts = ((('ok', '', 'train', 'a'), 2), (('rejected', 'patient-missing', '', 'b'), 3), (('skipped', 'x', '', ''), 4))
  first = label_counts(stage(tmp_path, 0, {}, counts=counts))
  assert first == {'a': 2, 'b': 3}
  assert add_counts([first, first, {}]) == {'a': 4, 'b': 6}


@pytest.mark.parametrize('rows', [1, 10_000])
def test_more_labels_than_allowed_are_refused_in_figures(rows: int) -> None:
  counts = {f'DOE^{number}': rows for number in range(21)}
  assert check_labels(counts, 21) == 21
  rare = 21 if rows < 10 else 0
  with pytest.raises(
    LabelError, match=f'^found 21 different labels of {21 * rows} images, {rare} of them .* expected at most 20'
  ) as caught:
    check_labels(counts, 20)
  assert 'DOE' not in str(caught.value)
  assert '--max_labels 21' in str(caught.value)

"""Keeps names of patients from being published as labels: too many labels are names, as far as one can tell."""

from collections import Counter
from collections.abc import Iterable, Mapping

from pipelines.staging import ShardResult
from transforms.labels import LabelError

_FEW_IMAGES = 10  # a label of fewer images is of little use to training, and as many as a patient has


def label_counts(result: ShardResult) -> dict[str, int]:
  """Rows of a shard by label, whatever became of the image: the index shows the label of all."""
  counts: Counter[str] = Counter()
  for (_, _, _, label), rows in result.counts:
    counts[label] += rows if label else 0
  return dict(+counts)


def add_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
  """The sum."""
  total: Counter[str] = Counter()
  for one in counts:
    total.update(one)
  return dict(total)


def check_labels(counts: Mapping[str, int], max_labels: int) -> int:
  """Refuses more labels than a task of classification is taken to have.

  Not by their sizes alone: a series of CT has as many images as a class.

  Returns:
    How many there are.

  Raises:
    LabelError: with figures, and none of the labels.
  """
  if len(counts) > max_labels:
    rare = sum(rows < _FEW_IMAGES for rows in counts.values())
    raise LabelError(
      f'found {len(counts)} different labels of {sum(counts.values())} images, {rare} of them of fewer than '
      f'{_FEW_IMAGES} images; expected at most {max_labels}, lest names of patients or studies are published: give '
      f'--labels as a CSV, or folders of classes; if all of these are classes, give --max_labels {len(counts)}'
    )
  return len(counts)

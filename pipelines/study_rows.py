"""What the images of a study come to, by the rule of the site: pure functions on rows of predictions."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

VIEW: Final = 'view:'  # before the name of a view, as a rule
VIEW_MISSING: Final = 'view-missing'
NOTHING_SCORED: Final = 'nothing-scored'
# The more a flag says against a score, the earlier it stands.
_WORST_FIRST: Final = (
  'blank',
  *('outside-modality', 'outside-body-part', 'outside-view', 'outside-age', 'outside-sex', 'outside-size'),
  *('outside-colour', 'outside-format', 'outside-bits', 'outside-intended-use'),
  *('tiny', 'clipped', 'low-contrast', 'extreme-aspect', 'burned-in', 'burned-in-masked'),
  *('uid-clash', 'lossy-compressed', 'duplicate-pixels', 'duplicate-content'),
)
Row = Mapping[str, Any]


def study_row(study_id: str, images: Sequence[Row], rule: str) -> dict[str, Any]:
  """What the images of a study come to.

  Args:
    study_id: of the study.
    images: its rows, each image once, oldest run first.
    rule: `max` and `mean` are taken for each label over the scored images;
      `view:PA` is the `max` over those of that view.

  Returns:
    The columns that the images decide. Without a score `reason` says why:
    `view-missing`, or `nothing-scored`.
  """
  scored = [image for image in images if image['status'] == 'scored']
  view = rule.removeprefix(VIEW) if rule.startswith(VIEW) else None
  chosen = [image for image in scored if view in (None, image['view_position'])]
  count = {status: sum(image['status'] == status for image in images) for status in ('scored', 'rejected', 'skipped')}
  return {
    'study_id': study_id,
    'patient_id': next((image['patient_id'] for image in reversed(images) if image['patient_id']), None),
    'rule': rule,
    **(_decision(chosen, rule) if chosen else {}),
    'reason': None if chosen else VIEW_MISSING if scored else NOTHING_SCORED,
    **{f'images_{status}': images_of for status, images_of in count.items()},
    'worst_quality': worst_flag(flag for image in scored for flag in image['quality']),
  }


def links_of(images: Sequence[Row]) -> dict[str, Any]:
  """What leads from a study to its rows: their keys, the runs, and the files whose next reading concerns them.

  These are the files of rows without an image, and those that were not read to their end.
  """
  return {
    'row_keys': sorted(image['key'] for image in images),
    'file_ids': sorted({image['file'] for image in images if image['image_id'] is None or image.get('half_read')}),
    'image_run_ids': sorted({image['run_id'] for image in images}),
  }


def worst_flag(flags: Iterable[str]) -> str | None:
  """The flag that says most against a score."""
  found = set(flags)
  return next((flag for flag in (*_WORST_FIRST, *sorted(found)) if flag in found), None)


def _decision(images: Sequence[Row], rule: str) -> dict[str, Any]:
  """Label and probability of all images together, by the rule of one image."""
  latest = images[-1]
  threshold = latest['threshold']
  scores = _together([_scores(image) for image in images], rule)
  if threshold is None:
    label = max(sorted(scores), key=lambda name: scores[name])
    return {'predicted_label': label, 'probability': scores[label], 'threshold': None}
  positive = _positive_label(latest)
  other = next((name for name in scores if name != positive), positive)
  is_positive = scores[positive] >= threshold
  return {
    'predicted_label': positive if is_positive else other,
    'probability': scores[positive],
    'threshold': threshold,
  }


def _scores(image: Row) -> dict[str, float]:
  return {score['label']: score['probability'] for score in image['scores']}


def _together(scores: Sequence[Mapping[str, float]], rule: str) -> dict[str, float]:
  labels = dict.fromkeys(label for one in scores for label in one)
  values = {label: [one[label] for one in scores if label in one] for label in labels}
  if rule == 'mean':
    return {label: sum(some) / len(some) for label, some in values.items()}
  return {label: max(some) for label, some in values.items()}


def _positive_label(image: Row) -> str:
  """The label whose probability the row states: of two, the predicted one if it reaches the threshold."""
  if image['probability'] >= image['threshold']:
    return str(image['predicted_label'])
  return next(label for label in _scores(image) if label != image['predicted_label'])

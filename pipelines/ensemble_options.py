"""What `radbeam ensemble` can be told; declared as everything in `pipelines.options`."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from pipelines.exits import UsageError
from pipelines.flags import BUNDLE, DATASET, OUTPUT, Flag, above_zero, is_path_part, not_empty
from pipelines.options import JobOptions

_NEEDS_DATASET = ('calibration', 'threshold_rule', 'threshold_on')


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsembleOptions(JobOptions):
  """What `radbeam ensemble` can be told."""

  bundle: tuple[str, ...] = dataclasses.replace(
    BUNDLE, help='a member, as written by `radbeam train`; give two or more'
  ).field()
  output: str = OUTPUT.field()
  dataset: str | None = dataclasses.replace(
    DATASET, help='to choose calibration and threshold on; fusion is trained on it', default=None
  ).field()
  method: Literal['mean', 'fusion'] = Flag(
    'mean of the probabilities of the members, or a new head over their embeddings', 'mean'
  ).field()
  calibration: Literal['identity', 'temperature', 'isotonic'] | None = Flag(
    'how scores become probabilities, fitted on the validation split; default with --dataset: temperature', None
  ).field()
  threshold_rule: str | None = Flag(
    'youden, balanced, sensitivity>=X, specificity>=X, or cost=X; default with --dataset: youden',
    None,
    'RULE',
    not_empty,
  ).field()
  threshold_on: Literal['plain', 'shifted'] | None = Flag(
    'what calibration and threshold look at: the validation images as they are, or as other sites might have made '
    'them; default with --dataset: shifted',
    None,
  ).field()
  weight_decay: float = Flag('of the head of a fusion', 0.1, 'DECAY', above_zero).field()
  name: str = Flag('of the model', 'ensemble', 'NAME', is_path_part).field()
  model_version: str | None = Flag(
    'of the model; default: the beginning of its digest', None, 'VERSION', is_path_part
  ).field()

  def _check_together(self) -> None:
    if self.dataset:
      return
    if self.method == 'fusion':
      raise UsageError('--method is fusion, but there is no dataset to train its head on; give one with --dataset')
    for name in _NEEDS_DATASET:
      if getattr(self, name):
        raise UsageError(
          f'--{name} is {getattr(self, name)!r}, but there are no images to choose by; give them with --dataset'
        )

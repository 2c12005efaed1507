"""The recipe of a training as a value: stored in the bundle, read back from it, compared with others.

No TensorFlow here: flags take their defaults from it, and a launcher reads it from a bundle.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

from model.augmentation import STRENGTHS, Augment, Augmentation, Mixing
from model.networks.options import BatchNorm, NetworkOptions

StrategyName = Literal['auto', 'one_device', 'mirrored', 'multi_worker']
OptimizerName = Literal['adam', 'adamw', 'sgd']
ScheduleName = Literal['cosine', 'constant']
Balance = Literal['loss', 'batches', 'none']
Views = Literal['one', 'mirror']
Keep = Literal['best', 'last']
Precision = Literal['float32', 'bfloat16', 'float16']
TeacherSees = Literal['varied', 'plain']


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
  """What decides the weights, beside the dataset.

  Attributes:
    architecture: of `model.networks.registry`.
    initial_weights: `none`, `imagenet`, or a file.
    input_size: side in pixels of what the network sees; None leaves the dataset's.
    batch_norm: `live` as in training from scratch, `frozen` statistics, or `folded` into the convolutions.
    frozen_share: of the network's blocks, from the input on, that is not trained.
    head_steps: so many steps train the head alone, before all layers are trained.
    dropout: share of the features dropped before the head.
    stochastic_depth: probability that the last residual block is skipped; it rises linearly to there (Huang et al.,
      ECCV 2016).
    epochs: passes over the training images, at most.
    steps: so many steps instead, whatever an epoch is.
    validate_every: steps from one validation to the next; None validates after each epoch.
    batch_size: images of a step, over all devices.
    optimizer: Adam, AdamW (Loshchilov and Hutter, ICLR 2019), or SGD with Nesterov's momentum of 0.9.
    learning_rate: the highest.
    warmup_steps: over which it rises linearly from a thirtieth.
    schedule: `cosine` falls to `final_rate` of it at the last step.
    final_rate: share of the learning rate.
    weight_decay: of AdamW; not of biases and normalisations.
    clip_norm: longest gradient, over all variables together; 0 does not clip.
    label_smoothing: share of each target that is spread over all classes (Szegedy et al., CVPR 2016).
    average: decay of the exponential mean of the weights, which is what is kept; 0 keeps the weights themselves.
    balance: `loss` weighs the classes, `batches` draws them evenly.
    mixup: see `model.mixing`.
    cutmix: see `model.mixing`.
    augment: strength of the augmentation.
    augment_without: parts of it that are switched off.
    teacher_weight: share of the targets that is what a teacher says, see `model.teacher`; 0 has none.
    teacher_sees: `varied` images, as the network does, or the `plain` ones.
    views: `mirror` scores the mean of an image and its mirror image, in the exported graph too.
    keep: the weights of the validation with the best AUC, or the last.
    patience: validations without a better AUC until it stops; only with `best`.
    precision: of what layers compute; weights are float32.
    strategy: devices.
    seed: of weights, order, augmentation and dropout.
    deterministic: the same seed gives the same weights, bit for bit; one device only.
    cache_bytes: a split is kept in memory if its pixels need no more.
  """

  architecture: str = 'cnn'
  initial_weights: str = 'none'
  input_size: int | None = None
  batch_norm: BatchNorm = 'live'
  frozen_share: float = 0.0
  head_steps: int = 0
  dropout: float = 0.3
  stochastic_depth: float = 0.0
  epochs: int = 30
  steps: int | None = None
  validate_every: int | None = None
  batch_size: int = 32
  optimizer: OptimizerName = 'adam'
  learning_rate: float = 1e-3
  warmup_steps: int = 0
  schedule: ScheduleName = 'cosine'
  final_rate: float = 0.0
  weight_decay: float = 0.0
  clip_norm: float = 0.0
  label_smoothing: float = 0.0
  average: float = 0.0
  balance: Balance = 'loss'
  mixup: float = 0.0
  cutmix: float = 0.0
  augment: Augment = 'light'
  augment_without: tuple[str, ...] = ()
  teacher_weight: float = 0.0
  teacher_sees: TeacherSees = 'varied'
  views: Views = 'one'
  keep: Keep = 'best'
  patience: int = 6
  precision: Precision = 'float32'
  strategy: StrategyName = 'auto'
  seed: int = 1
  deterministic: bool = False
  cache_bytes: int = 2 << 30

  def __post_init__(self) -> None:
    for name, (low, high) in _RANGES.items():
      value = getattr(self, name)
      if value is not None and not low <= value <= high:
        expected = f'at least {low}' if high == math.inf else f'at least {low} and at most {high}'
        raise ValueError(f'{name} is {value}; it must be {expected}')
    for name, kind in _CHOICES.items():
      if getattr(self, name) not in get_args(kind):
        raise ValueError(f'{name} is {getattr(self, name)!r}; expected one of {", ".join(get_args(kind))}')
    if not self.learning_rate > 0:
      raise ValueError(f'learning_rate is {self.learning_rate}; it must be above 0')
    self._check_together()

  def _check_together(self) -> None:
    if self.deterministic and self.strategy not in ('auto', 'one_device'):
      raise ValueError(f'deterministic training takes one device, strategy is {self.strategy}; choose one of the two')
    if self.weight_decay and self.optimizer != 'adamw':
      raise ValueError(f'weight_decay is {self.weight_decay}, optimizer is {self.optimizer}; only adamw decays weights')
    self.augmentation()
    self.network_options()

  def augmentation(self) -> Augmentation:
    """How far training images are varied.

    Raises:
      ValueError: if a part that is to be left out is none.
    """
    return STRENGTHS[self.augment].without(self.augment_without)

  def network_options(self, black: float = 0.0, white: float = 1.0) -> NetworkOptions:
    """How the network begins, and what of it is trained.

    Args:
      black: what the transform graph makes of grey 0.
      white: what the transform graph makes of grey 255.

    Raises:
      NetworkError: if two of the values contradict each other.
    """
    return NetworkOptions(
      dropout=self.dropout,
      initial_weights=self.initial_weights,
      batch_norm=self.batch_norm,
      stochastic_depth=self.stochastic_depth,
      frozen_share=self.frozen_share,
      input_size=self.input_size,
      black=black,
      white=white,
    )

  def mixing(self) -> Mixing:
    """How training images are mixed."""
    return Mixing(self.mixup, self.cutmix)

  def to_facts(self) -> dict[str, Any]:
    """As `bundle.json` has it: plain JSON, and no path of the machine."""
    facts = dataclasses.asdict(self) | {'augment_without': list(self.augment_without)}
    return facts | {'initial_weights': self.initial_weights if self.initial_weights in _NO_FILE else 'file'}


_NO_FILE: Final = ('none', 'imagenet')
_SHARE: Final = (0.0, 1.0)
_RANGES: Final[Mapping[str, tuple[float, float]]] = {
  **dict.fromkeys(('epochs', 'steps', 'validate_every', 'batch_size', 'patience', 'input_size'), (1, math.inf)),
  **dict.fromkeys(('head_steps', 'warmup_steps', 'weight_decay', 'clip_norm', 'mixup', 'cutmix'), (0, math.inf)),
  **dict.fromkeys(('frozen_share', 'final_rate', 'teacher_weight'), _SHARE),
  **dict.fromkeys(('dropout', 'stochastic_depth', 'label_smoothing', 'average'), (0.0, 1 - 1e-9)),
}
_CHOICES: Final[Mapping[str, Any]] = {
  'batch_norm': BatchNorm,
  'optimizer': OptimizerName,
  'schedule': ScheduleName,
  'balance': Balance,
  'augment': Augment,
  'views': Views,
  'keep': Keep,
  'teacher_sees': TeacherSees,
  'precision': Precision,
  'strategy': StrategyName,
}


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
  """What two recipes say differently: by name the two values, None where one has no such entry."""
  names = sorted(set(one) | set(other))
  return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}

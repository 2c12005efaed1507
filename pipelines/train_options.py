"""What `radbeam train` can be told: the recipe, a flag for each of its fields, and how the bundle decides.

Defaults are those of `model.recipe.Recipe`. A recipe is kept as a file of
`--config`, with the same keys as the flags.
"""

import dataclasses
from dataclasses import dataclass
from typing import Final, Literal

from model.augmentation import Augment
from model.cluster import Cluster, ClusterError, parse_workers
from model.networks.options import BatchNorm
from model.recipe import (
  Balance,
  Keep,
  OptimizerName,
  Precision,
  Recipe,
  ScheduleName,
  StrategyName,
  TeacherSees,
  Views,
)
from pipelines.exits import UsageError
from pipelines.flags import (
  BATCH_SIZE,
  DATASET,
  DETERMINISTIC,
  SEED,
  Flag,
  above_zero,
  between,
  is_local_folder,
  is_path_part,
  not_empty,
)
from pipelines.options import JobOptions

_RECIPE: Final = Recipe()
_FIELDS: Final = tuple(field.name for field in dataclasses.fields(Recipe))

# Those of `model.networks.registry`, which loads TensorFlow; a test compares them.
Architecture = Literal[
  'cnn',
  'resnet_small',
  'efficientnet_lite0',
  'efficientnet_lite1',
  'efficientnet_lite2',
  'mobilenet_v3_large',
  'efficientnetv2_b0',
  'densenet121',
  'vgg16',
  'inception_v3',
  'resnet50',
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainJobOptions(JobOptions):
  """What `radbeam train` can be told."""

  dataset: str = DATASET.field()
  bundle: str = Flag('where the model goes', ..., 'DIR', not_empty, written=True).field()
  name: str = Flag('of the model; default: its architecture', '', 'NAME', is_path_part).field()
  model_version: str | None = Flag(
    'of the model; default: the beginning of its digest', None, 'VERSION', is_path_part
  ).field()
  positive_label: str | None = Flag('of two labels, the one whose probability is given', None, 'LABEL').field()
  calibration: Literal['identity', 'temperature', 'isotonic'] = Flag(
    'how scores become probabilities, fitted on the validation split', 'temperature'
  ).field()
  threshold_rule: str = Flag(
    'youden, balanced, sensitivity>=X, specificity>=X, or cost=X: X false alarms are as bad as a missed case',
    'youden',
    'RULE',
  ).field()
  threshold_on: Literal['plain', 'shifted'] = Flag(
    'what calibration and threshold look at: the validation images as they are, or as other sites might have made them',
    'shifted',
  ).field()
  folds: int | None = Flag(
    'deal the patients of train and val into so many folds, of which one is for validation', None, 'N', between(2, 60)
  ).field()
  fold: int | None = Flag('which of the folds is for validation, counted from 1', None, 'N', between(1, 60)).field()
  teacher: str | None = Flag(
    'a bundle whose probabilities are learnt beside the labels, such as an ensemble', None, 'DIR', not_empty
  ).field()
  checkpoints: str | None = Flag(
    'where an interrupted training goes on from; default: a folder beside the bundle, until that is written',
    None,
    'DIR',
    is_local_folder,
    written=True,
  ).field()
  workers: str | None = Flag(
    'with --strategy multi_worker: all that train together, the chief first; default: as TF_CONFIG says',
    None,
    'HOST:PORT,…',
    not_empty,
  ).field()
  worker_index: int | None = Flag('which of the workers this is, from 0', None, 'N', between(0)).field()
  tensorboard: str | None = Flag('write logs for TensorBoard there', None, 'DIR', is_local_folder, written=True).field()

  architecture: Architecture = Flag('the network', _RECIPE.architecture, group='recipe').field()
  initial_weights: str = Flag(
    'none: random; imagenet: as an extra or Keras brings them; or a file',
    _RECIPE.initial_weights,
    'none|imagenet|FILE',
    not_empty,
    'recipe',
  ).field()
  input_size: int | None = Flag(
    "side of what the network sees, in pixels; default: the dataset's",
    _RECIPE.input_size,
    'N',
    between(16, 4096),
    'recipe',
  ).field()
  batch_norm: BatchNorm = Flag(
    'live, for training from scratch; of initial weights: frozen, or folded into the convolutions',
    _RECIPE.batch_norm,
    group='recipe',
  ).field()
  frozen_share: float = Flag(
    "of the network's blocks, from the input on, that are not trained",
    _RECIPE.frozen_share,
    'SHARE',
    between(0, 1),
    'recipe',
  ).field()
  head_steps: int = Flag('the first steps train the head alone', _RECIPE.head_steps, 'N', between(0), 'recipe').field()
  dropout: float = Flag(
    'share of the features dropped before the head', _RECIPE.dropout, 'SHARE', between(0, 0.99), 'recipe'
  ).field()
  stochastic_depth: float = Flag(
    'how often the last block is skipped; earlier ones less',
    _RECIPE.stochastic_depth,
    'SHARE',
    between(0, 0.99),
    'recipe',
  ).field()
  epochs: int = Flag('at most so many passes over the train split', _RECIPE.epochs, 'N', between(1), 'recipe').field()
  steps: int | None = Flag('so many steps instead', _RECIPE.steps, 'N', between(1), 'recipe').field()
  validate_every: int | None = Flag(
    'steps from one validation to the next; default: an epoch', _RECIPE.validate_every, 'N', between(1), 'recipe'
  ).field()
  batch_size: int = dataclasses.replace(BATCH_SIZE, group='recipe').field()
  optimizer: OptimizerName = Flag('how gradients become steps', _RECIPE.optimizer, group='recipe').field()
  learning_rate: float = Flag('the highest', _RECIPE.learning_rate, 'RATE', above_zero, 'recipe').field()
  warmup_steps: int = Flag(
    'over which the learning rate rises', _RECIPE.warmup_steps, 'N', between(0), 'recipe'
  ).field()
  schedule: ScheduleName = Flag('how the learning rate goes on from there', _RECIPE.schedule, group='recipe').field()
  final_rate: float = Flag(
    'where a cosine ends, as a share of the learning rate', _RECIPE.final_rate, 'SHARE', between(0, 1), 'recipe'
  ).field()
  weight_decay: float = Flag('of adamw', _RECIPE.weight_decay, 'RATE', between(0), 'recipe').field()
  clip_norm: float = Flag('longest gradient; 0: any', _RECIPE.clip_norm, 'NORM', between(0), 'recipe').field()
  label_smoothing: float = Flag(
    'share of a label spread over all', _RECIPE.label_smoothing, 'SHARE', between(0, 0.99), 'recipe'
  ).field()
  average: float = Flag(
    'decay of the mean of weights that is kept; 0: the weights themselves',
    _RECIPE.average,
    'DECAY',
    between(0, 0.99999),
    'recipe',
  ).field()
  balance: Balance = Flag(
    'classes weigh the same in the loss, or are drawn evenly', _RECIPE.balance, group='recipe'
  ).field()
  mixup: float = Flag(
    'images are mixed by shares from Beta(X, X); 0: none', _RECIPE.mixup, 'X', between(0), 'recipe'
  ).field()
  cutmix: float = Flag(
    'boxes are pasted whose area is from Beta(X, X); 0: none', _RECIPE.cutmix, 'X', between(0), 'recipe'
  ).field()
  augment: Augment = Flag('random changes to the training images', _RECIPE.augment, group='recipe').field()
  augment_without: tuple[str, ...] = Flag(
    'leaves a part of them out; may be given several times; empty: none',
    _RECIPE.augment_without,
    'PART',
    group='recipe',
  ).field()
  teacher_weight: float = Flag(
    'share of the targets that is what --teacher says; 0.5 is a beginning',
    _RECIPE.teacher_weight,
    'SHARE',
    between(0, 1),
    'recipe',
  ).field()
  teacher_sees: TeacherSees = Flag(
    'varied images, as the network does: the teacher scores every batch; or the plain ones: it scores each once',
    _RECIPE.teacher_sees,
    group='recipe',
  ).field()
  views: Views = Flag(
    'mirror: scores are the mean of an image and its mirror image', _RECIPE.views, group='recipe'
  ).field()
  keep: Keep = Flag('the weights of the best validation AUC, or the last', _RECIPE.keep, group='recipe').field()
  patience: int = Flag(
    'stop after so many validations without a better AUC; with --keep best', _RECIPE.patience, 'N', between(1), 'recipe'
  ).field()
  precision: Precision = Flag('what layers compute in; weights are float32', _RECIPE.precision, group='recipe').field()
  strategy: StrategyName = Flag('how the devices share the work', _RECIPE.strategy, group='recipe').field()
  seed: int = dataclasses.replace(SEED, group='recipe').field()
  deterministic: bool = dataclasses.replace(DETERMINISTIC, group='recipe').field()

  @property
  def model_name(self) -> str:
    """The name given, or the architecture."""
    return self.name or self.architecture

  def recipe(self) -> Recipe:
    """The flags as the value that the training works with.

    Raises:
      UsageError: if two of them contradict each other.
    """
    try:
      return Recipe(**{name: getattr(self, name) for name in _FIELDS if hasattr(self, name)})
    except ValueError as error:
      raise UsageError(f'--{error}') from error

  def _check_together(self) -> None:
    if (self.fold is None) != (self.folds is None) or (self.fold or 0) > (self.folds or 0):
      raise UsageError(f'--fold is {self.fold}, --folds is {self.folds}; give both, and a fold from 1 to --folds')
    self._check_workers()
    self.recipe()

  def _check_workers(self) -> None:
    if (self.workers is None) != (self.worker_index is None):
      raise UsageError(f'--workers is {self.workers}, --worker_index is {self.worker_index}; give both, or none')
    if self.workers is not None and self.strategy != 'multi_worker':
      raise UsageError(f'--workers is given, --strategy is {self.strategy}; expected --strategy multi_worker')
    try:
      if self.workers is not None and self.worker_index is not None:
        Cluster(parse_workers(self.workers), self.worker_index)
    except ClusterError as error:
      raise UsageError(f'--workers: {error}') from error

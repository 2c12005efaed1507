"""How a network is built, as a value: the same for every architecture."""

from dataclasses import dataclass
from typing import Literal, get_args

BatchNorm = Literal['live', 'frozen', 'folded']


class NetworkError(ValueError):
  """A network that cannot be built as it is wanted: what was found, what was expected, what to do."""


@dataclass(frozen=True, slots=True)
class NetworkOptions:
  """What `build_network` can be told.

  Attributes:
    dropout: share of the features dropped before the head, in training: 0 up to 1.
    initial_weights: `none` (random), `imagenet`, or the path of a file: of ImageNet weights, or the `.keras` file of a
      bundle, whose training goes on.
    batch_norm: `live` trains with the statistics of the batch; `frozen` keeps the statistics and factors of the
      initial weights, untrained; `folded` multiplies them into the convolutions before them, which are trained:
      the same function, faster. The last two need initial weights.
    stochastic_depth: probability that the last residual branch is left out in training; earlier ones in proportion to
      their depth (Huang et al., ECCV 2016): 0 up to 1.
    frozen_share: share of the backbone's blocks, from the input on, that is not trained: 0 to 1.
    input_size: side in pixels of what the backbone sees; images are resized inside the network. None leaves them.
    black: what the transform graph makes of grey 0.
    white: what the transform graph makes of grey 255.

  Raises:
    NetworkError: on making one, if a value is outside its range or two contradict each other.
  """

  dropout: float = 0.3
  initial_weights: str = 'none'
  batch_norm: BatchNorm = 'live'
  stochastic_depth: float = 0.0
  frozen_share: float = 0.0
  input_size: int | None = None
  black: float = 0.0
  white: float = 1.0

  def __post_init__(self) -> None:
    for name in ('dropout', 'stochastic_depth'):
      if not 0 <= getattr(self, name) < 1:
        raise NetworkError(f'{name} is {getattr(self, name)}; it must be at least 0 and below 1')
    if not 0 <= self.frozen_share <= 1:
      raise NetworkError(f'frozen_share is {self.frozen_share}; it must be from 0 to 1')
    if self.input_size is not None and self.input_size < 1:
      raise NetworkError(f'input_size is {self.input_size}; it must be at least 1, or None for the size of the images')
    if not self.black < self.white:
      raise NetworkError(f'black is {self.black} and white is {self.white}; expected black below white')
    if self.batch_norm not in get_args(BatchNorm):
      raise NetworkError(f'batch_norm is {self.batch_norm!r}; it must be one of {", ".join(get_args(BatchNorm))}')
    if not self.initial_weights:
      raise NetworkError('initial_weights is empty; expected none, imagenet or the path of a file')
    self._check_untrained()

  @property
  def continues(self) -> bool:
    """Whether the initial weights are those of a network that was trained here."""
    return self.initial_weights.endswith('.keras')

  def _check_untrained(self) -> None:
    if self.initial_weights != 'none':
      return
    if self.batch_norm != 'live':
      raise NetworkError(
        f'batch_norm is {self.batch_norm}, but initial_weights is none: there are no statistics to keep; '
        'take live, or give initial weights'
      )
    if self.frozen_share:
      raise NetworkError(
        f'frozen_share is {self.frozen_share}, but initial_weights is none: random blocks would stay random; '
        'take 0, or give initial weights'
      )

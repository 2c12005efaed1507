"""How far training images are varied and mixed, as values; `model.augmenting` and `model.mixing` do it.

Neither OpenCV nor numpy here: flags and recipes are made of these.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

Augment = Literal['none', 'light', 'standard', 'strong']


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
  """How far an image may be varied; each image draws its own values. Every part is off by default.

  Attributes:
    mirror: whether half of the images are mirrored left to right. Side markers
      and the heart change sides: a radiograph of the chest stays plausible,
      a task about sides does not.
    rotation_degrees: about the centre, to either side.
    zoom: the size is multiplied by e^±zoom.
    aspect: the sides are stretched against each other by e^±aspect.
    shear: of the columns along the rows, to either side.
    shift: share of height and width, to either side.
    clahe: probability of local equalisation (Pizer et al., CVGIP 1987) with a limit of 1 to 4.
    equalise: probability of equalisation of the whole image.
    blur: probability of a Gaussian of 0.4 to 1.6 pixels.
    resample: probability of a detour by 40 to 90 % of the size.
    sharpen: probability of an unsharp mask.
    gamma: grey levels are raised to e^±gamma.
    contrast: grey levels are stretched about the middle by e^±contrast.
    brightness: levels added, to either side.
    noise: probability of Gaussian noise of 1 to 12 levels.
    boxes: probability of one to three erased boxes (Zhong et al., AAAI 2020).
    borders: probability of black or white borders, as of a scanned film.
    markers: probability of letters as technicians put beside the patient.
  """

  mirror: bool = False
  rotation_degrees: float = 0.0
  zoom: float = 0.0
  aspect: float = 0.0
  shear: float = 0.0
  shift: float = 0.0
  clahe: float = 0.0
  equalise: float = 0.0
  blur: float = 0.0
  resample: float = 0.0
  sharpen: float = 0.0
  gamma: float = 0.0
  contrast: float = 0.0
  brightness: float = 0.0
  noise: float = 0.0
  boxes: float = 0.0
  borders: float = 0.0
  markers: float = 0.0

  def without(self, parts: Sequence[str]) -> 'Augmentation':
    """The same with some of its parts switched off.

    Raises:
      ValueError: if one of them is no part.
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
      raise ValueError(f'augment_without is {unknown[0]!r}; expected one of {", ".join(PARTS)}')
    return dataclasses.replace(self, **dict.fromkeys(parts, False))


UNVARIED: Final = Augmentation()
PARTS: Final = tuple(field.name for field in dataclasses.fields(Augmentation))

STRENGTHS: Final[dict[Augment, Augmentation]] = {
  'none': UNVARIED,
  'light': Augmentation(rotation_degrees=5, zoom=0.05, shift=0.03, brightness=13),
  'standard': Augmentation(mirror=True, rotation_degrees=10, zoom=0.1, shift=0.05, brightness=25),
  'strong': Augmentation(
    mirror=True,
    rotation_degrees=15,
    zoom=0.18,
    aspect=0.15,
    shear=0.12,
    shift=0.07,
    clahe=0.2,
    equalise=0.15,
    blur=0.2,
    resample=0.2,
    sharpen=0.15,
    gamma=0.5,
    contrast=0.4,
    brightness=30,
    noise=0.3,
    boxes=0.5,
    borders=0.1,
    markers=0.2,
  ),
}


@dataclass(frozen=True, slots=True)
class Mixing:
  """How images of a batch are mixed; a batch is mixed in one of the ways, drawn evenly, if both are on.

  Attributes:
    mixup: shares are drawn from Beta(mixup, mixup); 0 switches it off.
    cutmix: the area of the box pasted is drawn from Beta(cutmix, cutmix); 0 switches it off.
  """

  mixup: float = 0.0
  cutmix: float = 0.0


UNMIXED: Final = Mixing()

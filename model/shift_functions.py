"""What another site does to a radiograph, as functions: grey levels, sharpness, noise, and what is in the field.

None is a function of the training augmentation, and none takes its place: a
network must not be measured by what it was trained on. Each takes a float32
image [height, width, channels] of grey levels 0 to 1 and a generator, which
decides places, directions and noise, never how strong it is; each returns the
same shape, whose values may leave the range. Lengths are shares of the longer
side, so that they are the same at every resolution.
"""

import math
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.float32]

LETTERS: Final = {
  'L': ('10000', '10000', '10000', '10000', '10000', '10000', '11111'),
  'R': ('11110', '10001', '10001', '11110', '10100', '10010', '10001'),
}


def film(image: Image, _: np.random.Generator, *, slope: float, centre: float) -> Image:
  """A characteristic curve (Hurter and Driffield, J. Soc. Chem. Ind. 1890): toe, straight part, shoulder.

  Args:
    image: see the module.
    slope: of the logistic curve in its middle.
    centre: the grey level there; above 0.5 the film is overexposed, and the lungs go black.
  """
  low, high = _logistic(-slope * centre), _logistic(slope * (1 - centre))
  return ((1 / (1 + np.exp(-slope * (image - centre))) - low) / (high - low)).astype(np.float32)


def fog(image: Image, _: np.random.Generator, *, base: float, bend: float) -> Image:
  """A flat film: grey levels above the base fog only, on a curve that is steep at both ends.

  Args:
    image: see the module.
    base: what black becomes; white falls by half as much.
    bend: how far the ends are cut off the inverse logistic curve, above 0 and below 0.5; less is flatter.
  """
  inner = bend + (1 - 2 * bend) * image
  curve = np.log(inner / (1 - inner)) / math.log((1 - bend) / bend) / 2 + 0.5
  return (base + (1 - 1.5 * base) * curve).astype(np.float32)


def log_display(image: Image, _: np.random.Generator, *, steepness: float) -> Image:
  """Detector values shown on a logarithmic scale: dark parts are brightened."""
  return (np.log1p(steepness * np.maximum(image, 0)) / math.log1p(steepness)).astype(np.float32)


def defocus(image: Image, _: np.random.Generator, *, radius: float) -> Image:
  """The shadow of a large focal spot: the mean over a disc."""
  reach = radius * _side(image)
  ticks = np.arange(-math.ceil(reach), math.ceil(reach) + 1)
  disc = np.clip(reach + 0.5 - np.hypot(*np.meshgrid(ticks, ticks)), 0, 1)
  return _filtered(image, disc)


def motion(image: Image, random: np.random.Generator, *, length: float) -> Image:
  """A patient who moved: the mean along a line of any direction."""
  reach = length * _side(image) / 2
  angle = random.uniform(0, math.pi)
  size = math.ceil(reach)
  line = np.zeros((2 * size + 1, 2 * size + 1))
  for step in np.linspace(-reach, reach, 8 * size + 1):
    line[round(size + step * math.sin(angle)), round(size + step * math.cos(angle))] += 1
  return _filtered(image, line)


def skip_pixels(image: Image, _: np.random.Generator, *, share: float) -> Image:
  """A small export by a careless programme: pixels are dropped, not averaged, and a cubic fills the gaps."""
  height, width = image.shape[:2]
  small = max(4, round(width * share)), max(4, round(height * share))
  fewer = cv2.resize(image, small, interpolation=cv2.INTER_NEAREST)
  return _shaped(cv2.resize(fewer, (width, height), interpolation=cv2.INTER_CUBIC), image)


def process_detail(image: Image, _: np.random.Generator, *, power: float, latitude: float) -> Image:
  """A vendor's multi-scale processing (Vuylsteke and Schoeters, SPIE 1994): weak detail up, large contrast down.

  Args:
    image: see the module.
    power: detail d becomes |d|^power, in units of a quarter of the range; below 1 amplifies the weak.
    latitude: what remains of the contrast between large areas.
  """
  size = max(3, round(0.12 * _side(image)))
  base = _shaped(cv2.blur(image, (size, size), borderType=cv2.BORDER_REFLECT_101), image)
  detail = image - base
  amplified = 0.25 * np.sign(detail) * (np.abs(detail) / 0.25) ** power
  middle = base.mean()
  return (middle + latitude * (base - middle) + amplified).astype(np.float32)


def quantum_noise(image: Image, random: np.random.Generator, *, photons: float) -> Image:
  """A low dose: as many photons as Poisson's law sends through, most where the picture is black.

  Args:
    image: see the module; the logarithm of the attenuation, of which white lets 5 % pass.
    random: see the module.
    photons: for one pixel where nothing is in their way.
  """
  attenuation = 3.0
  counted = random.poisson(photons * np.exp(-attenuation * image.astype(np.float64)))
  return (-np.log(np.maximum(counted, 0.5) / photons) / attenuation).astype(np.float32)


def grain(image: Image, random: np.random.Generator, *, amplitude: float) -> Image:
  """Noise whose neighbours are alike, as of film and screen: a standard deviation, largest in the mid-tones."""
  height, width, channels = image.shape
  coarse = random.standard_normal((max(2, height // 3), max(2, width // 3), channels), np.float32)
  clouds = _shaped(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), image)
  return image + amplitude * clouds / clouds.std() * 4 * image * (1 - image)


def grid_lines(image: Image, random: np.random.Generator, *, amplitude: float) -> Image:
  """What an anti-scatter grid leaves: fine lines across or along, in proportion to the grey level."""
  axis = int(random.integers(2))
  period_px, phase = random.uniform(2.5, 6.0), random.uniform(0, 2 * math.pi)
  wave = np.sin(2 * math.pi * np.arange(image.shape[axis], dtype=np.float32) / period_px + phase)
  return (image * (1 + amplitude * wave.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1)))).astype(np.float32)


def jpeg(image: Image, _: np.random.Generator, *, quality: float) -> Image:
  """Lossy compression at a quality of 1 to 100."""
  stored = np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)[..., ::-1]  # OpenCV has blue first
  data = cv2.imencode('.jpg', np.ascontiguousarray(stored), [cv2.IMWRITE_JPEG_QUALITY, int(quality)])[1]
  decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.float32).reshape(image.shape)
  return np.ascontiguousarray(decoded[..., ::-1] / np.float32(255))


def crop(image: Image, random: np.random.Generator, *, keep: float) -> Image:
  """A field that is too small, and not in the middle: each side keeps about this share, somewhere."""
  height, width = image.shape[:2]
  rows, columns = (max(4, round(side * keep * random.uniform(0.95, 1.0))) for side in (height, width))
  top, left = int(random.integers(height - rows + 1)), int(random.integers(width - columns + 1))
  inner = image[top : top + rows, left : left + columns]
  return _shaped(cv2.resize(inner, (width, height), interpolation=cv2.INTER_CUBIC), image)


def collimate(image: Image, random: np.random.Generator, *, inset: float) -> Image:
  """Shutters of the collimator: a tilted frame with soft edges, behind which scatter is left.

  Args:
    image: see the module.
    random: see the module.
    inset: each of the four covers from none to this share of its side.
  """
  height, width = image.shape[:2]
  y, x = np.mgrid[0:height, 0:width].astype(np.float32)
  angle, penumbra = math.radians(random.uniform(-4, 4)), 0.01 * _side(image) + 0.5
  x, y = x - (width - 1) / 2, y - (height - 1) / 2
  along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
  left, right, top, bottom = random.uniform(0, inset, 4)
  outside = (
    (left - 0.5) * width - along,
    along - (0.5 - right) * width,
    (top - 0.5) * height - across,
    across - (0.5 - bottom) * height,
  )
  opened = np.clip(0.5 - np.maximum.reduce(outside) / penumbra, 0, 1)
  return (image * (0.08 + 0.92 * opened[..., np.newaxis])).astype(np.float32)


def heel(image: Image, random: np.random.Generator, *, amplitude: float) -> Image:
  """The heel effect, and a patient off the centre of the grid: the exposure falls from one edge to the other."""
  height, width = image.shape[:2]
  y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
  angle = random.uniform(0, 2 * math.pi)
  slope = x * math.cos(angle) + y * math.sin(angle)
  return (image * np.exp(amplitude * slope)[..., np.newaxis]).astype(np.float32)


def plate(image: Image, random: np.random.Generator, *, height: float) -> Image:
  """A lead letter on its plate, burned in by the detector: dark on bright, upright or on its side, near a corner."""
  letter = np.array([[float(dot) for dot in row] for row in LETTERS['LR'[random.integers(2)]]], np.float32)
  tile = np.rot90(1 - np.pad(letter, 2), int(random.integers(4)))
  rows = max(tile.shape[0], round(height * _side(image)))
  columns = max(tile.shape[1], round(rows * tile.shape[1] / tile.shape[0]))
  drawn = cv2.resize(np.ascontiguousarray(tile), (columns, rows), interpolation=cv2.INTER_NEAREST)
  free = np.maximum(np.array(image.shape[:2]) - drawn.shape, 0)
  top, left = (int(room * random.choice([0.04, 0.96])) for room in free)
  marked = image.copy()
  place = marked[top : top + rows, left : left + columns]
  place[:] = np.maximum(0.15 * place, 0.95 * drawn[: place.shape[0], : place.shape[1], np.newaxis])
  return marked


def _logistic(value: float) -> float:
  return 1 / (1 + math.exp(-value))


def _side(image: Image) -> int:
  return max(image.shape[:2])


def _shaped(result: Image, image: Image) -> Image:
  """OpenCV drops a last axis of length 1."""
  return result.reshape(image.shape)


def _filtered(image: Image, kernel: NDArray[np.float64]) -> Image:
  mean = (kernel / kernel.sum()).astype(np.float32)
  return _shaped(cv2.filter2D(image, -1, mean, borderType=cv2.BORDER_REFLECT_101), image)

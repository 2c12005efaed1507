"""Peak memory of reading one hostile file of each kind, above that of an idle reader.

  python -m benchmarks.hostile_memory

The files are as large as the limits allow, or ask for more than they hold. Each
is read by a process of its own, with its decode processes; the file's pixels are
flat, so that they compress well.
"""

import argparse
import gzip
import pathlib
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from openjpeg.utils import encode_array
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite

from benchmarks.measure import measure
from transforms.elements import DEFAULT_LIMITS

LIMIT_BYTES: Final = 3 << 29
SIDE: Final = 10_000  # whose square is `max_pixels`
_MIB: Final = 1 << 20

# Threads are warmed with a small picture, as those of a worker are.
READ: Final = """
import sys
from transforms.decode import DecodeOptions
from transforms.elements import DEFAULT_LIMITS
from transforms.inputs import list_input, name_inputs
from transforms.read_beam import read_shard
from transforms.shards import pack_shards
for path in sys.argv[1:]:
  given, = name_inputs([path])
  for shard in pack_shards(list_input(given, DEFAULT_LIMITS), 2):
    for batch in read_shard(shard, DecodeOptions()):
      for source in batch.sources:
        print(source.frames[0].error.code if source.frames[0].error else 'image', file=sys.stderr)
"""


def flat(dtype: str, side: int = SIDE, channels: int = 1) -> NDArray[Any]:
  """A picture with a little in it."""
  image = np.zeros((side, side, channels) if channels > 1 else (side, side), dtype)
  image[side // 4 : side // 2] = 100
  image[: side // 8] = np.random.default_rng(1).integers(0, 64, image[: side // 8].shape)  # less would be a bomb
  return image


def dicom(image: NDArray[Any], **changes: Any) -> FileDataset:
  """A Secondary Capture image around pixels."""
  meta = FileMetaDataset()
  meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
  meta.MediaStorageSOPClassUID = uid.SecondaryCaptureImageStorage
  meta.MediaStorageSOPInstanceUID = uid.UID('1.2.3')
  dataset = FileDataset('', Dataset(), file_meta=meta, preamble=bytes(128))
  dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.Modality = meta.MediaStorageSOPClassUID, '1.2.3', 'OT'
  dataset.Rows, dataset.Columns = image.shape[:2]
  dataset.SamplesPerPixel = image.shape[2] if image.ndim == 3 else 1
  dataset.PhotometricInterpretation = 'RGB' if image.ndim == 3 else 'MONOCHROME2'
  if image.ndim == 3:
    dataset.PlanarConfiguration = 0
  dataset.BitsAllocated = dataset.BitsStored = 8 * image.dtype.itemsize
  dataset.HighBit = dataset.BitsStored - 1
  dataset.PixelRepresentation = int(image.dtype.kind == 'i')
  if image.dtype.kind == 'f':
    keyword = 'FloatPixelData' if image.dtype.itemsize == 4 else 'DoubleFloatPixelData'
    setattr(dataset, keyword, image.tobytes())
  else:
    dataset.PixelData = image.tobytes()
    dataset['PixelData'].VR = 'OW'
  for keyword, value in changes.items():
    setattr(dataset, keyword, value)
  return dataset


def _write(dataset: Dataset, path: pathlib.Path) -> None:
  dcmwrite(path, dataset, enforce_file_format=False)


def _compressed(image: NDArray[Any], syntax: str, path: pathlib.Path) -> None:
  dataset = dicom(image)
  if syntax == uid.JPEG2000Lossless:
    dataset.PixelData = encapsulate([encode_array(image, codec_format=0)])
    dataset['PixelData'].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = uid.UID(syntax)
  else:
    dataset.compress(syntax, generate_instance_uid=False)
  _write(dataset, path)


def _palette(path: pathlib.Path) -> None:
  ramp = np.arange(1 << 16, dtype='<u2').tobytes()
  colours = ('Red', 'Green', 'Blue')
  tables = {f'{colour}PaletteColorLookupTableData': ramp for colour in colours}
  descriptors = {f'{colour}PaletteColorLookupTableDescriptor': [0, 0, 16] for colour in colours}
  _write(dicom(flat('<u2'), PhotometricInterpretation='PALETTE COLOR', **tables, **descriptors), path)


def _deep(path: pathlib.Path) -> None:
  """Sequences of undefined length, a hundred thousand deep."""
  head = b'\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff'
  path.write_bytes(bytes(128) + b'DICM' + head * 100_000)


def _many_elements(path: pathlib.Path) -> None:
  """Ten million empty private elements."""
  elements = np.zeros((10_000_000, 8), np.uint8)
  elements[:, 0:2] = (9, 0)
  elements[:, 4:6] = tuple(b'LO')
  path.write_bytes(bytes(128) + b'DICM' + elements.tobytes())


def _deflated(path: pathlib.Path) -> None:
  dataset = dicom(flat('<u2', 1000))
  dataset.add_new(0x00091001, 'OB', bytes(DEFAULT_LIMITS.max_member_bytes - (8 << 20)))
  dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
  _write(dataset, path)


def _nested(path: pathlib.Path) -> None:
  """A zip of a zip of as many zeros as a member may have."""
  with tempfile.TemporaryDirectory() as folder:
    inner = pathlib.Path(folder, 'inner.zip')
    _zeros(inner)
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
      archive.write(inner, 'inner.zip')


def _zeros(path: pathlib.Path) -> None:
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
    for number in range(4):
      archive.writestr(f'{number}.dcm', bytes(128) + b'DICM' + bytes(DEFAULT_LIMITS.max_member_bytes - 132))


def _gzip(path: pathlib.Path) -> None:
  with gzip.open(path, 'wb') as file:
    for _ in range(1024):
      file.write(bytes(8 * _MIB))


def _png_with_profile(path: pathlib.Path) -> None:
  """A small picture whose colour profile inflates to half a GiB."""
  _, encoded = cv2.imencode('.png', flat('uint8', 64))
  data = encoded.tobytes()
  content = b'iCCPx\0\0' + zlib.compress(bytes(512 * _MIB))
  chunk = (len(content) - 4).to_bytes(4, 'big') + content + zlib.crc32(content).to_bytes(4, 'big')
  path.write_bytes(data[:33] + chunk + data[33:])


def _picture(dtype: str, ending: str, channels: int = 1) -> Callable[[pathlib.Path], None]:
  def write(path: pathlib.Path) -> None:
    _, encoded = cv2.imencode(ending, flat(dtype, SIDE, channels))
    path.write_bytes(encoded.tobytes())

  return write


def _two(write: Callable[[pathlib.Path], None]) -> Callable[[pathlib.Path], None]:
  """Two of them side by side, for two threads."""

  def write_both(path: pathlib.Path) -> None:
    path.mkdir()
    write(path / 'one')
    write(path / 'two')

  return write_both


def _raw(dtype: str, side: int = SIDE, channels: int = 1) -> Callable[[pathlib.Path], None]:
  return lambda path: _write(dicom(flat(dtype, side, channels)), path)


def _encoded(dtype: str, syntax: str, channels: int = 1) -> Callable[[pathlib.Path], None]:
  return lambda path: _compressed(flat(dtype, SIDE, channels), syntax, path)


KINDS: Final[dict[str, Callable[[pathlib.Path], None]]] = {
  'uncompressed-16': _raw('<u2'),
  'uncompressed-32': _raw('<u4'),
  'uncompressed-rgb': _raw('u1', channels=3),
  'float': _raw('<f4'),
  'double': _raw('<f8', 8000),
  'palette': _palette,
  'rle-16': _encoded('<u2', uid.RLELossless),
  'jpeg-2000-16': _encoded('<u2', uid.JPEG2000Lossless),
  'jpeg-2000-rgb': _encoded('u1', uid.JPEG2000Lossless, 3),
  'jpeg-ls-16': _encoded('<u2', uid.JPEGLSLossless),
  'jpeg-grey': _picture('u1', '.jpg'),
  'jpeg-rgb': _picture('u1', '.jpg', 3),
  'png-16': _picture('u2', '.png'),
  'png-rgb-16': _picture('u2', '.png', 3),
  'png-profile': _png_with_profile,
  'two-png-rgb-16': _two(_picture('u2', '.png', 3)),
  'two-uncompressed-32': _two(_raw('<u4')),
  'deep-header': _deep,
  'many-elements': _many_elements,
  'deflated-data-set': _deflated,
  'zip-of-zeros': _zeros,
  'zip-in-zip': _nested,
  'gzip-of-zeros': _gzip,
}


def peak(path: pathlib.Path, warm: pathlib.Path) -> tuple[int, str]:
  """Peak bytes of reading a file after a harmless one, and what came of it."""
  command = [sys.executable, '-c', READ, str(warm), str(path)]
  found = measure(command)
  return found.peak_bytes, f'exit {found.exit_code}, {found.wall_s:.1f} s'


def main() -> None:
  """Prints each peak; exit 1 if one is over the limit."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('kinds', nargs='*', metavar='KIND', help=f'default: all of {", ".join(KINDS)}')
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as folder:
    warm = pathlib.Path(folder, 'warm')
    _compressed(flat('<u2', 64), uid.JPEG2000Lossless, warm)
    idle, _ = peak(warm, warm)
    print(f'idle: {idle / _MIB:.0f} MiB')
    failed = [kind for kind in args.kinds or KINDS if not _is_within(kind, pathlib.Path(folder), warm, idle)]
  sys.exit(f'over the limit: {", ".join(failed)}' if failed else 0)


def _is_within(kind: str, folder: pathlib.Path, warm: pathlib.Path, idle: int) -> bool:
  path = folder / kind
  KINDS[kind](path)
  found, outcome = peak(path, warm)
  above = found - idle
  print(f'{kind:20} {above / _MIB:6.0f} MiB above idle (at most {LIMIT_BYTES / _MIB:.0f}), {outcome}', flush=True)
  return above <= LIMIT_BYTES


if __name__ == '__main__':
  main()

"""The whole files that are broken for fuzzing: samples, transcodes of them, and generated ones of every kind.

  python -m benchmarks.fuzz_seeds --output DIR [--samples DIR] [--files 300]

Each sample is transcoded in a process of its own: gdcm ends the process over some that it cannot write.
"""

import argparse
import bz2
import gzip
import io
import itertools
import lzma
import pathlib
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gdcm
import numpy as np
import pydicom
import zstandard
from openjpeg.utils import encode_array
from PIL import Image
from pydicom import uid
from pydicom.encaps import encapsulate

from pipelines.synthetic_broken import disc_files
from pipelines.synthetic_dicom import TRANSFER_SYNTAXES, Encoding, encode_dicom, encode_video
from pipelines.synthetic_pictures import Picture, draw_chest
from pipelines.synthetic_plan import SyntheticOptions, make_header

Seed = tuple[str, bytes]

_LARGEST_BYTES = 2 << 20  # of a seed: the time is better spent on more mutations
_SIZE_PX = 48
_RAW = (uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.DeflatedExplicitVRLittleEndian)
_COMPRESSED = (uid.RLELossless, uid.JPEGLSLossless, uid.JPEGLSNearLossless, uid.JPEG2000Lossless, uid.JPEG2000)
_BY_GDCM = (
  *('ExplicitVRBigEndian', 'JPEGBaselineProcess1', 'JPEGExtendedProcess2_4'),
  *('JPEGLosslessProcess14', 'JPEGLosslessProcess14_1'),
)
_OPENJPEG_COLOUR, _OPENJPEG_GREY = 1, 2
_J2K_RATIO = 10


def transcode(path: pathlib.Path, output: pathlib.Path) -> None:
  """Writes a DICOM file in every transfer syntax that the encoders here can give it."""
  for syntax in (*_RAW, *_COMPRESSED):
    dataset = pydicom.dcmread(path, force=True)
    try:
      _to_raw(dataset)
      _encode(dataset, syntax)
      dataset.save_as(output / f'{path.stem}-{syntax.keyword}.dcm', enforce_file_format=True)
    except Exception as error:  # encoders refuse many combinations, each with an error of its own
      print(f'{path.name} to {syntax.keyword}: {error!r}', file=sys.stderr)
  for name in _BY_GDCM:
    _transcode_with_gdcm(output / f'{path.stem}-{uid.ExplicitVRLittleEndian.keyword}.dcm', name, output)


def _to_raw(dataset: pydicom.Dataset) -> None:
  if 'TransferSyntaxUID' not in dataset.file_meta:
    dataset.file_meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian
  if dataset.file_meta.TransferSyntaxUID.is_compressed:
    dataset.decompress()


def _encode(dataset: pydicom.Dataset, syntax: uid.UID) -> None:
  if syntax in _RAW:
    dataset.file_meta.TransferSyntaxUID = syntax
  elif syntax in (uid.JPEG2000Lossless, uid.JPEG2000):
    frames = dataset.pixel_array.reshape(int(dataset.get('NumberOfFrames') or 1), *_frame_shape(dataset))
    lossy = {'compression_ratios': [_J2K_RATIO]} if syntax == uid.JPEG2000 else {}
    space = _OPENJPEG_COLOUR if dataset.SamplesPerPixel == 3 else _OPENJPEG_GREY
    encoded = [
      encode_array(frame, bits_stored=dataset.BitsStored, photometric_interpretation=space, use_mct=False, **lossy)
      for frame in frames
    ]
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = encapsulate(encoded)
    dataset['PixelData'].VR, dataset['PixelData'].is_undefined_length = 'OB', True
  else:
    dataset.compress(syntax, jls_error=3 if syntax == uid.JPEGLSNearLossless else None)


def _frame_shape(dataset: pydicom.Dataset) -> tuple[int, ...]:
  shape = (dataset.Rows, dataset.Columns)
  return (*shape, 3) if dataset.SamplesPerPixel == 3 else shape


def _transcode_with_gdcm(source: pathlib.Path, name: str, output: pathlib.Path) -> None:
  reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
  reader.SetFileName(str(source))
  if not source.exists() or not reader.Read():
    return
  change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
  change.SetInput(reader.GetImage())
  if change.Change():
    writer.SetFile(reader.GetFile())
    writer.SetFileName(str(output / f'{source.stem.partition("-Explicit")[0]}-{name}.dcm'))
    writer.SetImage(change.GetOutput())
    writer.Write()


def transcode_all(samples: pathlib.Path, output: pathlib.Path) -> Iterator[Seed]:
  """Every sample in every transfer syntax, in the order of the names."""
  output.mkdir(parents=True, exist_ok=True)

  def run(path: pathlib.Path) -> None:
    command = [sys.executable, '-m', 'benchmarks.fuzz_seeds', '--transcode', str(path), '--output', str(output)]
    subprocess.run(command, stderr=subprocess.DEVNULL, check=False)  # some end by a signal: what is there, is there

  with ThreadPoolExecutor(2) as threads:
    list(threads.map(run, sorted(samples.glob('*.dcm'))))
  yield from ((path.name, path.read_bytes()) for path in sorted(output.glob('*.dcm')))


def generated(seed: int = 1) -> Iterator[Seed]:
  """Small files of every kind that is read, drawn and packed here."""
  rng = np.random.default_rng(seed)
  picture = draw_chest(rng, True, _SIZE_PX, _SIZE_PX)
  dicoms = list(_dicoms(picture))
  rasters = list(_rasters(picture))
  yield from dicoms
  yield from rasters
  yield from _archives([*dicoms[::7], *rasters[::5], ('empty', b''), ('notes.txt', b'plain text\n')])


def _dicoms(picture: Picture) -> Iterator[Seed]:
  options = SyntheticOptions()
  for number, syntax in enumerate(TRANSFER_SYNTAXES):
    bits = (8,) if syntax == uid.JPEGBaseline8Bit else (8, 12, 16)
    for (place, bit), frames in itertools.product(enumerate(bits), (1, 3)):
      grey = ('window', 'rescale', 'plain')[(number + place) % 3]
      photometric = 'MONOCHROME1' if (number + frames) % 2 else 'MONOCHROME2'
      encoding = Encoding(syntax, bit, photometric, grey)  # type: ignore[arg-type]
      data = encode_dicom([picture] * frames, make_header(1, number, number, 0), encoding)
      yield f'{syntax.keyword}-{bit}-{frames}.dcm', data
      if syntax == uid.ImplicitVRLittleEndian:
        yield f'bare-{bit}-{frames}.dcm', data[data.index(b'\x08\x00\x05\x00') :]  # neither preamble nor meta
  yield 'video.dcm', encode_video(make_header(1, 99, 1, 0))
  yield from ((f'disc-{place}', data) for place, (_, data) in enumerate(disc_files(options)))


def _rasters(picture: Picture) -> Iterator[Seed]:
  grey = Image.fromarray(np.rint(picture * 255).astype(np.uint8))
  wide = Image.fromarray(np.rint(picture * 65535).astype(np.uint16))
  colour = Image.merge('RGB', (grey, grey.rotate(90), grey.rotate(180)))
  jpegs: dict[str, tuple[Image.Image, dict[str, Any]]] = {
    'grey': (grey, {}),
    'progressive': (grey, {'progressive': True}),
    'colour': (colour, {'subsampling': 2}),
    'full': (colour, {'subsampling': 0, 'progressive': True}),
    'cmyk': (colour.convert('CMYK'), {}),
    'restarts': (grey, {'restart_marker_blocks': 2}),
    'annotated': (
      grey,
      {'comment': b'a comment', 'exif': b'Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0', 'icc_profile': b'x' * 300},
    ),
  }
  for name, (image, options) in jpegs.items():
    yield f'{name}.jpeg', _saved(image, 'JPEG', **options)
  pngs = {
    'grey': grey,
    'wide': wide,
    'colour': colour,
    'palette': colour.convert('P'),
    'alpha': colour.convert('RGBA'),
    'grey-alpha': grey.convert('LA'),
    'one-bit': grey.convert('1'),
  }
  for name, image in pngs.items():
    yield f'{name}.png', _saved(image, 'PNG')
  for kind in ('GIF', 'BMP', 'TIFF', 'WEBP'):
    yield f'other.{kind.lower()}', _saved(colour, kind)


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
  buffer = io.BytesIO()
  image.save(buffer, kind, **options)
  return buffer.getvalue()


def _archives(members: Sequence[Seed]) -> Iterator[Seed]:
  methods = {
    'stored': zipfile.ZIP_STORED,
    'deflate': zipfile.ZIP_DEFLATED,
    'bzip2': zipfile.ZIP_BZIP2,
    'lzma': zipfile.ZIP_LZMA,
  }
  zips = {name: _zip(members, method) for name, method in methods.items()}
  formats = {'ustar': tarfile.USTAR_FORMAT, 'gnu': tarfile.GNU_FORMAT, 'pax': tarfile.PAX_FORMAT}
  tars = {name: _tar(members, form) for name, form in formats.items()}
  yield from ((f'{name}.zip', data) for name, data in zips.items())
  yield 'descriptors.zip', _streamed_zip(members)
  yield 'empty.zip', _zip([], zipfile.ZIP_STORED)
  yield from ((f'{name}.tar', data) for name, data in tars.items())
  gnu = tars['gnu']
  yield 'stream.tar.gz', gzip.compress(gnu, mtime=0)
  yield 'stream.tar.bz2', bz2.compress(gnu)
  yield 'stream.tar.xz', lzma.compress(gnu)
  yield 'stream.tar.zst', zstandard.compress(gnu)
  yield 'one.dcm.gz', gzip.compress(members[0][1], mtime=0)
  nested = [('inner.zip', zips['deflate']), ('inner.tar.gz', gzip.compress(tars['pax'], mtime=0)), members[1]]
  yield 'nested.zip', _zip(nested, zipfile.ZIP_DEFLATED)
  yield 'nested.tar', _tar(nested, tarfile.PAX_FORMAT)
  yield 'nested.tar.gz', gzip.compress(_tar(nested, tarfile.GNU_FORMAT), mtime=0)


def _zip(members: Sequence[Seed], method: int) -> bytes:
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w') as archive:
    for name, data in members:
      archive.writestr(zipfile.ZipInfo(name), data, method)
    archive.comment = b'a comment'
  return buffer.getvalue()


class _Unseekable(io.BytesIO):
  """Makes zipfile write sizes behind the members, as programs that write to a pipe do."""

  def seekable(self) -> bool:
    """No."""
    return False

  def seek(self, *_: object) -> int:
    """Refuses."""
    raise OSError


def _streamed_zip(members: Sequence[Seed]) -> bytes:
  buffer = _Unseekable()
  with zipfile.ZipFile(buffer, 'w') as archive:
    for name, data in members:
      with archive.open(zipfile.ZipInfo(name), 'w', force_zip64=True) as member:
        member.write(data)
  return buffer.getvalue()


def _tar(members: Sequence[Seed], form: int) -> bytes:
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode='w', format=form) as archive:
    for name, data in members:
      info = tarfile.TarInfo(name if form == tarfile.USTAR_FORMAT else f'{"long-" * 25}{name}')
      info.size = len(data)
      archive.addfile(info, io.BytesIO(data))
    link = tarfile.TarInfo('link')
    link.type, link.linkname = tarfile.SYMTYPE, 'elsewhere'
    archive.addfile(link)
  return buffer.getvalue()


def write_seeds(output: pathlib.Path, samples: pathlib.Path | None, files: int) -> list[pathlib.Path]:
  """Writes up to `files` seeds: generated ones, the samples, then transcodes evenly over the samples."""
  output.mkdir(parents=True, exist_ok=True)
  seeds = list(generated())
  if samples:
    seeds += [(path.name, path.read_bytes()) for path in sorted(samples.glob('*.dcm'))]
    more = [seed for seed in transcode_all(samples, output / 'transcodes') if len(seed[1]) <= _LARGEST_BYTES]
    wanted = max(0, files - len(seeds))
    seeds += [more[place] for place in sorted({round(n * (len(more) - 1) / max(1, wanted - 1)) for n in range(wanted)})]
  paths = [output / f'{number:04d}-{name}' for number, (name, _) in enumerate(seeds[:files])]
  for path, (_, data) in zip(paths, seeds, strict=False):
    path.write_bytes(data)
  return paths


def main(argv: Sequence[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument('--output', type=pathlib.Path, required=True)
  parser.add_argument('--samples', type=pathlib.Path, help='folder of DICOM files')
  parser.add_argument('--files', type=int, default=300)
  parser.add_argument('--transcode', type=pathlib.Path, help=argparse.SUPPRESS)
  options = parser.parse_args(argv)
  if options.transcode:
    transcode(options.transcode, options.output)
    return
  print(f'{len(write_seeds(options.output, options.samples, options.files))} files in {options.output}')


if __name__ == '__main__':
  main()

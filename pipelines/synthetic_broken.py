"""One of each kind that real exports break in, with the code that it must get."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pipelines.synthetic_archives import damage_member, mark_encrypted, zip_bytes
from pipelines.synthetic_dicom import Encoding, encode_dicom, encode_dicomdir, encode_report, encode_video
from pipelines.synthetic_pictures import Picture
from pipelines.synthetic_plan import (
  PlannedImage,
  Planted,
  PlantedSource,
  SyntheticOptions,
  draw,
  encode_raster,
  make_header,
  make_uid,
  patient_id,
)
from transforms.errors import CODES

_GIF = bytes.fromhex('474946383961 01000100800000 000000ffffff 2c000000000100010000 02024401003b')  # one pixel
_LETTER = b'Dear colleague,\r\nthank you for referring Mr ZZPLANTED. This is a text, whatever its name says.\r\n'
_NUMBERS_FROM = 1_000_000  # beyond those of planned images


def refuse(member: str, reason: str) -> PlantedSource:
  """A source that must get `reason`, with the status that the code has."""
  return PlantedSource(member, status=CODES[reason].status, reason=reason)


def disc_files(options: SyntheticOptions) -> Iterator[Planted]:
  """What lies beside the images on a disc for patients: none of it is an image."""
  report = make_header(options.seed, _NUMBERS_FROM, 0, 0)
  yield refuse('DICOMDIR', 'auxiliary-file'), encode_dicomdir(make_uid(options.seed, 'directory', 0))
  yield refuse('AUTORUN.EXE', 'auxiliary-file'), b'MZ\x90\x00' + bytes(508)
  yield refuse('README.TXT', 'auxiliary-file'), b'Double-click AUTORUN.EXE to see the images of ZZPLANTED.\r\n'
  yield refuse('REPORTS/SR000', 'no-pixel-data'), encode_report(report)


def broken_files(options: SyntheticOptions, folder: str) -> Iterator[Planted]:
  """Loose files of `folder`: broken ones, and a few that only look so."""
  jpeg, dicom = encode_raster(_chest(options, 1), 'jpeg'), _whole_dicom(options)
  video = encode_video(make_header(options.seed, _NUMBERS_FROM + 2, 2, 0))
  yield refuse(f'{folder}cut-off.dcm', 'decode-failed'), dicom[: len(dicom) * 2 // 3]
  yield refuse(f'{folder}half.jpeg', 'decode-failed'), jpeg[: len(jpeg) // 2]
  yield refuse(f'{folder}empty.dcm', 'empty-file'), b''
  yield refuse(f'{folder}letter.dcm', 'auxiliary-file'), _LETTER
  yield refuse(f'{folder}noise.dcm', 'not-an-image'), b'\x01\x02\x03' + np.random.default_rng(options.seed).bytes(4096)
  yield refuse(f'{folder}blank.png', 'blank'), encode_raster(np.full((64, 48), 0.5), 'png')
  yield refuse(f'{folder}video.dcm', 'unsupported-transfer-syntax'), video
  yield refuse(f'{folder}picture.gif', 'unsupported-image'), _GIF
  yield PlantedSource(f'{folder}unlabelled.png'), encode_raster(_chest(options, 2), 'png')
  yield _fine(f'{folder}jpeg-in-disguise.dcm'), jpeg


def truncated_zip(options: SyntheticOptions, archive: str) -> tuple[list[PlantedSource], bytes]:
  """A zip that was cut off while it was copied: its directory, at the end, is missing, and half of its last member."""
  sources = [_fine('before-the-cut.png'), refuse('ZZPLANTED/IM000', 'read-failed'), refuse('', 'archive-corrupt')]
  before, cut = encode_raster(_chest(options, 4), 'png'), _whole_dicom(options)
  whole = zip_bytes([('before-the-cut.png', before), ('ZZPLANTED/IM000', cut)])
  return [replace(source, archive=archive) for source in sources], whole[: len(whole) - len(cut) // 2]


def damaged_zip(options: SyntheticOptions) -> tuple[list[PlantedSource], bytes]:
  """A zip of three members: a damaged one, an encrypted one, and one that their neighbours must not harm."""
  png = encode_raster(_chest(options, 3), 'png')
  sources = [refuse('damaged.png', 'read-failed'), refuse('secret.png', 'archive-encrypted'), _fine('neighbour.png')]
  archive = zip_bytes([(source.member, png) for source in sources])
  return sources, mark_encrypted(damage_member(archive, 'damaged.png'), 'secret.png')


def _fine(member: str) -> PlantedSource:
  return PlantedSource(member, label='NORMAL', patient=patient_id(_NUMBERS_FROM))


def _chest(options: SyntheticOptions, number: int) -> Picture:
  return draw(options, PlannedImage(_NUMBERS_FROM + number, 0, 0, 'NORMAL', 'loose'))[0]


def _whole_dicom(options: SyntheticOptions) -> bytes:
  header = make_header(options.seed, _NUMBERS_FROM + 1, 3, 0)
  return encode_dicom([_chest(options, 1)], header, Encoding())

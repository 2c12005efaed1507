import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image
from pydicom.filewriter import dcmwrite

from tests.transforms import pictures
from transforms.sniff import HEAD_BYTES, Kind, may_carry_zip, sniff


def _tar(format_: int) -> bytes:
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode='w', format=format_) as archive:
    archive.addfile(tarfile.TarInfo('a'), io.BytesIO(b''))
  return buffer.getvalue()


def _tar_of_1979() -> bytes:
  """A header without magic: its checksum is all there is."""
  header = bytearray(_tar(tarfile.USTAR_FORMAT)[:512])
  header[257:] = bytes(255)
  header[148:156] = b' ' * 8
  header[148:156] = b'%06o\0 ' % sum(header)
  return bytes(header)


def _zip(members: int) -> bytes:
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w') as archive:
    for number in range(members):
      archive.writestr(str(number), b'x')
  return buffer.getvalue()


def _picture(kind: str) -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(np.zeros((4, 4), np.uint8)).save(buffer, kind)
  return buffer.getvalue()


def _bare_dicom(*, implicit: bool, little_endian: bool) -> bytes:
  dataset = pictures.dicom_dataset(np.zeros((4, 4), np.uint8))
  del dataset.file_meta
  buffer = io.BytesIO()
  dcmwrite(buffer, dataset, implicit_vr=implicit, little_endian=little_endian)
  return buffer.getvalue()


@pytest.mark.parametrize(
  ('data', 'kind'),
  [
    (b'', Kind.EMPTY),
    (pictures.dicom_file(pictures.dicom_dataset(np.zeros((4, 4), np.uint8))), Kind.DICOM),
    (b'II*\0' + bytes(124) + b'DICM', Kind.DICOM),  # both TIFF and DICOM: PS3.10 allows it
    (_bare_dicom(implicit=True, little_endian=True), Kind.DICOM),
    (_bare_dicom(implicit=False, little_endian=True), Kind.DICOM),
    (_bare_dicom(implicit=False, little_endian=False), Kind.DICOM),
    (b'\x02\x00\x00\x00UL\x04\x00\x10\x00\x00\x00' * 2, Kind.DICOM),
    (_picture('JPEG'), Kind.JPEG),
    (_picture('PNG'), Kind.PNG),
    (_picture('TIFF'), Kind.TIFF),
    (_picture('GIF'), Kind.GIF),
    (_picture('BMP'), Kind.BMP),
    (_picture('WEBP'), Kind.WEBP),
    (_picture('ICO'), Kind.AUXILIARY),
    (_zip(1), Kind.ZIP),
    (_zip(0), Kind.ZIP),
    (_tar(tarfile.USTAR_FORMAT), Kind.TAR),
    (_tar(tarfile.GNU_FORMAT), Kind.TAR),
    (_tar(tarfile.PAX_FORMAT), Kind.TAR),
    (_tar_of_1979(), Kind.TAR),
    (gzip.compress(b'x'), Kind.GZIP),
    (bz2.compress(b'x'), Kind.BZIP2),
    (lzma.compress(b'x'), Kind.XZ),
    (b'\x28\xb5\x2f\xfd\x00', Kind.ZSTD),
    (b'\x50\x2a\x4d\x18\x04\x00\x00\x00', Kind.ZSTD),
    (b'\x5f\x2a\x4d\x18\x04\x00\x00\x00', Kind.ZSTD),
    (b'PK\x07\x08PK\x03\x04', Kind.ZIP),
    (b'PK00PK\x03\x04', Kind.ZIP),
    (b'7z\xbc\xaf\x27\x1c\x00\x04', Kind.SEVENZIP),
    (b'Rar!\x1a\x07\x01\x00', Kind.RAR),
    (b'\x04\x22\x4d\x18\x64', Kind.LZ4),
    (b'\x1f\x9d\x90', Kind.COMPRESS),
    (b'bplist00\xd1', Kind.AUXILIARY),
    (b'wOF2\x00\x01', Kind.AUXILIARY),
    (b'MZ\x90\x00\x03', Kind.AUXILIARY),
    (b'\x7fELF\x02', Kind.AUXILIARY),
    (b'\xcf\xfa\xed\xfe\x07', Kind.AUXILIARY),
    (b'%PDF-1.7\n%\xe2\xe3', Kind.AUXILIARY),
    (b'\x00\x00\x00\x01Bud1\x00', Kind.AUXILIARY),
    (b'\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00', Kind.AUXILIARY),
    (b'<!DOCTYPE html><p>viewer</p>', Kind.AUXILIARY),
    (b'{"a": 1}', Kind.AUXILIARY),
    (b'[autorun]\r\nopen=viewer.exe\r\n', Kind.AUXILIARY),
    ('Größe und Übermaß, 画像'.encode(), Kind.AUXILIARY),
    ('画像' * HEAD_BYTES, Kind.AUXILIARY),
    ('Name: Müller\n'.encode('latin-1'), Kind.AUXILIARY),
    ('utf-16'.encode('utf-16'), Kind.AUXILIARY),
    (b'BM is how this text begins', Kind.AUXILIARY),
    (bytes(HEAD_BYTES), Kind.UNKNOWN),
    (bytes(range(256)) * 4, Kind.UNKNOWN),
    (b'\xff\xd8', Kind.UNKNOWN),
  ],
)
def test_content_tells_the_kind(data: bytes | str, kind: Kind) -> None:
  head = data.encode() if isinstance(data, str) else data
  assert sniff(head[:HEAD_BYTES]) is kind


@pytest.mark.parametrize(
  ('head', 'expected'),
  [
    (b'MZ\x90\x00', True),
    (b'\x7fELF', True),
    (b'#!/bin/sh\n', True),
    (b'\x01\x02', True),
    (b'{}', False),
    (b'', False),
  ],
)
def test_programs_and_what_nobody_knows_may_carry_a_zip(head: bytes, expected: bool) -> None:
  assert may_carry_zip(sniff(head), head) == expected


def test_text_may_be_cut_within_a_character() -> None:
  text = ('ü' * HEAD_BYTES).encode()
  assert {sniff(text[:length]) for length in (99, 100, 101, HEAD_BYTES - 1)} == {Kind.AUXILIARY}


def test_random_bytes_are_seldom_anything() -> None:
  rng = np.random.default_rng(7)
  kinds = [sniff(rng.bytes(HEAD_BYTES)) for _ in range(500)]
  assert kinds.count(Kind.UNKNOWN) >= 498

"""Zip and tar archives, built in memory; each helper takes (name, content) pairs, so that names can repeat."""

import io
import tarfile
import warnings
import zipfile
from collections.abc import Iterable

import zstandard

Members = Iterable[tuple[str, bytes]]


def zip_bytes(members: Members, method: int = zipfile.ZIP_STORED, comment: bytes = b'') -> bytes:
  buffer = io.BytesIO()
  with warnings.catch_warnings(), zipfile.ZipFile(buffer, 'w', method) as archive:
    warnings.simplefilter('ignore', UserWarning)  # names repeat on purpose
    for name, content in members:
      archive.writestr(name, content)
    archive.comment = comment
  return buffer.getvalue()


def tar_bytes(members: Members, mode: str = 'w', tar_format: int = tarfile.GNU_FORMAT) -> bytes:
  """A tar; with mode `w:gz`, `w:bz2`, `w:xz` or `w:zst` a compressed one."""
  if mode == 'w:zst':
    return zstandard.ZstdCompressor().compress(tar_bytes(members, tar_format=tar_format))
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode=mode, format=tar_format) as archive:  # type: ignore[call-overload]
    for name, content in members:
      info = tarfile.TarInfo(name)
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  return buffer.getvalue()


def tar_of(*infos: tarfile.TarInfo) -> bytes:
  """A tar of headers alone: links, devices, folders."""
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode='w') as archive:
    for info in infos:
      archive.addfile(info)
  return buffer.getvalue()


def tar_info(name: str, kind: bytes) -> tarfile.TarInfo:
  info = tarfile.TarInfo(name)
  info.type = kind
  info.linkname = 'elsewhere'
  return info


def damage(data: bytes, at: int) -> bytes:
  """The same bytes but one."""
  return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def patch(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
  """Overwrites bytes behind every occurrence of a signature."""
  patched = bytearray(data)
  at = patched.find(signature)
  while at >= 0:
    patched[at + offset : at + offset + len(value)] = value
    at = patched.find(signature, at + 1)
  return bytes(patched)

"""What libraries raise on hostile bytes, and its way into an `InputError`."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pydicom.errors import BytesLengthException, InvalidDicomError

from transforms.errors import InputError

# What pydicom, the codecs below it and numpy raise on hostile bytes: they
# promise no class of their own. Caught around their calls only; around our own
# code these are bugs and must end the run.
THIRD_PARTY_ERRORS: Final = (
  ArithmeticError,
  AssertionError,
  AttributeError,
  BufferError,
  BytesLengthException,
  EOFError,
  InvalidDicomError,
  LookupError,
  MemoryError,
  OSError,
  RuntimeError,  # RecursionError: sequences nested a thousand deep
  SystemError,
  TypeError,
  ValueError,
  struct.error,
  zlib.error,
)


@contextmanager
def third_party(code: str, detail: str) -> Iterator[None]:
  """Turns what a library raises on hostile bytes into an `InputError`, without the library's own words."""
  try:
    yield
  except THIRD_PARTY_ERRORS as error:
    raise InputError(code, f'{detail} ({type(error).__name__})') from None

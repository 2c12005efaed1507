import pytest

from benchmarks import dcmtk
from tests.end_to_end.conftest import chain

__all__ = ['chain']  # the same small export for engines as for this process


def pytest_collection_finish(session: pytest.Session) -> None:
  """Says at once what is missing: a skip would hide it."""
  if session.items and dcmtk.missing():
    raise pytest.UsageError(f'not installed: {", ".join(dcmtk.missing())}; run `make integration`')

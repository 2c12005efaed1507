import pytest

from benchmarks import dcmtk


def pytest_collection_finish(session: pytest.Session) -> None:
  """Says at once what is missing: a skip would hide it."""
  if session.items and dcmtk.missing():
    raise pytest.UsageError(f'not installed: {", ".join(dcmtk.missing())}; run `make integration`')

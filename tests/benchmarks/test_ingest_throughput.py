import pathlib
import zipfile

import pytest

from benchmarks import ingest_throughput
from benchmarks.ingest_throughput import HANDFUL, compare


def takes(folder: str) -> tuple[float, float]:
  """What a machine might take: ingest half as long as the bare loop for an image, and half a minute to start."""
  images = sum(len(zipfile.ZipFile(path).namelist()) for path in pathlib.Path(folder).glob('*.zip'))
  return 1 + 0.2 * images, 30 + 0.1 * images


def write_zips(folder: pathlib.Path, *counts: int) -> str:
  for number, count in enumerate(counts):
    with zipfile.ZipFile(folder / f'{number}.zip', 'w') as archive:
      for image in range(count):
        archive.writestr(f'{image}.jpeg', b'')
  return str(folder)


def test_the_start_up_is_left_out_where_that_is_wished(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(ingest_throughput, 'measure_both', takes)
  jpegs = write_zips(tmp_path, 60, 40)
  assert compare(jpegs, runs=3) == pytest.approx((30 + 10) / (1 + 20))
  assert compare(jpegs, runs=3, beyond_startup=True) == pytest.approx(0.5)


def test_a_handful_alone_says_nothing(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr(ingest_throughput, 'measure_both', takes)
  with pytest.raises(SystemExit, match='give more images'):
    compare(write_zips(tmp_path, HANDFUL), runs=1, beyond_startup=True)

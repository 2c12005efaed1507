import pathlib

import pytest

from pipelines.exits import UsageError
from pipelines.worker_memory import (
  FLOATS_PER_PIXEL,
  GIB,
  PROCESS_BYTES,
  WEIGHTS_FACTOR,
  Model,
  Worker,
  check_model_fits,
  machine,
  model_bytes,
  needed_bytes,
  open_bytes,
)

MODEL = Model(files_bytes=100 << 20, pixels=224 * 224, channels=3, batch_size=64)
SMALL = Worker(int(3.75 * GIB))


def test_a_copy_needs_its_weights_and_a_batch() -> None:
  assert model_bytes(MODEL) == 2 * 104_857_600 + 64 * 50_176 * 50 * 4


def test_each_thread_has_a_shard_open() -> None:
  one = open_bytes(MODEL, Worker(0, cores=4, threads=1))
  assert one == (2 * 4 + 64) * 50_176 * 3
  assert open_bytes(MODEL, Worker(0, cores=4, threads=12)) == 12 * one


def test_each_process_has_a_model() -> None:
  one = needed_bytes(MODEL, SMALL)
  assert one == PROCESS_BYTES + model_bytes(MODEL) + open_bytes(MODEL, SMALL)
  assert needed_bytes(MODEL, Worker(0, processes=4)) == 4 * one


def test_what_fits_passes() -> None:
  check_model_fits(MODEL, SMALL, 'a worker')


@pytest.mark.parametrize(
  ('model', 'worker'),
  [
    (Model(2 * GIB, 224 * 224, 3, 64), SMALL),
    (Model(100 << 20, 2048 * 2048, 3, 64), SMALL),
    (MODEL, Worker(GIB)),
    (MODEL, Worker(15 * GIB, cores=16, processes=16)),
  ],
)
def test_what_cannot_fit_is_one_line_with_the_arithmetic(model: Model, worker: Worker) -> None:
  with pytest.raises(UsageError, match=r'the model does not fit: a worker has [\d.]+ GiB, but \d+ process') as raised:
    check_model_fits(model, worker, 'a worker')
  assert '\n' not in str(raised.value)


def test_one_byte_is_the_difference() -> None:
  needed = needed_bytes(MODEL, Worker(0))
  check_model_fits(MODEL, Worker(needed), 'a worker')
  with pytest.raises(UsageError):
    check_model_fits(MODEL, Worker(needed - 1), 'a worker')


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    ('n1-standard-1', (1, int(3.75 * GIB))),
    ('n2-highmem-8', (8, 64 * GIB)),
    ('e2-standard-4', (4, 16 * GIB)),
    ('custom-4-8192', None),
    ('n1-standard-many', None),
    ('', None),
  ],
)
def test_machines_are_read_from_their_names(name: str, expected: tuple[int, int] | None) -> None:
  assert machine(name) == expected


def test_the_figures_of_the_documentation_are_those_of_the_code() -> None:
  text = (pathlib.Path(__file__).parents[2] / 'docs/engines.md').read_text(encoding='utf-8')
  assert f'{PROCESS_BYTES >> 20} MiB' in text
  assert f'{WEIGHTS_FACTOR} × files' in text
  assert f'{FLOATS_PER_PIXEL} × 4 bytes' in text

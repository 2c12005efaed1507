import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import pytest

from transforms.concurrency import decode_threads, run_in_order, usable_cores

PATIENCE_S = 30  # only a broken implementation ever waits so long


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
  with ThreadPoolExecutor(2) as threads:
    yield threads


def test_results_come_in_the_order_of_the_tasks_even_if_the_first_is_the_last_to_end(pool: ThreadPoolExecutor) -> None:
  second_is_done = threading.Event()

  def first() -> str:
    assert second_is_done.wait(PATIENCE_S)
    return 'first'

  def second() -> str:
    second_is_done.set()
    return 'second'

  assert list(run_in_order([first, second, lambda: 'third'], pool, ahead=3)) == ['first', 'second', 'third']


@pytest.mark.parametrize('ahead', [1, 2, 5])
def test_no_more_tasks_are_started_ahead_than_allowed(pool: ThreadPoolExecutor, ahead: int) -> None:
  taken_from_source = 0

  def tasks() -> Iterator[Callable[[], int]]:
    nonlocal taken_from_source
    for number in range(20):
      taken_from_source += 1
      yield lambda number=number: number  # type: ignore[misc]

  for taken, result in enumerate(run_in_order(tasks(), pool, ahead)):
    assert result == taken
    assert taken_from_source - taken <= ahead
  assert taken_from_source == 20


def test_tasks_run_at_the_same_time(pool: ThreadPoolExecutor) -> None:
  both_run = threading.Barrier(2)
  assert len(list(run_in_order([lambda: both_run.wait(PATIENCE_S)] * 2, pool, ahead=2))) == 2


@pytest.mark.parametrize('ahead', [1, 2, 5])
def test_what_a_task_leaves_is_run_before_the_next_result_is_taken(pool: ThreadPoolExecutor, ahead: int) -> None:
  def task(name: str, left: int) -> Callable[[], tuple[str, int]]:
    return lambda: (name, left)

  tasks = [task('a', 2), task('b', 0), task('c', 1)]
  results = run_in_order(tasks, pool, ahead, lambda result: task(result[0], result[1] - 1) if result[1] else None)
  assert list(results) == [('a', 2), ('a', 1), ('a', 0), ('b', 0), ('c', 1), ('c', 0)]


def test_nothing_to_do_gives_nothing(pool: ThreadPoolExecutor) -> None:
  assert list(run_in_order([], pool, ahead=3)) == []


def test_the_first_exception_comes_through_and_what_has_not_started_never_does() -> None:
  hold, started = threading.Event(), list[int]()

  def fail() -> int:
    raise LookupError('a bug')

  def block() -> int:
    hold.wait(PATIENCE_S)
    return 0

  def count() -> int:
    started.append(1)
    return 1

  with ThreadPoolExecutor(1) as one_thread:
    with pytest.raises(LookupError, match='a bug'):
      list(run_in_order([fail, block, count, count], one_thread, ahead=4))
    hold.set()
  assert started == []


def test_leaving_early_cancels_what_has_not_started() -> None:
  hold, started = threading.Event(), list[int]()
  with ThreadPoolExecutor(1) as one_thread:
    tasks: list[Callable[[], object]] = [lambda: 0, lambda: hold.wait(PATIENCE_S), lambda: started.append(1)]
    results = run_in_order(tasks, one_thread, ahead=3)
    next(results)
    results.close()  # type: ignore[attr-defined]
    hold.set()
  assert started == []


def test_there_is_one_pool_with_a_thread_for_each_core_and_none_inside_opencv() -> None:
  pool = decode_threads()
  assert pool is decode_threads()
  assert pool._max_workers == usable_cores() >= 1
  assert cv2.getNumThreads() == 1

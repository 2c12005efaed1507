import threading

from transforms.byte_budget import IN_FLIGHT_BYTES, ByteBudget, Lease, bytes_in_flight


def started(budget: ByteBudget, size: int, leases: list[Lease]) -> threading.Thread:
  thread = threading.Thread(target=lambda: leases.append(budget.acquire(size)))
  thread.start()
  return thread


def is_waiting(thread: threading.Thread) -> bool:
  thread.join(0.05)
  return thread.is_alive()


def test_so_much_is_given_out_and_no_more() -> None:
  budget, leases = ByteBudget(10), list[Lease]()
  first = budget.acquire(4)
  budget.acquire(6).release()
  leases.append(budget.acquire(6))
  thread = started(budget, 1, leases)
  assert is_waiting(thread)
  first.release()
  thread.join()
  assert len(leases) == 2


def test_what_is_larger_than_all_gets_all_and_is_alone() -> None:
  budget, leases = ByteBudget(10), list[Lease]()
  small = budget.acquire(1)
  thread = started(budget, 1000, leases)
  assert is_waiting(thread)
  small.release()
  thread.join()
  other = started(budget, 1, leases)
  assert is_waiting(other)
  leases.pop(0).release()
  other.join()


def test_who_asks_first_is_served_first() -> None:
  budget, leases = ByteBudget(10), list[Lease]()
  held = budget.acquire(5)
  large = started(budget, 10, leases)
  assert is_waiting(large)
  small = started(budget, 1, leases)
  assert is_waiting(small)  # there is room, but the large one would never get it
  held.release()
  large.join()
  leases.pop(0).release()
  small.join()


def test_a_lease_gives_back_what_it_has_once() -> None:
  budget = ByteBudget(10)
  lease = budget.acquire(10)
  lease.shrink(4)
  lease.shrink(9)
  held = budget.acquire(6)
  lease.release()
  lease.release()
  held.release()
  budget.acquire(10).release()


def test_a_lease_that_nobody_holds_any_more_gives_back() -> None:
  budget = ByteBudget(10)
  budget.acquire(10)
  budget.acquire(10)


def test_there_is_one_budget_a_process() -> None:
  assert bytes_in_flight() is bytes_in_flight()
  bytes_in_flight().acquire(IN_FLIGHT_BYTES).release()

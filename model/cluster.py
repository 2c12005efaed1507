"""The processes that train one network together: who they are, and which of them this is.

No TensorFlow here: flags are checked, and dry runs end, without loading it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

TF_CONFIG: Final = 'TF_CONFIG'  # in the environment, as Kubeflow and others set it

_HIGHEST_PORT: Final = 65535
_ADDRESS: Final = re.compile(r'(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})')
_EXAMPLE: Final = '{"cluster": {"worker": ["host:port", "host:port"]}, "task": {"type": "worker", "index": 0}}'


class ClusterError(ValueError):
  """Workers that cannot train together: what was found, what was expected, what to do."""


@dataclass(frozen=True, slots=True)
class Cluster:
  """Processes of one training, in an order that is the same for all of them.

  Attributes:
    workers: where each listens, `host:port`. The first is the chief: it alone writes.
    index: of this process, from 0.

  Raises:
    ClusterError: on making one, if these are no such workers.
  """

  workers: tuple[str, ...]
  index: int

  def __post_init__(self) -> None:
    _check_workers(self.workers)
    if not 0 <= self.index < len(self.workers):
      raise ClusterError(
        f'worker_index is {self.index}, and there are {len(self.workers)} workers; expected 0 for the chief, up to '
        f'{len(self.workers) - 1}: give each worker its own'
      )

  @property
  def is_chief(self) -> bool:
    """Whether it is this process that writes."""
    return self.index == 0

  @property
  def port(self) -> int:
    """Where this process listens."""
    return int(self.workers[self.index].rpartition(':')[2])


def parse_workers(text: str) -> tuple[str, ...]:
  """Reads `host:port,host:port`.

  Raises:
    ClusterError: if they are not that.
  """
  workers = tuple(part.strip() for part in text.split(','))
  _check_workers(workers)
  return workers


def find_cluster(workers: str | None, index: int | None, environment: Mapping[str, str]) -> Cluster:
  """The cluster that the flags name, or else the environment.

  Args:
    workers: `host:port,host:port`, or None.
    index: of this process, or None.
    environment: may hold TF_CONFIG; flags win.

  Raises:
    ClusterError: if neither is there, or one is malformed.
  """
  if workers is not None and index is not None:
    return Cluster(parse_workers(workers), index)
  if TF_CONFIG not in environment:
    raise ClusterError(
      f'strategy is multi_worker, and nothing says who the workers are; expected --workers host:port,host:port with '
      f'--worker_index, or {TF_CONFIG} in the environment'
    )
  return parse_tf_config(environment[TF_CONFIG])


def parse_tf_config(text: str) -> Cluster:
  """Reads what TensorFlow's own clusters are described by; a chief comes before the workers.

  Raises:
    ClusterError: if it is malformed, or names other tasks than a chief and workers.
  """
  try:
    values = json.loads(text)
  except ValueError:
    raise ClusterError(f'{TF_CONFIG} is no JSON; expected {_EXAMPLE}') from None
  jobs, kind, index = _jobs(values), *_task(values)
  if kind not in jobs or not 0 <= index < len(jobs[kind]):
    raise ClusterError(
      f'{TF_CONFIG} says that this is {kind} {index}, and its cluster has '
      f'{", ".join(f"{len(jobs[job])} of {job}" for job in sorted(jobs))}; expected one of these, counted from 0'
    )
  chiefs = jobs.get('chief', ())
  return Cluster((*chiefs, *jobs.get('worker', ())), index + (len(chiefs) if kind == 'worker' else 0))


def _jobs(values: Any) -> dict[str, tuple[str, ...]]:
  cluster = values.get('cluster') if isinstance(values, dict) else None
  listed = isinstance(cluster, dict) and all(isinstance(addresses, list) for addresses in cluster.values())
  if not listed or not cluster:
    raise ClusterError(f'{TF_CONFIG} has no cluster with lists of addresses; expected {_EXAMPLE}')
  others = sorted(set(cluster) - {'chief', 'worker'})
  if others or len(cluster.get('chief', ())) > 1:
    found = f'tasks of the kind {", ".join(others)}' if others else f'{len(cluster["chief"])} chiefs'
    raise ClusterError(f'the cluster of {TF_CONFIG} has {found}; expected workers, and one chief at most')
  return {job: tuple(map(str, addresses)) for job, addresses in cluster.items()}


def _task(values: Mapping[str, Any]) -> tuple[str, int]:
  task = values.get('task')
  kind, index = (task.get('type'), task.get('index')) if isinstance(task, dict) else (None, None)
  plain = (isinstance(index, str) and index.isdecimal()) or (isinstance(index, int) and not isinstance(index, bool))
  if not isinstance(kind, str) or index is None or not plain:
    raise ClusterError(f'{TF_CONFIG} does not say which task this is, by type and index; expected {_EXAMPLE}')
  return kind, int(index)


def _check_workers(workers: tuple[str, ...]) -> None:
  for address in workers:
    found = _ADDRESS.fullmatch(address)
    if not found or not 1 <= int(found['port']) <= _HIGHEST_PORT:
      raise ClusterError(f'a worker is {address!r}; expected host:port, with a port from 1 to {_HIGHEST_PORT}')
  if len(workers) < 2:
    raise ClusterError(
      f'there is {len(workers)} worker; expected two at least: name all of them, or take another strategy than '
      'multi_worker'
    )
  twice = sorted({address for address in workers if workers.count(address) > 1})
  if twice:
    raise ClusterError(f'{twice[0]} is named {workers.count(twice[0])} times; expected an address for each worker')

import json
from typing import Any

import pytest

from model.cluster import Cluster, ClusterError, find_cluster, parse_tf_config

HOSTS = ['one.example:2222', '10.0.0.2:2222', '[fe80::1]:2222']


def tf_config(cluster: Any, task: Any) -> str:
  return json.dumps({'cluster': cluster, 'task': task})


def test_flags_win_over_the_environment() -> None:
  environment = {'TF_CONFIG': tf_config({'worker': ['a:1', 'b:1']}, {'type': 'worker', 'index': 0})}
  assert find_cluster('c:1, d:2', 1, environment) == Cluster(('c:1', 'd:2'), 1)
  assert find_cluster(None, None, environment) == Cluster(('a:1', 'b:1'), 0)


@pytest.mark.parametrize(
  ('cluster', 'task', 'expected'),
  [
    ({'worker': HOSTS}, {'type': 'worker', 'index': 2}, Cluster(tuple(HOSTS), 2)),
    ({'worker': HOSTS}, {'type': 'worker', 'index': '1'}, Cluster(tuple(HOSTS), 1)),
    ({'worker': HOSTS[1:], 'chief': HOSTS[:1]}, {'type': 'worker', 'index': 0}, Cluster(tuple(HOSTS), 1)),
    ({'worker': HOSTS[1:], 'chief': HOSTS[:1]}, {'type': 'chief', 'index': 0}, Cluster(tuple(HOSTS), 0)),
  ],
)
def test_the_chief_comes_first_and_all_agree_on_the_order(cluster: Any, task: Any, expected: Cluster) -> None:
  found = parse_tf_config(tf_config(cluster, task))
  assert found == expected
  assert found.is_chief == (expected.index == 0)
  assert found.port == 2222


@pytest.mark.parametrize(
  ('text', 'message'),
  [
    ('{', 'TF_CONFIG is no JSON; expected {"cluster"'),
    ('[]', 'TF_CONFIG has no cluster with lists of addresses'),
    ('{"cluster": {"worker": "a:1"}}', 'TF_CONFIG has no cluster with lists of addresses'),
    (tf_config({'worker': HOSTS, 'ps': ['c:1']}, {'type': 'ps', 'index': 0}), 'has tasks of the kind ps'),
    (tf_config({'chief': HOSTS}, {'type': 'chief', 'index': 0}), 'has 3 chiefs'),
    (tf_config({'worker': HOSTS}, {}), 'does not say which task this is'),
    (tf_config({'worker': HOSTS}, {'type': 'worker', 'index': True}), 'does not say which task this is'),
    (
      tf_config({'worker': HOSTS}, {'type': 'worker', 'index': 3}),
      'says that this is worker 3, and its cluster has 3 of',
    ),
    (
      tf_config({'worker': HOSTS}, {'type': 'chief', 'index': 0}),
      'says that this is chief 0, and its cluster has 3 of',
    ),
    (tf_config({'worker': HOSTS[:1]}, {'type': 'worker', 'index': 0}), 'there is 1 worker; expected two at least'),
    (tf_config({'worker': ['a:1', 'a']}, {'type': 'worker', 'index': 0}), "a worker is 'a'; expected host:port"),
  ],
)
def test_what_is_wrong_with_the_environment_is_one_line(text: str, message: str) -> None:
  with pytest.raises(ClusterError) as caught:
    find_cluster(None, None, {'TF_CONFIG': text})
  assert message in str(caught.value)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  ('workers', 'index', 'message'),
  [
    ('', 0, "a worker is ''; expected host:port"),
    ('a:1,b:0', 0, "a worker is 'b:0'; expected host:port, with a port from 1 to 65535"),
    ('a:1,b:65536', 0, "a worker is 'b:65536'"),
    ('a:1,http://b:1', 0, "a worker is 'http://b:1'"),
    ('a:1', 0, 'there is 1 worker'),
    ('a:1,b:1,a:1', 0, 'a:1 is named 2 times'),
    ('a:1,b:1', 2, 'worker_index is 2, and there are 2 workers; expected 0 for the chief, up to 1'),
    ('a:1,b:1', -1, 'worker_index is -1'),
    (None, None, 'nothing says who the workers are; expected --workers host:port,host:port with --worker_index, or TF'),
  ],
)
def test_what_is_wrong_with_the_flags_is_one_line(workers: str | None, index: int | None, message: str) -> None:
  with pytest.raises(ClusterError) as caught:
    find_cluster(workers, index, {})
  assert message in str(caught.value)

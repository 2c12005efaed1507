"""The FlinkDeployment, against the schema of its operator's release 1.14.0, as an npm package carries it."""

import json
import pathlib
import re
import subprocess
from collections.abc import Iterator
from typing import Any

from tests.deploy.manifests import flink_deployment
from tests.distribution import ROOT

_MODULES = ROOT / '.cache/flink-operator/node_modules'
_TYPES = _MODULES / '@kubernetes-models/flink/flink.apache.org/v1beta1/FlinkDeployment.d.ts'
_VALIDATE = """
import {FlinkDeployment} from '@kubernetes-models/flink/flink.apache.org/v1beta1';
let text = '';
for await (const part of process.stdin) text += part;
new FlinkDeployment(JSON.parse(text)).validate();
"""


def validate(deployment: dict[str, Any]) -> 'subprocess.CompletedProcess[str]':
  return subprocess.run(
    ['node', '--input-type=module', '--eval', _VALIDATE],
    input=json.dumps(deployment),
    capture_output=True,
    text=True,
    check=False,
    cwd=_MODULES.parent,
  )


def known_fields() -> set[str]:
  """Names of fields anywhere in the schema: Kubernetes drops what it does not know without a word."""
  return set(re.findall(r'^ +"(\w+)"\??:', _TYPES.read_text(encoding='utf-8'), re.M))


def fields(value: Any, path: pathlib.PurePosixPath) -> Iterator[pathlib.PurePosixPath]:
  """All of them, but for those that are no names of the schema."""
  if isinstance(value, list):
    for one in value:
      yield from fields(one, path)
  if isinstance(value, dict) and path.name not in ('flinkConfiguration', 'requests', 'limits', 'metadata'):
    for name, one in value.items():
      yield path / name
      yield from fields(one, path / name)


def test_the_operator_s_schema_takes_it() -> None:
  done = validate(flink_deployment())
  assert done.returncode == 0, done.stderr


def test_all_fields_are_known_to_the_operator() -> None:
  known = known_fields()
  assert {'flinkConfiguration', 'taskManager', 'podTemplate', 'fsGroupChangePolicy'} <= known
  assert [
    str(field) for field in fields(flink_deployment(), pathlib.PurePosixPath('/')) if field.name not in known
  ] == []


def test_the_schema_can_object() -> None:
  wrong = flink_deployment()
  wrong['spec']['flinkVersion'] = 'v9_9'
  assert 'spec/flinkVersion must be equal to one of the allowed values' in validate(wrong).stderr
  wrong = flink_deployment()
  wrong['spec']['taskManager']['replicas'] = 'two'
  assert 'spec/taskManager/replicas' in validate(wrong).stderr

"""Google's Dataflow on this machine, as far as a launcher sees it: it takes jobs, and runs what was staged.

A job is run as Dataflow's workers would run it, and not as the launcher: by `.venv-worker`, which has the locked
dependencies and our sdist, from the pipeline in the bucket alone.
"""

import contextlib
import http.server
import json
import pathlib
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.integration.worker_environment import PYTHON, environment

_RUN = """
import json, sys
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.transforms.environments import EmbeddedPythonEnvironment
from transforms import storage
proto = beam_runner_api_pb2.Pipeline.FromString(storage.read_bytes(sys.argv[1]))
here = EmbeddedPythonEnvironment.default().to_runner_api(None)
for environment in proto.components.environments.values():
  assert environment.urn == 'beam:env:docker:v1', environment.urn
  environment.CopyFrom(here)
fn_runner.FnApiRunner().run_via_runner_api(proto, PipelineOptions([])).wait_until_finish()
"""


@dataclass(slots=True)
class Service:
  """What it was asked, and how it answers.

  Attributes:
    runs: whether jobs are run when they are created.
    asked: methods and paths of all requests.
    jobs: as they were to be created.
    output: what the workers said on stderr.
  """

  home: pathlib.Path
  runs: bool = True
  asked: list[tuple[str, str]] = field(default_factory=list)
  jobs: list[dict[str, Any]] = field(default_factory=list)
  output: str = ''
  address: str = ''

  def create(self, job: dict[str, Any]) -> dict[str, Any]:
    """Takes a job."""
    self.jobs.append(job)
    if self.runs:
      self.run(job)
    return self.state()

  def run(self, job: dict[str, Any]) -> None:
    """Runs the staged pipeline of a job."""
    url = job['environment']['sdkPipelineOptions']['options']['pipelineUrl']
    done = subprocess.run(
      [PYTHON, '-c', _RUN, url], env=environment(self.home), cwd=self.home, capture_output=True, text=True, check=False
    )
    self.output += done.stderr
    assert done.returncode == 0, done.stderr

  def state(self) -> dict[str, Any]:
    """The job as the service describes it."""
    name, request = self.jobs[-1]['name'], self.jobs[-1]['clientRequestId']
    now = 'JOB_STATE_DONE' if self.runs else 'JOB_STATE_PENDING'
    return {'id': f'id-{len(self.jobs)}', 'name': name, 'clientRequestId': request, 'currentState': now}


class _Handler(http.server.BaseHTTPRequestHandler):
  service: Service

  def do_POST(self) -> None:
    self.service.asked.append(('POST', self.path))
    job = json.loads(self.rfile.read(int(self.headers['Content-Length'])))
    self._answer(self.service.create(job))

  def do_GET(self) -> None:
    self.service.asked.append(('GET', self.path))
    is_job = self.path.partition('?')[0].rpartition('/')[0].endswith('/jobs')
    self._answer(self.service.state() if is_job else {})

  def _answer(self, value: dict[str, Any]) -> None:
    content = json.dumps(value).encode()
    self.send_response(200)
    self.send_header('Content-Type', 'application/json')
    self.send_header('Content-Length', str(len(content)))
    self.end_headers()
    self.wfile.write(content)

  def log_message(self, *_: Any) -> None:
    """Nothing is said of requests: they are kept."""


@contextlib.contextmanager
def dataflow_service(home: pathlib.Path) -> Iterator[Service]:
  """A service that lives as long as the block."""
  service = Service(home)
  handler = type('Handler', (_Handler,), {'service': service})
  server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
  service.address = f'http://localhost:{server.server_port}'
  thread = threading.Thread(target=server.serve_forever, daemon=True)
  thread.start()
  try:
    yield service
  finally:
    server.shutdown()
    server.server_close()
    thread.join()

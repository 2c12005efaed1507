"""What Beam would find out of a Flink cluster while it submits, or would download: found out before, one line each."""

import http.client
import json
import os
import re
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from apache_beam.options.pipeline_options import FlinkRunnerOptions, JobServerOptions, PipelineOptions
from apache_beam.runners.portability.flink_runner import MAGIC_HOST_NAMES
from apache_beam.version import __version__ as beam_version

from pipelines.exits import UsageError

_SECONDS: Final = 3  # for each of at most two questions
_PIPELINE_RUNNER: Final = 'org/apache/beam/runners/flink/FlinkPipelineRunner.class'  # what the cluster starts
_BEAM_PROPERTIES: Final = ('org/apache/beam/sdk/sdk.properties', 'version')
_FLINK_PROPERTIES: Final = ('.flink-runtime.version.properties', 'project.version')
_NAME: Final = re.compile(r'beam-runners-flink-(?P<flink>\d+\.\d+)-job-server-(?P<beam>\d+\.\d+\.\d+)\.jar')


@dataclass(frozen=True, slots=True)
class Cluster:
  """What a cluster's REST API tells.

  Attributes:
    version: of Flink, two numbers.
    hosts: of its task managers; none where they are started with a job.
    slots: of each task manager, at most.
  """

  version: str
  hosts: tuple[str, ...] = ()
  slots: int = 1


@dataclass(frozen=True, slots=True)
class JobServerJar:
  """What a jar tells of itself; None where it does not."""

  has_runner: bool
  beam: str | None
  flink: str | None


def check_flink(given: PipelineOptions) -> Cluster | None:
  """Refuses what FlinkRunner cannot do with these options.

  Returns:
    The cluster; None where Flink runs in the job server, on this machine.

  Raises:
    UsageError: naming the master, the version, or the jar.
  """
  flink = given.view_as(FlinkRunnerOptions)
  cluster = None if flink.flink_master.strip() in MAGIC_HOST_NAMES else read_cluster(flink.flink_master.strip())
  if cluster and cluster.version not in FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS:
    raise UsageError(
      f'--flink_master {flink.flink_master} is Flink {cluster.version}; Beam {beam_version} runs on '
      f'{", ".join(FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS)}; name a cluster of one of these'
    )
  check_jar(flink.flink_job_server_jar, cluster.version if cluster else flink.flink_version)
  launcher = given.view_as(JobServerOptions).job_server_java_launcher
  if not (cluster and flink.flink_submit_uber_jar) and not shutil.which(launcher):
    raise UsageError(
      f'{launcher} is not there, which starts the job server; install Java, or give --flink_submit_uber_jar '
      'with the address of a cluster as --flink_master'
    )
  return cluster


def read_cluster(master: str) -> Cluster:
  """Asks a cluster what it is.

  Raises:
    UsageError: if there is none.
  """
  version = _answer(master, 'config').get('flink-version')
  if not isinstance(version, str):
    raise _no_flink(master, 'its answer names no version')
  managers = _answer(master, 'taskmanagers').get('taskmanagers') or ()
  return Cluster(
    '.'.join(version.split('.')[:2]),
    tuple(host_of(manager['path']) for manager in managers),
    max((manager['slotsNumber'] for manager in managers), default=1),
  )


def host_of(path: str) -> str:
  """The host in the address of a task manager, such as `pekko.tcp://flink@10.0.0.7:41235/user/rpc/taskmanager_0`."""
  return path.rpartition('@')[2].partition('/')[0].rpartition(':')[0].strip('[]')


def _answer(master: str, path: str) -> Mapping[str, Any]:
  url = master if re.match(r'https?://', master) else f'http://{master}'
  try:
    with urllib.request.urlopen(f'{url.rstrip("/")}/v1/{path}', timeout=_SECONDS) as answer:
      value = json.load(answer)
  except urllib.error.HTTPError as error:
    raise _no_flink(master, f'it answers {error.code}') from error
  except OSError as error:
    raise UsageError(
      f'--flink_master {master} does not answer ({_reason(error)}); expected HOST:PORT of the REST API of a Flink '
      'cluster; start the cluster, or correct the address'
    ) from error
  except (ValueError, http.client.HTTPException) as error:
    raise _no_flink(master, 'its answer is not that of a REST API') from error
  if not isinstance(value, dict):
    raise _no_flink(master, 'its answer is not that of a REST API')
  return value


def _reason(error: OSError) -> str:
  inner = getattr(error, 'reason', error)
  return str(getattr(inner, 'strerror', None) or inner)


def _no_flink(master: str, why: str) -> UsageError:
  return UsageError(
    f'--flink_master {master} is no Flink cluster ({why}); expected HOST:PORT of its REST API, often port 8081'
  )


def check_jar(path: str | None, flink_version: str) -> None:
  """Refuses to have Beam download its job server, and what is not it.

  Raises:
    UsageError: with what is missing, and where it comes from.
  """
  source = f'org.apache.beam:beam-runners-flink-{flink_version}-job-server:{beam_version} of Maven Central'
  if not path:
    raise UsageError(
      f'--flink_job_server_jar is missing, and nothing is downloaded at run time; get {source} and give its path'
    )
  if not os.path.isfile(path):
    raise UsageError(f'--flink_job_server_jar {path} is no file of this machine; get {source} and give its path')
  jar = read_jar(path)
  if jar is None or not jar.has_runner:
    what = 'is no jar' if jar is None else "is a jar, but not that of Beam's job server for Flink"
    raise UsageError(f'--flink_job_server_jar {path} {what}; expected {source}')
  for name, found, expected in (('Beam', jar.beam, beam_version), ('Flink', jar.flink, flink_version)):
    if found not in (None, expected):
      raise UsageError(f'--flink_job_server_jar {path} is for {name} {found}, but {expected} is in use; get {source}')


def read_jar(path: str) -> JobServerJar | None:
  """Looks into a jar, without Java; None for what is none. What it does not tell is taken from its name on Maven."""
  named = _NAME.search(os.path.basename(path))
  try:
    with zipfile.ZipFile(path) as jar:
      beam, flink = _property(jar, *_BEAM_PROPERTIES), _property(jar, *_FLINK_PROPERTIES)
      has_runner = _PIPELINE_RUNNER in jar.namelist()
  except zipfile.BadZipFile:
    return None
  flink = '.'.join(flink.split('.')[:2]) if flink else None
  return JobServerJar(has_runner, beam or (named and named['beam']), flink or (named and named['flink']))


def _property(jar: zipfile.ZipFile, file: str, name: str) -> str | None:
  if file not in jar.namelist():
    return None
  found = re.search(rf'^{re.escape(name)}=(\S+)', jar.read(file).decode('utf-8', 'replace'), re.MULTILINE)
  return found[1] if found else None

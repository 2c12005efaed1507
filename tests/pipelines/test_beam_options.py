import logging
import pathlib
import socket
from collections.abc import Iterator
from typing import Any, NoReturn

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import DebugOptions, GoogleCloudOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.portability.prism_runner import PrismRunner

from pipelines import beam_options
from pipelines.beam_options import check_beam_args, make_runner, pipeline_options, waits
from pipelines.exits import UsageError


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
  logger = logging.getLogger('apache_beam')
  level = logger.level
  beam_options._say_pinned.cache_clear()
  yield
  logger.setLevel(level)


@pytest.mark.parametrize(
  'args',
  [
    [],
    ['--runner=DirectRunner', '--direct_num_workers', '2'],
    ['--temp_location', 'gs://bucket/tmp', '--region=europe-west3'],
    ['--temp-location', 'gs://bucket/tmp'],
    ['--flink_master', 'localhost:8081', '--experiments=a', '--experiments=b'],
    ['--dataflow_labels', 'team=radiology', '--dataflow-labels=a=b'],
  ],
)
def test_flags_of_beam_are_let_pass(args: list[str]) -> None:
  check_beam_args(args)


@pytest.mark.parametrize(
  ('args', 'text'),
  [
    (['--temp_locatoin=x'], '--temp_locatoin is no flag of radbeam, nor of Apache Beam; did you mean --temp_location?'),
    (['--imagesize', '3'], 'did you mean --image_size?'),
    (['--qqq'], '--qqq is no flag of radbeam, nor of Apache Beam; see --help'),
    (['--streaming', 'stray'], "'stray' follows no flag"),
    (['--num_workers', 'many'], "invalid int value: 'many' (a flag of Apache Beam)"),
    (['--labels', 'a=b'], "Dataflow's labels are given as --dataflow_labels"),
    (['--dry_run'], '--dry_run is no flag of this job'),
    (['--runner', 'NoSuchRunner'], "--runner is 'NoSuchRunner'"),
    (['--runner', 'no.such.Runner'], "--runner is 'no.such.Runner'"),
  ],
)
def test_what_nobody_knows_is_refused(args: list[str], text: str) -> None:
  with pytest.raises(UsageError) as raised:
    check_beam_args(args, ['--image_size'])
  assert text in str(raised.value)


def test_labels_of_dataflow_reach_beam() -> None:
  args = ['--dataflow_labels', 'team=radiology', '--temp-location=/tmp/x', '--dataflow-labels=a=b']
  options = pipeline_options(args).view_as(GoogleCloudOptions)
  assert options.labels == ['team=radiology', 'a=b']
  assert options.temp_location == '/tmp/x'


def test_options_do_not_come_from_the_command_line_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
  monkeypatch.setattr('sys.argv', ['program', '--runner=FlinkRunner'])
  assert pipeline_options([]).view_as(StandardOptions).runner is None


@pytest.mark.parametrize(
  'args',
  [
    [],
    ['--runner', 'DirectRunner'],
    ['--runner=directrunner'],
    ['--runner=FnApiRunner'],
    ['--runner=apache_beam.runners.direct.direct_runner.BundleBasedDirectRunner'],
  ],
)
def test_local_runs_are_pinned_to_the_in_process_engine(args: list[str]) -> None:
  assert type(make_runner(args)) is fn_runner.FnApiRunner


def test_another_runner_is_beams_business() -> None:
  assert isinstance(make_runner(['--runner=PrismRunner']), PrismRunner)


def test_pinning_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
  said: list[str] = []
  monkeypatch.setattr(logging.getLogger('radbeam.beam'), 'info', said.append)
  beam_options._say_pinned.cache_clear()
  make_runner([])
  assert said == []
  make_runner(['--runner=DirectRunner'])
  make_runner(['--runner=DirectRunner'])
  assert len(said) == 1
  assert 'nothing is downloaded' in said[0]


def test_a_local_pipeline_reaches_for_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
  reached: list[Any] = []

  def refuse(*address: Any, **_: Any) -> NoReturn:
    reached.append(address)
    raise OSError('no network in this test')

  monkeypatch.setattr(socket.socket, 'connect', refuse)
  monkeypatch.setattr(socket, 'getaddrinfo', refuse)
  output = tmp_path / 'sum'
  args = ['--runner=DirectRunner']
  with beam.Pipeline(runner=make_runner(args), options=pipeline_options(args)) as pipeline:
    total = pipeline | 'Numbers' >> beam.Create([1, 2, 3]) | 'Sum' >> beam.CombineGlobally(sum)
    _ = total | 'Text' >> beam.Map(str) | 'Write' >> beam.io.WriteToText(str(output), shard_name_template='')
  assert output.read_text() == '6\n'
  assert reached == []


_DATAFLOW = '--runner=apache_beam.runners.dataflow.DataflowRunner'


def test_workers_of_dataflow_have_one_process_with_few_threads() -> None:
  debug = pipeline_options([_DATAFLOW]).view_as(DebugOptions)
  assert (debug.experiments, debug.number_of_worker_harness_threads) == (['no_use_multiple_sdk_containers'], 2)


def test_what_is_said_of_workers_stays() -> None:
  args = [_DATAFLOW, '--experiments=use_multiple_sdk_containers', '--number_of_worker_harness_threads=7']
  debug = pipeline_options(args).view_as(DebugOptions)
  assert (debug.experiments, debug.number_of_worker_harness_threads) == (['use_multiple_sdk_containers'], 7)
  assert not pipeline_options(['--runner=FlinkRunner']).view_as(DebugOptions).experiments


@pytest.mark.parametrize(
  ('args', 'expected'),
  [
    ([], True),
    ([_DATAFLOW], True),
    ([_DATAFLOW, '--no_wait_until_finish'], False),
    ([_DATAFLOW, '--template_location=gs://bucket/job'], False),
    (['--no_wait_until_finish'], True),
  ],
)
def test_only_dataflow_goes_on_alone(args: list[str], expected: bool) -> None:
  assert waits(args) is expected
  assert pipeline_options(args).view_as(StandardOptions).no_wait_until_finish is not expected

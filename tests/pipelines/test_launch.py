import dataclasses
import json
import logging
import os
import pathlib
from typing import Any

import pytest

from pipelines.exits import NothingToDo, TooManyRejects, UsageError
from pipelines.launch import (
  check_rejects,
  config_of,
  decode_options,
  found_inputs,
  inputs_or_record,
  limits_of,
  reject_ratio,
  report_listing,
)
from pipelines.options import ScoreOptions
from tests.transforms.archive_files import tar_bytes, zip_bytes
from transforms.elements import Limits
from transforms.inputs import Input
from transforms.preprocess import PreprocessSpec
from transforms.yaml_entries import RulesError


def options(tmp_path: pathlib.Path, **values: Any) -> ScoreOptions:
  given = {'input': (str(tmp_path / 'in'),), 'output': str(tmp_path / 'out'), 'bundle': (str(tmp_path / 'bundle'),)}
  return ScoreOptions(**(given | values))


def test_inputs_that_are_given_twice_are_read_once(tmp_path: pathlib.Path) -> None:
  (tmp_path / 'in').mkdir()
  (tmp_path / 'in' / 'a').write_bytes(b'x')
  path = str(tmp_path / 'in')
  assert found_inputs([path, f'{path}/', path]) == [Input(path, 'in')]


def test_an_input_that_does_not_exist_is_named_even_if_others_do(tmp_path: pathlib.Path) -> None:
  (tmp_path / 'a').write_bytes(b'x')
  for missing in (str(tmp_path / 'none'), str(tmp_path / '*.zip')):
    with pytest.raises(UsageError) as refused:
      found_inputs([str(tmp_path / 'a'), missing])
    assert missing in str(refused.value)


def test_a_pipe_is_there_and_is_not_opened(tmp_path: pathlib.Path) -> None:
  os.mkfifo(tmp_path / 'pipe')
  assert found_inputs([str(tmp_path / 'pipe')]) == [Input(str(tmp_path / 'pipe'), 'pipe')]


@pytest.mark.parametrize('dry_run', [False, True])
def test_a_run_that_finds_nothing_leaves_a_record_unless_it_is_dry(tmp_path: pathlib.Path, dry_run: bool) -> None:
  (tmp_path / 'in' / 'empty').mkdir(parents=True)
  with pytest.raises(NothingToDo):
    inputs_or_record(options(tmp_path, dry_run=dry_run), 'score')
  records = [json.loads(path.read_text()) for path in tmp_path.glob('out/runs/*.json')]
  assert [(r['job'], r['state']) for r in records] == ([] if dry_run else [('score', 'nothing-to-do')])
  assert (tmp_path / 'out').exists() != dry_run


def test_every_limit_is_passed_on(tmp_path: pathlib.Path) -> None:
  names = [field.name for field in dataclasses.fields(Limits)]
  values: dict[str, Any] = {name: getattr(Limits(), name) + value for value, name in enumerate(names, 1)}
  assert limits_of(options(tmp_path, **values)) == Limits(**values)


@pytest.mark.parametrize(
  ('rows', 'ratio'),
  [
    ({}, 0.0),
    ({'skipped': 9}, 0.0),
    ({'scored': 3, 'rejected': 1}, 0.25),
    ({'ok': 3, 'rejected': 1, 'skipped': 96}, 0.25),
    ({'rejected': 1}, 1.0),
  ],
)
def test_what_was_never_an_image_does_not_count_for_the_ratio(rows: dict[str, int], ratio: float) -> None:
  assert reject_ratio(rows) == ratio


def test_rejects_are_allowed_up_to_the_ratio_and_not_beyond() -> None:
  record = {'rows': {'scored': 3, 'rejected': 1}, 'reasons': {'blank': 1}}
  check_rejects(record, 0.25)
  with pytest.raises(TooManyRejects, match=r"25\.0% of the images .* is 24\.0%; reasons: {'blank': 1}"):
    check_rejects(record, 0.24)


def test_a_listing_tells_what_would_be_read(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
  (tmp_path / 'a.zip').write_bytes(zip_bytes([('Doe/1', b'x'), ('Doe/2', b'y')]))
  (tmp_path / 'b.tgz').write_bytes(tar_bytes([('Doe/1', b'x')], 'w:gz'))
  (tmp_path / 'c.zip').write_bytes(b'PK\x03\x04')
  (tmp_path / 'Doe.dcm').write_bytes(b'x')
  with caplog.at_level(logging.INFO, 'radbeam'):
    report_listing([Input(str(tmp_path), 'in')], Limits(), logging.getLogger('radbeam.test'))
  assert [record.getMessage() for record in caplog.records][:4] == [
    'would read broken: 1, 0 members',
    'would read folder: 1, 1 members',
    'would read stream: 1',
    'would read zip: 1, 2 members',
  ]
  assert 'nothing was written' in caplog.records[-1].getMessage()
  assert 'Doe' not in caplog.text


RULES = 'rules: [{include: chest, body_part: CHEST}]\ndefault: exclude\n'
REGIONS = 'devices: [{name: us, modality: US, mask_px: [[0, 0, 9, 9]]}]\n'


def written(path: pathlib.Path, content: str) -> str:
  path.write_text(content)
  return str(path)


def test_files_of_rules_are_read_and_decide_the_digest(tmp_path: pathlib.Path) -> None:
  given = options(
    tmp_path,
    select=written(tmp_path / 'secret-rules.yaml', RULES),
    burned_in='mask',
    burned_in_regions=written(tmp_path / 'secret-regions.yaml', REGIONS),
  )
  decode = decode_options(given, PreprocessSpec(32))
  assert decode.select is not None
  assert [rule.name for rule in decode.select.rules] == ['chest']
  assert [region.name for region in decode.burned_in.regions] == ['us']
  config = config_of(given, decode)
  assert 'secret' not in json.dumps(config)
  written(tmp_path / 'secret-rules.yaml', f'# remark\n{RULES}')
  assert config_of(given, decode_options(given, PreprocessSpec(32))) == config
  written(tmp_path / 'secret-rules.yaml', RULES.replace('CHEST', 'HAND'))
  assert config_of(given, decode_options(given, PreprocessSpec(32))) != config


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'rules: 1\ndefault: include', 'in {path}, line 1: expected a list of rules, found 1'),
    (b'\xff\xfe', '{path} is no text in UTF-8'),
    (None, '{path} cannot be read (No such file or directory)'),
  ],
)
def test_a_file_of_rules_that_cannot_be_used_is_named(tmp_path: pathlib.Path, content: bytes, message: str) -> None:
  path = tmp_path / 'rules.yaml'
  if content is not None:
    path.write_bytes(content)
  with pytest.raises(RulesError) as refused:
    decode_options(options(tmp_path, select=str(path)), PreprocessSpec(32))
  assert str(refused.value) == message.format(path=path)


def test_what_was_not_selected_is_no_reject() -> None:
  record = {'rows': {'skipped': 98, 'scored': 2}, 'reasons': {'not-selected': 98}}
  check_rejects(record, 0)

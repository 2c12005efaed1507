"""`score` with several `--bundle`: each model has the rows that it has alone, under one run and one record."""

import dataclasses
import json
import pathlib
from typing import Any

import pyarrow.dataset as ds
import pytest

from model.bundle import BUNDLE_FILE, Bundle, decision_facts, model_digest, to_json
from pipelines.cli import main
from pipelines.current import current
from pipelines.exits import Exit
from tests.end_to_end.nights import Site, radiograph
from tests.jobs.test_delivered_twice import bundles as bundles  # the fixture that has all work done twice
from tests.pipelines.tiny_bundle import FAILS_AT, write_bundle
from transforms.preprocess import PreprocessSpec

OF_A_RUN = ('run_id', 'scored_at', 'supersedes_run_id')
MODELS = {'1': 256, '2': 512}  # versions, and what is pure white to them


@pytest.fixture
def real_site(tmp_path: pathlib.Path, tiny_models: pathlib.Path) -> Site:
  """Two models; a zip of radiographs of which they fail on one and two are the same, a loose one, and what is none."""
  site = Site(tmp_path / 'site', tiny_models)
  site.deliver_zip('a.zip', i1=10, i2=20, i3=FAILS_AT, i4=10)
  site.deliver('sub/b.dcm', radiograph('5', 30, study='8'))
  site.deliver('c.txt', b'no image')
  return site


@pytest.fixture
def site(real_site: Site, scored_by_numpy: None) -> Site:
  """The same, but that the models are those of numpy."""
  return real_site


def command(site: Site, output: str, *versions: str) -> list[str]:
  given = [part for version in versions for part in ('--bundle', str(site.models / version))]
  return [
    *('score', '--input', str(site.inbox), '--output', str(site.root / output), *given),
    *('--pseudonym_key_file', str(site.key), '--max_reject_ratio', '1', '--deterministic'),
  ]


def rows(site: Site, output: str, version: str) -> dict[Any, dict[str, Any]]:
  """The rows of a model without what each run has of its own."""
  (folder,) = (site.root / output).glob(f'predictions/*/model=tiny-{version}')
  table = ds.dataset(folder, format='parquet', partitioning=None).to_table().to_pylist()
  keyed = {(row['source_id'], row['frame']): {name: row[name] for name in row if name not in OF_A_RUN} for row in table}
  assert len(keyed) == len(table)
  return keyed


def record_of(site: Site, output: str) -> dict[str, Any]:
  (path,) = (site.root / output).glob('runs/*.json')
  record: dict[str, Any] = json.loads(path.read_text())
  return record


def test_each_model_has_the_rows_that_it_has_alone(real_site: Site) -> None:
  site = real_site
  assert main(command(site, 'both', '1', '2')) == Exit.DONE
  for version in MODELS:
    assert main(command(site, f'alone-{version}', version)) == Exit.DONE
    assert rows(site, 'both', version) == rows(site, f'alone-{version}', version)
  scores = [
    {key: row['probability'] for key, row in rows(site, 'both', version).items() if row['status'] == 'scored'}
    for version in MODELS
  ]
  assert sorted(scores[0].values()) == [10 / 256, 10 / 256, 20 / 256, 30 / 256]
  assert scores[1] == {key: score / 2 for key, score in scores[0].items()}
  assert sum('duplicate-pixels' in row['quality'] for row in rows(site, 'both', '2').values()) == 1


def test_one_record_speaks_of_both_and_conserves_the_sources_of_each(site: Site) -> None:
  assert main([*command(site, 'out', '1', '2'), '--crosswalk', str(site.root / 'crosswalk')]) == Exit.DONE
  record = record_of(site, 'out')
  assert record['sources'] == {'listed': 6, 'written': 6}
  assert record['rows'] == {'rejected': 2, 'scored': 8, 'skipped': 2}
  assert [part['model']['version'] for part in record['models']] == ['1', '2']
  for part in record['models']:
    assert part['sources'] == {'listed': 6, 'written': 6}
    assert part['rows'] == {'rejected': 1, 'scored': 4, 'skipped': 1}
    assert part['predictions'].endswith(f'/model=tiny-{part["model"]["version"]}/run_id={record["run_id"]}')
    published = site.root / 'out' / part['predictions']
    assert sorted(file.name for file in published.iterdir()) == part['files']
  assert len(list((site.root / 'crosswalk').iterdir())) == 1
  assert not (site.root / 'out/.staging').exists()
  found = {version: current(str(site.root / 'out'), f'tiny-{version}') for version in MODELS}
  assert {version: len(table) for version, table in found.items()} == {'1': 6, '2': 6}
  assert set(found['1']['run_id'].to_pylist()) == set(found['2']['run_id'].to_pylist()) == {record['run_id']}


def test_work_that_is_done_twice_gives_the_rows_of_once(site: Site, bundles: list[str]) -> None:
  assert main(command(site, 'twice', '1', '2')) == Exit.DONE
  assert len(bundles) > 5
  for version, brightest in MODELS.items():
    scored = [row['probability'] for row in rows(site, 'twice', version).values() if row['status'] == 'scored']
    assert sorted(scored) == [10 / brightest, 10 / brightest, 20 / brightest, 30 / brightest]
  assert record_of(site, 'twice')['sources'] == {'listed': 6, 'written': 6}
  assert not (site.root / 'twice/.staging').exists()


def test_the_same_models_score_the_same_inputs_once(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
  assert main(command(site, 'out', '1', '2')) == Exit.DONE
  assert main(command(site, 'out', '1', '2')) == Exit.USAGE
  assert 'give --overwrite for a new run that supersedes it' in capsys.readouterr().err
  assert main(command(site, 'out', '1')) == Exit.DONE, 'one of them alone is other work'


def test_what_became_of_an_image_is_told_by_model(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
  crosswalk = ('--crosswalk', str(site.root / 'crosswalk'))
  assert main([*command(site, 'out', '1', '2'), *crosswalk]) == Exit.DONE
  image_id = next(row['image_id'] for row in rows(site, 'out', '1').values() if row['probability'] == 30 / 256)
  capfd.readouterr()
  key = ('--pseudonym_key_file', str(site.key))
  assert main(['lookup', image_id, *crosswalk, *key, '--output', str(site.root / 'out'), '--json']) == Exit.DONE
  places = json.loads(capfd.readouterr().out)
  assert [(one['model'], one['probability']) for one in places] == [('tiny-1', 30 / 256), ('tiny-2', 30 / 512)]
  assert {one['member'] for one in places} == {'sub/b.dcm'}


def test_models_that_are_called_the_same_are_refused(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
  assert main(command(site, 'out', '1', '1')) == Exit.USAGE
  assert '2 of --bundle are called tiny-1; name each model once' in capsys.readouterr().err
  assert not (site.root / 'out').exists()


def test_models_of_other_preprocessing_are_refused(
  site: Site, capsys: pytest.CaptureFixture[str], other_size: Bundle
) -> None:
  assert main([*command(site, 'out', '1'), '--bundle', str(other_size.path)]) == Exit.USAGE
  said = capsys.readouterr().err
  assert '--bundle tiny-32 takes images preprocessed by' in said
  assert 'score by each in a run of its own' in said


@pytest.fixture
def other_size(site: Site) -> Bundle:
  """Of a model that says it takes 32 pixels."""
  bundle = dataclasses.replace(write_bundle(site.root / '32', '32'), spec=PreprocessSpec(32))
  bundle = dataclasses.replace(bundle, model_digest=model_digest(bundle.files, decision_facts(bundle)))
  (bundle.path / BUNDLE_FILE).write_text(to_json(bundle))
  return bundle


def test_a_night_has_one_model(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
  two = [part for version in MODELS for part in ('--bundle', str(site.models / version))]
  assert site.night(*two) == Exit.USAGE
  assert '--bundle is given more than once; radbeam nightly takes one' in capsys.readouterr().err

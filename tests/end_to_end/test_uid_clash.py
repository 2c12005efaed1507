"""Different images under one SOP Instance UID, of one run and over nights: all are kept, and whoever looks is told."""

import json
import pathlib
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import pytest
import tensorflow as tf
from PIL import Image

from pipelines import ingest, score_run
from pipelines.cli import main
from pipelines.current import current
from pipelines.dataset_publish import dataset_digest
from pipelines.exits import Exit
from pipelines.studies import current_studies
from tests.end_to_end.nights import Site
from tests.jobs.test_delivered_twice import bundles as bundles  # the fixture that has all work done twice
from tests.transforms.archive_files import zip_bytes
from tests.transforms.pictures import dicom_dataset, dicom_file, gradient
from transforms.elements import HeaderFacts
from transforms.identifiers import Pseudonyms

UID = '1.2.826.77'
PATIENTS = {'P1': 10, 'P2': 20, 'P3': 30}  # and what the model sees of each
SIDE_PX = 16
SHARED = 'different images that share their SOP Instance UID'


def image(patient: str, grey: int, study: str | None = None, uid: str = UID, **elements: Any) -> bytes:
  """A radiograph of a patient, whose pixel at the upper left is `grey`; each patient has a study."""
  values = gradient(SIDE_PX, SIDE_PX, 8)  # so that all look alike
  values[0, 0] = grey
  identity = {'PatientID': patient, 'SOPInstanceUID': uid, 'StudyInstanceUID': f'1.2.9.{study or patient[1:]}'}
  return dicom_file(dicom_dataset(values, **identity, WindowCenter=128, WindowWidth=256, **elements))


@pytest.fixture
def site(tmp_path: pathlib.Path, tiny_models: pathlib.Path, scored_by_numpy: None) -> Site:
  return Site(tmp_path / 'site', tiny_models)


def deliver(site: Site, name: str, *images: tuple[str, int]) -> None:
  """A zip of images of one UID, by patient and grey."""
  site.deliver(name, zip_bytes([(f'{number}.dcm', image(*one)) for number, one in enumerate(images)]))


def deliver_all(site: Site) -> None:
  """The three patients' images, of which two are in one archive, the last of them twice, and one of another UID."""
  deliver(site, 'a.zip', ('P1', 10), ('P2', 20), ('P2', 20))
  site.deliver('b.zip', zip_bytes([('0.dcm', image('P3', 30)), ('1.dcm', image('P4', 40, uid='1.2.826.78'))]))


def plain_id(site: Site, uid: str = UID) -> str:
  found = Pseudonyms(site.key.read_bytes()).image(HeaderFacts(sop_instance_uid=uid), 1, None)
  assert found
  return found


def id_of(site: Site, patient: str) -> str:
  return str(Pseudonyms(site.key.read_bytes()).optional('patient', patient))


def command(site: Site, job: str, output: str, *more: str) -> list[str]:
  given = ('--input', str(site.inbox), '--output', str(site.root / output), '--pseudonym_key_file', str(site.key))
  return [job, *given, '--crosswalk', str(site.root / 'crosswalk'), *more]


def rows(folder: pathlib.Path) -> list[dict[str, Any]]:
  table: list[dict[str, Any]] = ds.dataset(folder, format='parquet', partitioning=None).to_table().to_pylist()
  return table


def shown(table: list[dict[str, Any]], site: Site) -> list[tuple[str, float]]:
  """Patient and what the model saw, of each row."""
  names = {id_of(site, name): name for name in (*PATIENTS, 'P4')}
  return sorted((names[row['patient_id']], 256 * row['probability']) for row in table)


def check_rows(site: Site, table: list[dict[str, Any]]) -> dict[str, str]:
  """Every image has an id, a flag and what belongs to it; the ids by the digest of the pixels."""
  ids = {row['pixel_sha256']: row['image_id'] for row in table}
  assert {(row['pixel_sha256'], row['image_id']) for row in table} == set(ids.items()), 'one image, one id'
  assert len(table) == 5
  assert len(set(ids.values())) == 4
  alone = plain_id(site, '1.2.826.78')
  for row in table:
    assert ('uid-clash' in row['quality']) == (row['image_id'] != alone)
    assert row['image_id'][:16] in (plain_id(site)[:16], alone[:16])
  assert plain_id(site) not in ids.values(), 'none of them is the one that has the UID to itself'
  assert sum('duplicate-content' in row['quality'] for row in table) == 1
  return ids


def check_lookup(site: Site, table: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]) -> None:
  """Each id leads to the patient that its row is of."""
  patients = {id_of(site, name): name for name in (*PATIENTS, 'P4')}
  for row in table:
    capfd.readouterr()
    key = ('--pseudonym_key_file', str(site.key), '--crosswalk', str(site.root / 'crosswalk'))
    assert main(['lookup', row['image_id'], *key, '--json']) == Exit.DONE
    places = json.loads(capfd.readouterr().out)
    assert {place['patient_id'] for place in places} == {patients[row['patient_id']]}


def test_a_dataset_keeps_all_of_them_under_ids_that_agree(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
  deliver_all(site)
  split = ('--val_fraction', '0.3', '--test_fraction', '0.3', '--image_size', str(SIDE_PX), '--labels', 'none')
  assert main(command(site, 'ingest', 'dataset', *split)) == Exit.DONE
  assert f'warn: uid-clash ({SHARED}: 3 with another of their run)' in capfd.readouterr().err
  folder = site.root / 'dataset'
  table = rows(folder / 'index')
  check_rows(site, table)
  record = json.loads((folder / 'dataset.json').read_text())
  assert record['duplicates']['uid_clashes'] == 3
  assert record['digest'] == dataset_digest(map(str, sorted((folder / 'index').iterdir())))
  found = []
  for path in (folder / 'examples').rglob('*.tfrecord'):
    for raw in tf.data.TFRecordDataset(str(path)):
      example = tf.train.Example.FromString(raw.numpy()).features.feature
      pixels = np.frombuffer(example['image'].bytes_list.value[0], np.uint8)
      found.append((path.parent.name, example['image_id'].bytes_list.value[0].decode(), int(pixels[0])))
  greys = {id_of(site, name): grey for name, grey in {**PATIENTS, 'P4': 40}.items()}
  expected = [(f'split={row["split"]}', row['image_id'], greys[row['patient_id']]) for row in table]
  assert sorted(found) == sorted(expected)
  pairs = rows(folder / 'near_duplicates')
  assert pairs, 'the pictures look alike'
  assert {pair[name] for pair in pairs for name in ('image_id', 'other_image_id')} <= {one['image_id'] for one in table}
  of_grey = {int(np.asarray(Image.open(path))[0, 0]): path.stem for path in (folder / 'samples').iterdir()}
  assert len(of_grey) > 1, 'of the first sources of a shard'
  assert of_grey.items() <= {greys[row['patient_id']]: row['image_id'] for row in table}.items()
  check_lookup(site, table, capfd)


def test_scores_of_several_models_keep_all_of_them(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
  deliver_all(site)
  bundles = [part for version in ('1', '2') for part in ('--bundle', str(site.models / version))]
  assert main(command(site, 'score', 'scores', *bundles)) == Exit.DONE
  assert f'warn: uid-clash ({SHARED}: 3 with another of their run)' in capfd.readouterr().err
  output = site.root / 'scores'
  (record,) = (json.loads(path.read_text()) for path in (output / 'runs').iterdir())
  assert record['duplicates'] == {'content': 1, 'pixels': 0, 'uid_clashes': 3}
  ids = [check_rows(site, rows(output / part['predictions'])) for part in record['models']]
  assert ids[0] == ids[1]
  table = current(str(output), 'tiny-1').to_pylist()
  assert shown(table, site) == [*PATIENTS.items(), ('P4', 40)]
  check_lookup(site, table, capfd)


def studies_of(site: Site) -> list[tuple[str, float, int]]:
  """Patient, what the model saw and the number of images, of each study."""
  table = current_studies(str(site.output), 'tiny-1').to_pylist()
  names = {id_of(site, name): name for name in (*PATIENTS, 'P4')}
  return sorted((names[row['patient_id']], 256 * row['probability'], row['images_scored']) for row in table)


def alarms(site: Site) -> list[tuple[str, str]]:
  return [(alarm['code'], alarm['detail']) for alarm in site.records()[-1]['alarms'] if alarm['code'] == 'uid-clash']


def test_a_night_keeps_all_patients_and_raises_an_alarm(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
  deliver_all(site)
  assert site.night('--crosswalk', str(site.root / 'crosswalk')) == Exit.DONE
  check_rows(site, site.rows())
  table = current(str(site.output)).to_pylist()
  assert shown(table, site) == [*PATIENTS.items(), ('P4', 40)]
  assert studies_of(site) == [(name, grey, 1) for name, grey in {**PATIENTS, 'P4': 40}.items()]
  assert site.records()[-1]['duplicates']['uid_clashes'] == 3
  detail = f'{SHARED}: 3 with another of their run'
  assert alarms(site) == [('uid-clash', detail)]
  assert f'warn: uid-clash ({detail})' in capfd.readouterr().err
  check_lookup(site, table, capfd)


def test_images_of_several_slices_of_a_night_are_told_apart(site: Site) -> None:
  for name, grey in PATIENTS.items():
    deliver(site, f'{name}.zip', (name, grey))
  assert site.night('--slice_files', '2') == Exit.DONE
  assert shown(current(str(site.output)).to_pylist(), site) == [*PATIENTS.items()]
  assert studies_of(site) == [(*one, 1) for one in PATIENTS.items()]
  detail = f'{SHARED}: 2 with another of their run, 3 with one of another run'
  assert alarms(site) == [('uid-clash', detail)]


def test_the_alarm_can_fail_a_night_or_be_off(site: Site) -> None:
  deliver(site, 'a.zip', ('P1', 10), ('P2', 20))
  assert site.night('--uid_alarm', 'fail') == Exit.ALARM
  assert site.records()[-1]['state'] == 'alarm'
  deliver(site, 'b.zip', ('P1', 11), ('P2', 22))
  assert site.night('--uid_alarm', 'off') == Exit.DONE
  assert alarms(site) == []


@pytest.mark.parametrize(
  ('nights', 'stand', 'over_nights'),
  [
    pytest.param([[('P1', 10)], [('P2', 20)]], [('P1', 10), ('P2', 20)], 1, id='another patient'),
    pytest.param([[('P1', 10)], [('P1', 11)]], [('P1', 11)], 0, id='the same patient, corrected'),
    pytest.param([[('P1', 10)], [('P2', 10)]], [('P2', 10)], 0, id='the same pixels, of another patient now'),
    pytest.param([[('P1', 10)], [('P1', 10), ('P2', 20)]], [('P1', 10), ('P2', 20)], 0, id='alone, then with another'),
    pytest.param([[('P1', 10), ('P2', 20)], [('P1', 10)]], [('P1', 10), ('P2', 20)], 1, id='with another, then alone'),
    pytest.param(
      [[('P1', 10), ('P2', 20)], [('P1', 11)]], [('P1', 11), ('P2', 20)], 1, id='with another, then corrected'
    ),
    pytest.param(
      [[('P1', 10)], [('P2', 20)], [('P3', 30)], [('P2', 21)]],
      [('P1', 10), ('P2', 21), ('P3', 30)],
      1,
      id='one after the other',
    ),
  ],
)
def test_over_nights_nobody_is_lost_and_nobody_is_there_twice(
  site: Site, nights: list[list[tuple[str, int]]], stand: list[tuple[str, float]], over_nights: int
) -> None:
  for number, images in enumerate(nights):
    deliver(site, f'{number}.zip', *images)
    assert site.night() == Exit.DONE
  assert shown(current(str(site.output)).to_pylist(), site) == stand
  assert studies_of(site) == [(*one, 1) for one in stand]
  (published,) = site.records()[-1]['studies']
  assert published['uid_clashes'] == over_nights


def test_a_run_that_ended_after_the_ids_were_written_goes_on_to_the_same(
  site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
  def killed(*_: object, **__: object) -> str:
    raise ValueError('killed')

  deliver_all(site)
  scores = ('--bundle', str(site.models / '1'), '--deterministic')
  dataset = ('--image_size', str(SIDE_PX), '--labels', 'none')
  jobs = (('score', score_run, 'publish_predictions', scores), ('ingest', ingest, 'publish_dataset', dataset))
  for job, module, last_step, flags in jobs:
    with monkeypatch.context() as patched:
      patched.setattr(module, last_step, killed)
      assert main(command(site, job, f'{job}-again', *flags)) == Exit.CRASHED
    assert main(command(site, job, f'{job}-again', *flags)) == Exit.DONE
    assert main(command(site, job, f'{job}-once', *flags)) == Exit.DONE
  of_a_run = ('run_id', 'scored_at')
  again, once = (
    [{name: row[name] for name in row if name not in of_a_run} for row in rows(site.root / folder / 'predictions')]
    for folder in ('score-again', 'score-once')
  )
  assert again == once
  for folder in ('index', 'examples', 'samples'):
    assert contents(site.root / 'ingest-again' / folder) == contents(site.root / 'ingest-once' / folder)


def test_work_that_is_done_twice_gives_the_ids_of_once(site: Site, bundles: list[str]) -> None:
  deliver_all(site)
  assert main(command(site, 'score', 'scores', '--bundle', str(site.models / '1'))) == Exit.DONE
  assert len(bundles) > 5
  ids = check_rows(site, rows(site.root / 'scores/predictions'))
  (crosswalk,) = (site.root / 'crosswalk').glob('*.parquet')
  assert {row['image_id'] for row in rows(crosswalk)} == set(ids.values())


def contents(folder: pathlib.Path) -> dict[str, bytes]:
  return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob('*') if path.is_file()}

"""Nights that differ from the training in one thing, really scored: what is off is found, and nothing else is said."""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from model.bundle import BUNDLE_FILE, Bundle, file_digests, load_bundle, to_json
from model.drift import Training, to_statistics
from pipelines.alarms import drift_alarms, drift_figures
from pipelines.cli import main
from pipelines.exits import Exit
from pipelines.night_options import NightlyOptions
from pipelines.run_record import read_record, recorded_runs
from tests.transforms.archive_files import zip_bytes
from tests.transforms.pictures import dicom_dataset, dicom_file
from transforms.elements import HeaderFacts
from transforms.identifiers import Pseudonyms, create_key, read_key

OPTIONS = NightlyOptions(inbox=('x',), bundle='x', output='x')
_SIDE_PX = 16


@dataclass(frozen=True, slots=True)
class Export:
  """What the images of a night have in common."""

  images: int = 120
  inverted: bool = False
  exposure: int = 0  # added to all grey levels
  serials: tuple[str, ...] = ('one', 'two')

  def members(self, seed: int) -> Iterator[tuple[str, bytes]]:
    random = np.random.default_rng(seed)
    for number in range(self.images):
      grey = random.normal(90 + self.exposure, 15) + random.normal(0, 30, (_SIDE_PX, _SIDE_PX))
      values = grey.clip(0, 254).astype(np.uint8)
      uid = f'1.2.826.{seed}.{number}'
      elements: dict[str, Any] = {
        'SOPInstanceUID': uid,
        'StudyInstanceUID': f'{uid}.1',
        'Manufacturer': 'Planted Devices',
        'DeviceSerialNumber': self.serials[number % len(self.serials)],
        'WindowCenter': 128,  # with this width: 8 bits as they are (PS3.3 C.11.2.1.2.1)
        'WindowWidth': 256,
      }
      yield f'{number}.dcm', dicom_file(dicom_dataset(254 - values if self.inverted else values, **elements))


USUAL = Export()


@dataclass(frozen=True, slots=True)
class Hospital:
  """A place to score nights in."""

  root: pathlib.Path

  @property
  def key(self) -> str:
    return str(self.root / 'key')

  @property
  def pseudonyms(self) -> Pseudonyms:
    return Pseudonyms(read_key(self.key))

  def scanner(self, serial: str) -> str:
    """As its id is to be found."""
    return self.pseudonyms.scanner(HeaderFacts(scanner=('planted devices', '', serial, ''))) or ''

  def score(self, name: str, export: Export, seed: int) -> dict[str, Any]:
    """Scores a night; the statistics of its record."""
    inbox = self.root / f'{name}.zip'
    inbox.write_bytes(zip_bytes(list(export.members(seed))))
    output = str(self.root / f'{name}-scores')
    arguments = ['--input', str(inbox), '--bundle', str(self.root / 'bundle'), '--output', output]
    assert main(['score', *arguments, '--pseudonym_key_file', self.key, '--quiet']) == 0
    [run_id] = recorded_runs(output)
    statistics: dict[str, Any] = read_record(output, run_id)['statistics']
    return statistics

  def compare(self, bundle: Bundle, statistics: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, str]]]:
    figures = drift_figures(bundle, statistics, OPTIONS, self.pseudonyms.fingerprint)
    return figures, drift_alarms(figures, OPTIONS)


@pytest.fixture(scope='module')
def hospital(tmp_path_factory: pytest.TempPathFactory, tiny_models: pathlib.Path) -> Hospital:
  made = Hospital(tmp_path_factory.mktemp('hospital'))
  create_key(made.key)
  shutil.copytree(tiny_models / '1', made.root / 'bundle')
  return made


@pytest.fixture(scope='module')
def usual(hospital: Hospital) -> dict[str, Any]:
  return hospital.score('training', dataclasses.replace(USUAL, images=400), 1)


@pytest.fixture(scope='module')
def bundle(hospital: Hospital, usual: dict[str, Any]) -> Bundle:
  """One that was trained on such images."""
  path = hospital.root / 'bundle'
  training = Training(usual, usual, hospital.pseudonyms.fingerprint)
  (path / 'training_statistics.json').write_text(json.dumps(to_statistics(training)))
  (path / BUNDLE_FILE).write_text(to_json(dataclasses.replace(load_bundle(path), files=file_digests(path))))
  return load_bundle(path)


def test_all_that_was_scored_is_in_the_record(hospital: Hospital, usual: dict[str, Any]) -> None:
  assert (usual['all']['images'], usual['all']['study_squares']) == (400, 400)
  assert sum(usual['all']['features']['intensity'].values()) == 400 * _SIDE_PX**2
  assert {name: group['images'] for name, group in usual['scanners'].items()} == {
    hospital.scanner(serial): 200 for serial in USUAL.serials
  }


def test_a_night_like_the_training_is_no_alarm(hospital: Hospital, bundle: Bundle) -> None:
  figures, alarms = hospital.compare(bundle, hospital.score('usual', USUAL, 2))
  assert alarms == []
  assert figures['available']
  assert {name: part['known'] for name, part in figures['scanners'].items()} == {
    hospital.scanner(serial): True for serial in USUAL.serials
  }


@pytest.mark.parametrize(('name', 'change'), [('inverted', {'inverted': True}), ('overexposed', {'exposure': 40})])
def test_other_pixels_are_found_in_what_the_model_sees_and_says(
  hospital: Hospital, bundle: Bundle, name: str, change: dict[str, Any]
) -> None:
  figures, alarms = hospital.compare(bundle, hospital.score(name, dataclasses.replace(USUAL, **change), 3))
  assert [alarm['code'] for alarm in alarms] == ['drift', 'scanner-drift', 'scanner-drift']
  beyond = {
    feature for feature, found in figures['features'].items() if found['psi'] > max(found['psi_noise'], OPTIONS.max_psi)
  }
  assert beyond == {'intensity', 'score'}


def test_another_scanner_is_found(hospital: Hospital, bundle: Bundle) -> None:
  figures, alarms = hospital.compare(
    bundle, hospital.score('scanner', dataclasses.replace(USUAL, serials=('one', 'three')), 4)
  )
  assert [alarm['detail'].split(' ')[0] for alarm in alarms] == ['scanner'], 'its images are as usual'
  assert alarms[0]['code'] == 'drift'
  assert not figures['scanners'][hospital.scanner('three')]['known']


@pytest.mark.parametrize(('level', 'code', 'state'), [('warn', Exit.DONE, 'done'), ('fail', Exit.ALARM, 'alarm')])
def test_a_night_of_other_images_warns_or_ends_with_an_alarm(
  hospital: Hospital, bundle: Bundle, tmp_path: pathlib.Path, level: str, code: Exit, state: str
) -> None:
  (tmp_path / 'inbox').mkdir()
  (tmp_path / 'inbox' / 'a.zip').write_bytes(zip_bytes(list(Export(inverted=True).members(5))))
  output = str(tmp_path / 'nights')
  places = ['--inbox', str(tmp_path / 'inbox'), '--bundle', str(bundle.path), '--output', output]
  watch = ['--pseudonym_key_file', hospital.key, '--settle_seconds', '0', '--drift_alarm', level]
  assert main(['nightly', *places, *watch, '--quiet']) == code
  record = read_record(output, next(run_id for run_id in recorded_runs(output) if '-s' not in run_id))
  assert (record['state'], record['rows']) == (state, {'scored': USUAL.images})
  assert [alarm['code'] for alarm in record['alarms']] == ['drift', 'scanner-drift', 'scanner-drift']
  assert record['statistics']['all']['images'] == USUAL.images


def test_a_bundle_of_before_scores_and_has_no_drift(
  hospital: Hospital, usual: dict[str, Any], tiny_models: pathlib.Path
) -> None:
  figures, alarms = hospital.compare(load_bundle(tiny_models / '1'), usual)
  assert (figures['available'], alarms) == (False, [])

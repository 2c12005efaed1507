"""Folds of patients, from the export to the bundle."""

import json
import pathlib
from collections import defaultdict

import pytest

from model.dataset import Dataset, Fold, open_dataset
from model.folds import select_fold
from model.input_data import read_examples
from pipelines import ingest
from pipelines.cli import main
from tests.end_to_end.conftest import Chain
from transforms.elements import Source
from transforms.identifiers import Pseudonyms, create_key, read_key
from transforms.splits import SplitSpec, bucket_of

FOLDS = 3
Place = tuple[str, str, int, int]


def patients(chain: Chain) -> dict[Place, str]:
  """Of every source and frame of the export."""
  return {
    (f'inbox/{source.archive}' if source.archive else 'inbox', source.member, source.occurrence, frame + 1): patient
    for source in chain.export.manifest
    for frame in range(source.frames)
    if (patient := source.patient)
  }


def found(chain: Chain, folder: str, key: str) -> dict[Place, dict[str, object]]:
  """The good rows of an index, by what they are of."""
  pseudonyms = Pseudonyms(read_key(key))
  sources = {pseudonyms.source(Source(*place[:3])): place[:3] for place in patients(chain)}
  rows = [row for row in chain.rows(f'{folder}/index') if row['status'] == 'ok']
  return {(*sources[row['source_id']], row['frame']): row for row in rows}


def test_the_bucket_is_the_patient_s_under_every_key_and_in_any_shards(
  chain: Chain, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  other = str(tmp_path / 'other.key')
  create_key(other)
  monkeypatch.setattr(ingest, 'usable_cores', lambda: 7)
  command = chain.ingest('again')
  command[command.index('--pseudonym_key_file') + 1] = other
  assert main(command) == 0
  first, again = found(chain, 'dataset', chain.key), found(chain, 'again', other)
  spec, of_patient = SplitSpec(0.25, 0.25), patients(chain)
  expected = {place: bucket_of(of_patient[place], spec) for place in first}
  assert {place: row['patient_bucket'] for place, row in first.items()} == expected
  assert {place: row['patient_bucket'] for place, row in again.items()} == expected
  assert {row['image_id'] for row in first.values()}.isdisjoint(row['image_id'] for row in again.values())
  shards = [len(list((chain.root / folder / 'index').iterdir())) for folder in ('dataset', 'again')]
  assert shards[0] != shards[1]


def held_out(dataset: Dataset, number: int) -> list[str]:
  fold = select_fold(dataset, Fold(number, FOLDS))
  return [row['image_id'].decode() for row in read_examples(fold, 'val').as_numpy_iterator()]


def test_no_patient_is_held_out_and_trained_on_and_every_image_is_held_out_once(chain: Chain) -> None:
  of_patient, index = patients(chain), found(chain, 'dataset', chain.key)
  pool = {row['image_id']: place for place, row in index.items() if row['split'] != 'test'}
  dataset = open_dataset(chain.root / 'dataset')
  images = {number: held_out(dataset, number) for number in range(1, FOLDS + 1)}
  assert sorted(name for names in images.values() for name in names) == sorted(str(name) for name in pool)
  folds: dict[str, set[int]] = defaultdict(set)
  for number, names in images.items():
    for name in names:
      folds[of_patient[pool[name]]].add(number)
  assert {len(numbers) for numbers in folds.values()} == {1}
  assert {number for numbers in folds.values() for number in numbers} == set(images)


def test_a_bundle_of_a_fold_is_evaluated_on_what_it_held_out(
  chain: Chain, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
  assert main(chain.train('of_fold', '--folds', str(FOLDS), '--fold', '2', '--threshold_on', 'plain')) == 0
  bundle = json.loads((chain.root / 'of_fold' / 'bundle.json').read_text())
  assert [bundle['recipe'][name] for name in ('fold', 'folds', 'threshold_on')] == [2, FOLDS, 'plain']
  places = ['--bundle', str(chain.root / 'of_fold'), '--dataset', str(chain.root / 'dataset')]
  command = ['evaluate', *places, '--output', str(tmp_path / 'e'), '--split', 'val']
  capsys.readouterr()
  assert main([*command, '--dry_run']) == 0
  counts = select_fold(open_dataset(chain.root / 'dataset'), Fold(2, FOLDS)).class_counts('val')
  shown = f'on {sum(counts.values())} images of 2 labels ({"/".join(map(str, counts.values()))}); nothing was written'
  assert shown in capsys.readouterr().err
  assert main(command) == 0
  metrics = json.loads((tmp_path / 'e' / 'metrics.json').read_text())['metrics']
  count = len(held_out(open_dataset(chain.root / 'dataset'), 2))
  assert (metrics['count'], bundle['metrics']['count']) == (count, count)
  assert metrics['confusion_matrix'] == bundle['metrics']['confusion_matrix']

"""Three classes in colour, from a plain folder: what the chest radiographs do not touch."""

import json
import pathlib

import cv2
import numpy as np
import pyarrow.dataset as ds
import pytest

from pipelines.cli import main

_CLASSES = ('blue', 'green', 'red')  # in the order of OpenCV's channels


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
  """A folder per class with pictures of which only the colour tells the class."""
  root = tmp_path_factory.mktemp('colour')
  rng = np.random.default_rng(1)
  for channel, name in enumerate(_CLASSES):
    (root / 'inbox' / name).mkdir(parents=True)
    for number in range(60):
      picture = rng.integers(0, 60, (40, 48, 3), np.uint8)
      picture[..., channel] += 120
      cv2.imwrite(str(root / 'inbox' / name / f'patient{number}-{name}.png'), picture)
  return root


def test_three_classes_in_colour_go_through_all_jobs(root: pathlib.Path) -> None:
  inbox, dataset, bundle = str(root / 'inbox'), str(root / 'dataset'), str(root / 'bundle')
  key = ('--pseudonym_key_file', str(root / 'key'))
  (root / 'key').write_bytes(bytes(range(32)))
  (root / 'key').chmod(0o600)
  shape = ('--channels', '3', '--image_size', '32', '--resize', 'crop', '--scaling', 'unit')
  patients = ('--patient_pattern', r'patient\d+', '--val_fraction', '0.3', '--test_fraction', '0.3')
  assert main(['ingest', '--input', inbox, '--labels', 'folder', '--output', dataset, *key, *shape, *patients]) == 0
  record = json.loads((root / 'dataset/dataset.json').read_text())
  assert record['labels'] == list(_CLASSES)
  assert main(['train', '--dataset', dataset, '--bundle', bundle, '--epochs', '12', '--augment', 'none']) == 0
  output = ('--output', str(root / 'evaluation'))
  assert main(['evaluate', '--dataset', dataset, '--bundle', bundle, *output]) == 0
  metrics = json.loads((root / 'evaluation/metrics.json').read_text())['metrics']
  assert set(metrics['per_class']) == set(_CLASSES)
  assert metrics['summary']['roc_auc'] > 0.9
  assert main(['score', '--input', inbox, '--bundle', bundle, '--output', str(root / 'scores'), *key]) == 0
  rows = ds.dataset(root / 'scores/predictions', format='parquet', partitioning=None).to_table().to_pylist()
  assert len(rows) == 180
  for row in rows:
    scores = {score['label']: score['probability'] for score in row['scores']}
    assert list(scores) == list(_CLASSES)
    assert row['predicted_label'] == max(scores, key=lambda label: scores[label])
    assert row['probability'] == max(scores.values())
    assert row['threshold'] is None

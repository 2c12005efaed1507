import pathlib

import tensorflow as tf

from model.tensorboard import TensorBoardLog
from model.watching import EpochRow


def test_losses_and_validations_can_be_read_back(tmp_path: pathlib.Path) -> None:
  log = TensorBoardLog(tmp_path)
  log.on_step(1, 0.75)
  log.on_step(2, 0.5)
  log.on_epoch(EpochRow(1, 2, 0.625, None, 0.25, 0.96875, 0.875, 1e-3, 3.0))
  events = [
    tf.compat.v1.Event.FromString(record.numpy())
    for path in tmp_path.iterdir()
    for record in tf.data.TFRecordDataset(path)
  ]
  found = {
    (value.tag, event.step): round(float(tf.make_ndarray(value.tensor)), 6)
    for event in events
    for value in event.summary.value
  }
  assert found == {
    ('loss/step', 1): 0.75,
    ('loss/step', 2): 0.5,
    ('loss/train', 2): 0.625,
    ('loss/validation', 2): 0.25,
    ('auc/validation', 2): 0.96875,
    ('accuracy/validation', 2): 0.875,
    ('learning_rate', 2): 0.001,
  }

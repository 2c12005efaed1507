"""A bundle of a model for large images, as far as a launcher looks at it before anything is loaded."""

import dataclasses
import pathlib

from model.bundle import BUNDLE_FILE, decision_facts, file_digests, model_digest, to_json
from tests.pipelines.tiny_bundle import make_bundle
from transforms.preprocess import PreprocessSpec

IMAGE_SIZE_PX = 1024


def write_large_bundle(path: pathlib.Path) -> None:
  """Facts and digests are those of a whole bundle; the SavedModel is a file of no content."""
  (path / 'saved_model').mkdir(parents=True)
  (path / 'saved_model/saved_model.pb').write_bytes(b'')
  bundle = dataclasses.replace(make_bundle(path), spec=PreprocessSpec(IMAGE_SIZE_PX), files=file_digests(path))
  bundle = dataclasses.replace(bundle, model_digest=model_digest(bundle.files, decision_facts(bundle)))
  (path / BUNDLE_FILE).write_text(to_json(bundle))

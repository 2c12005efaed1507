"""What is known of a night from its beginning, and what is found out before anything is scored."""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.bundle import Bundle
from pipelines.inbox import InboxFile, Listing, Patience
from pipelines.launch import config_of
from pipelines.night_options import NightlyOptions
from pipelines.night_work import Slice, Work, cut_slices
from pipelines.staging import digest_of
from pipelines.telemetry import Timings
from transforms.decode import DecodeOptions
from transforms.identifiers import Pseudonyms
from transforms.inputs import Input


@dataclass(frozen=True, slots=True)
class Night:
  """A run of `radbeam nightly`."""

  options: NightlyOptions
  beam_args: Sequence[str]
  run_id: str
  started: datetime.datetime
  inbox: Sequence[Input]
  bundle: Bundle
  decode: DecodeOptions
  pseudonyms: Pseudonyms
  timings: Timings = field(default_factory=Timings)

  @property
  def model(self) -> str:
    """Name and version, as in the paths of the predictions."""
    return f'{self.bundle.name}-{self.bundle.version}'

  @property
  def config(self) -> dict[str, Any]:
    """What decides the rows."""
    return config_of(self.options, self.decode)

  @property
  def patience(self) -> Patience:
    """When a file of the inbox counts as written."""
    options = self.options
    return Patience(options.settle_seconds, options.max_wait_seconds, options.done_marker)

  @property
  def skip_digest(self) -> str:
    """Of the model, the key and the options that were changed: files that this has scored are done.

    Not of the version of radbeam, nor of defaults: an upgrade does not score the whole inbox again.
    """
    return digest_of(
      {'model': self.bundle.model_digest, 'key': self.pseudonyms.fingerprint, 'config': _changed(self.config)}
    )

  def cut(self, wanted: Sequence[tuple[str, InboxFile]]) -> Iterator[Slice]:
    """The work in slices."""
    return cut_slices(wanted, self.options.slice_files, self.options.slice_bytes)


_WAYS = frozenset({'batch_size', 'deterministic'})  # of computing the same figures


def _changed(config: Mapping[str, Any]) -> dict[str, Any]:
  defaults = NightlyOptions(inbox=('x',), bundle='x', output='x').to_config()
  return {name: value for name, value in config.items() if name not in _WAYS and value != defaults.get(name)}


@dataclass(frozen=True, slots=True)
class Found:
  """What the inbox held.

  Attributes:
    left: wanted files that the deadline left to the next run.
  """

  listing: Listing
  files: Sequence[InboxFile]
  work: Work
  left: int

"""Whether the pseudonym key is the one that an output was scored with: under another one every image is a new one."""

from pipelines.exits import UsageError
from pipelines.keys import key_path_if_any, read_site_key
from pipelines.run_record import PRUNE, DamagedRecordError, read_record, recorded_runs
from transforms.identifiers import Pseudonyms


def check_key(output: str, given: str | None) -> None:
  """Refuses to score into an output that holds rows under another key; looks before any key is made.

  Args:
    output: of `score` or `nightly`.
    given: `--pseudonym_key_file`, or None for the key under the user's configuration folder.

  Raises:
    UsageError: if the latest run that names its key had another, or there is no key yet and a run had one.
    KeyFileError: if the key cannot be used.
  """
  expected = latest_fingerprint(output)
  if expected is None:
    return
  path = key_path_if_any(given)
  found = Pseudonyms(read_site_key(path)).fingerprint if path else None
  if found != expected:
    shown = f'the pseudonym key has the fingerprint {found}' if found else 'there is no pseudonym key'
    raise UsageError(
      f'{shown}, but --output {output} was scored under the key with the fingerprint {expected}; give the '
      '--pseudonym_key_file of that key, or another --output: a new key needs a new output, since under it all ids '
      'change, and everything that was scored would be scored and stand there twice'
    )


def latest_fingerprint(output: str) -> str | None:
  """Of the key of the latest run that names one; that is nearly always the latest run."""
  runs = (run_id for run_id in reversed(recorded_runs(output)) if not run_id.endswith(PRUNE))
  found = (_fingerprint_of(output, run_id) for run_id in runs)
  return next((fingerprint for fingerprint in found if fingerprint), None)


def _fingerprint_of(output: str, run_id: str) -> str | None:
  try:
    fingerprint: str | None = read_record(output, run_id).get('pseudonym_key_fingerprint')
  except DamagedRecordError:  # said by who needs more of it
    return None
  return fingerprint

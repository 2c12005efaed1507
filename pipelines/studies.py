"""A row per study beside the rows per image: what its images come to, over all nights in which some of them came.

A night writes the studies that it touched. To know the images that came
earlier it needs no search through years of predictions: the latest study row
names the runs that hold them.
"""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.current import latest_of, model_of
from pipelines.night_record import JOB
from pipelines.publish import part_name, publish_folder
from pipelines.run_record import read_record, recorded_runs
from pipelines.schemas import SCHEMA_VERSION, STUDIES, read_columns, write_table
from transforms import storage

FOLDER: Final = 'studies'
VIEW: Final = 'view:'  # before the name of a view, as a rule
VIEW_MISSING: Final = 'view-missing'
NOTHING_SCORED: Final = 'nothing-scored'
_PART: Final = part_name(0, 1, 'parquet')
_COLUMNS: Final = (
  *('run_id', 'study_id', 'patient_id', 'status', 'view_position', 'quality'),
  *('predicted_label', 'probability', 'threshold', 'scores'),
)
# The more a flag says against a score, the earlier it stands.
_WORST_FIRST: Final = (
  *('blank', 'tiny', 'clipped', 'low-contrast', 'extreme-aspect', 'burned-in', 'burned-in-masked'),
  *('lossy-compressed', 'duplicate-pixels', 'duplicate-content'),
)
Row = Mapping[str, Any]
Record = dict[str, Any]


def publish_studies(
  output: str, night_id: str, run_date: str, slices: Sequence[Mapping[str, Any]], rule: str, staging: str
) -> list[dict[str, Any]]:
  """Writes the rows of the studies that some slices touched; safe to run again.

  Args:
    output: of the night.
    night_id: whose record will commit the rows.
    run_date: of the night.
    slices: records of the slices.
    rule: `max`, `mean`, or `view:` and a view.
    staging: a folder for unfinished files.

  Returns:
    For each model: its name and version, the folder below the output, and the number of studies.
  """
  published = []
  for model in sorted({model_of(record) for record in slices}):
    of_model = [record for record in slices if model_of(record) == model]
    rows = list(_touched_studies(output, of_model, rule))
    if rows:
      folder = f'{FOLDER}/run_date={run_date}/model={model}/run_id={night_id}'
      facts = {'schema_version': SCHEMA_VERSION, 'run_id': night_id, **_model_facts(of_model[0])}
      staged = storage.join(staging, FOLDER, uuid.uuid4().hex)
      with storage.open_write(staged) as file:
        write_table(file, (facts | row for row in rows), STUDIES)
      publish_folder([(staged, _PART)], storage.join(output, folder))
      published.append({'model': model, 'folder': folder, 'studies': len(rows)})
  return published


def _model_facts(record: Mapping[str, Any]) -> dict[str, str]:
  return {f'model_{name}': record['model'][name] for name in ('name', 'version', 'digest')}


def _touched_studies(output: str, slices: Sequence[Mapping[str, Any]], rule: str) -> Iterator[dict[str, Any]]:
  model = model_of(slices[0])
  touched = _studies_of(output, slices)
  earlier = latest_studies(_study_tables(output, model), touched)
  named = {run_id for row in earlier.values() for run_id in row['image_run_ids']}
  records = {record['run_id']: dict(record) for record in slices}
  records |= {run_id: read_record(output, run_id) for run_id in named - records.keys()}
  records |= {record['run_id']: record for record in _runs_without_night(output, model)}
  readable = [records[run_id] for run_id in sorted(records) if 'pruned' not in records[run_id]]
  rows = latest_of(output, readable, _COLUMNS)
  of_studies = rows.filter(pc.is_in(rows['study_id'], pa.array(sorted(touched), pa.string())))
  for study_id, images in _by_study(of_studies.to_pylist()):
    before = earlier.get(study_id)
    yield study_row(study_id, images, rule) | {'supersedes_run_id': before['run_id'] if before else None}


def _studies_of(output: str, records: Iterable[Mapping[str, Any]]) -> set[str]:
  paths = (storage.join(output, record['predictions'], name) for record in records for name in record['files'])
  columns = (read_columns(path, ['study_id'])['study_id'] for path in paths)
  return {study_id for column in columns for study_id in column.unique().to_pylist() if study_id}


def _study_tables(output: str, model: str) -> Iterator[pa.Table]:
  """The study rows of all nights that came to their end, oldest first."""
  for run_id in recorded_runs(output):
    record = read_record(output, run_id)
    if record['job'] == JOB and 'pruned' not in record:
      for published in record.get('studies', ()):
        if published['model'] == model:
          yield read_columns(storage.join(output, published['folder'], _PART))


def _runs_without_night(output: str, model: str) -> Iterator[Record]:
  """Plain `score` runs into the same output: no study row names them."""
  for run_id in recorded_runs(output):
    record = read_record(output, run_id)
    if record.get('files') and 'night_id' not in record and model_of(record) == model:
      yield record


def latest_studies(tables: Iterable[pa.Table], wanted: set[str] | None = None) -> dict[str, dict[str, Any]]:
  """The latest row of each study, or of those that are wanted; tables oldest first."""
  latest: dict[str, dict[str, Any]] = {}
  for table in tables:
    some = table if wanted is None else table.filter(pc.is_in(table['study_id'], pa.array(sorted(wanted), pa.string())))
    latest.update((row['study_id'], row) for row in some.to_pylist())
  return latest


def current_studies(output: str, model: str) -> pa.Table:
  """Each study once, as the latest night that touched it has it.

  Args:
    output: of `nightly`.
    model: name and version, such as `cnn-1`.
  """
  return pa.Table.from_pylist(list(latest_studies(_study_tables(output, model)).values()), STUDIES)


def _by_study(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
  studies: defaultdict[str, list[Row]] = defaultdict(list)
  for row in rows:
    studies[row['study_id']].append(row)
  return sorted(studies.items())


def study_row(study_id: str, images: Sequence[Row], rule: str) -> dict[str, Any]:
  """What the images of a study come to.

  Args:
    study_id: of the study.
    images: its rows, each image once.
    rule: `max` and `mean` are taken for each label over the scored images;
      `view:PA` is the `max` over those of that view.

  Returns:
    The columns that the images decide. Without a score `reason` says why:
    `view-missing`, or `nothing-scored`.
  """
  scored = [image for image in images if image['status'] == 'scored']
  view = rule.removeprefix(VIEW) if rule.startswith(VIEW) else None
  chosen = [image for image in scored if view in (None, image['view_position'])]
  count = {status: sum(image['status'] == status for image in images) for status in ('scored', 'rejected', 'skipped')}
  return {
    'study_id': study_id,
    'patient_id': next((image['patient_id'] for image in images if image['patient_id']), None),
    'rule': rule,
    **(_decision(chosen, rule) if chosen else {}),
    'reason': None if chosen else VIEW_MISSING if scored else NOTHING_SCORED,
    **{f'images_{status}': images_of for status, images_of in count.items()},
    'worst_quality': worst_flag(flag for image in scored for flag in image['quality']),
    'image_run_ids': sorted({image['run_id'] for image in images}),
  }


def worst_flag(flags: Iterable[str]) -> str | None:
  """The flag that says most against a score."""
  found = set(flags)
  return next((flag for flag in (*_WORST_FIRST, *sorted(found)) if flag in found), None)


def _decision(images: Sequence[Row], rule: str) -> dict[str, Any]:
  """Label and probability of all images together, by the rule of one image."""
  threshold = images[0]['threshold']
  scores = _together([_scores(image) for image in images], rule)
  if threshold is None:
    label = max(sorted(scores), key=lambda name: scores[name])
    return {'predicted_label': label, 'probability': scores[label], 'threshold': None}
  positive = _positive_label(images[0])
  other = next((name for name in scores if name != positive), positive)
  is_positive = scores[positive] >= threshold
  return {
    'predicted_label': positive if is_positive else other,
    'probability': scores[positive],
    'threshold': threshold,
  }


def _scores(image: Row) -> dict[str, float]:
  return {score['label']: score['probability'] for score in image['scores']}


def _together(scores: Sequence[Mapping[str, float]], rule: str) -> dict[str, float]:
  values = {label: [one[label] for one in scores] for label in scores[0]}
  if rule == 'mean':
    return {label: sum(some) / len(some) for label, some in values.items()}
  return {label: max(some) for label, some in values.items()}


def _positive_label(image: Row) -> str:
  """The label whose probability the row states: of two, the predicted one if it reaches the threshold."""
  if image['probability'] >= image['threshold']:
    return str(image['predicted_label'])
  return next(label for label in _scores(image) if label != image['predicted_label'])

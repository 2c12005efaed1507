import pathlib
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.crosswalk_search import Place, count_rows, crosswalk_files, ids_of, of_other_keys, search
from pipelines.schemas import CROSSWALK
from transforms.elements import HeaderFacts
from transforms.identifiers import Pseudonyms
from transforms.rows import CrosswalkRow
from transforms.uid_clashes import clash_id

KEY = Pseudonyms(bytes(range(32)))
OTHER_KEY = Pseudonyms(bytes(range(1, 33)))


def line(image: str | None, member: str, of: Pseudonyms = KEY, archive: str = 'a.zip', **more: Any) -> CrosswalkRow:
  """An image by its SOP Instance UID, or a member that is none."""
  facts = HeaderFacts(sop_instance_uid=image)
  known: dict[str, Any] = {
    'image_id': of.image(facts, 1, None) if image else None,
    'source_id': of.archive(f'source {archive} {member}'),
    'frame': 1 if image else None,
    'series_instance_uid': 'series',
    'study_instance_uid': 'study',
    'patient_id': 'patient',
  }
  return CrosswalkRow(archive=archive, member=member, sop_instance_uid=image, **(known | more))


def write(folder: pathlib.Path, run_id: str, *lines: CrosswalkRow) -> None:
  table = pa.Table.from_pylist([asdict(one) for one in lines], CROSSWALK)
  pq.write_table(table, folder / f'crosswalk-{run_id}.parquet', row_group_size=1)


def look_up(folder: pathlib.Path, beginning: str, pseudonyms: Pseudonyms | None = KEY) -> list[Place]:
  return search(beginning, crosswalk_files(str(folder)), pseudonyms)


def shown(found: list[Place]) -> list[tuple[str, str, str]]:
  return [(place['run_id'], place['kind'], place['member']) for place in found]


def image_id(image: str) -> str:
  found = KEY.image(HeaderFacts(sop_instance_uid=image), 1, None)
  assert found
  return found


def test_every_place_is_there_once_and_the_newest_first(tmp_path: pathlib.Path) -> None:
  write(tmp_path, 'r1', line('1', 'a'), line('2', 'b'))
  write(tmp_path, 'r3', line('1', 'a'))
  write(tmp_path, 'r2', line('1', 'a', archive='corrected.zip'), line('1', 'a'))
  found = look_up(tmp_path, image_id('1'))
  assert [(place['run_id'], place['archive']) for place in found] == [('r3', 'a.zip'), ('r2', 'corrected.zip')]
  assert ids_of(found) == {('image', image_id('1'))}
  assert count_rows(crosswalk_files(str(tmp_path))) == 5


@pytest.mark.parametrize(
  ('kind', 'made', 'members'),
  [
    ('study', KEY.optional('study', 'study'), ['a', 'b']),
    ('study', KEY.optional('study', 'another'), ['c']),
    ('series', KEY.optional('series', 'series'), ['a', 'b', 'c']),
    ('patient', KEY.optional('patient', 'patient'), ['a', 'b', 'c']),
    ('file', KEY.archive('a.zip'), ['a', 'b', 'c']),
    ('file', KEY.archive('a.zip/b'), ['b']),
    ('source', KEY.archive('source a.zip b'), ['b']),
    ('image', image_id('1'), ['a']),
  ],
)
@pytest.mark.parametrize('digits', [8, 32])
def test_ids_of_all_kinds_are_found(
  tmp_path: pathlib.Path, kind: str, made: str, members: list[str], digits: int
) -> None:
  write(tmp_path, 'r1', line('1', 'a'), line(None, 'b'), line('3', 'c', study_instance_uid='another'))
  assert shown(look_up(tmp_path, made[:digits])) == [('r1', kind, member) for member in members]


def test_without_a_key_images_and_sources_are_found_and_nothing_else(tmp_path: pathlib.Path) -> None:
  write(tmp_path, 'r1', line('1', 'a'))
  assert shown(look_up(tmp_path, image_id('1'), None)) == [('r1', 'image', 'a')]
  study = KEY.optional('study', 'study')
  assert study
  assert look_up(tmp_path, study, None) == []


def test_a_beginning_that_several_ids_have_finds_them_all(tmp_path: pathlib.Path) -> None:
  write(tmp_path, 'r1', line('1', 'a', image_id='12345678a'), line('2', 'b', source_id='12345678b'))
  assert ids_of(look_up(tmp_path, '12345678', None)) == {('image', '12345678a'), ('source', '12345678b')}


def test_crosswalks_of_another_key_are_known_and_lead_from_its_ids(tmp_path: pathlib.Path) -> None:
  write(tmp_path, 'r1', line(None, 'a', OTHER_KEY), line('1', 'b', OTHER_KEY))
  write(tmp_path, 'r2', line('1', 'c'))
  write(tmp_path, 'r3', line(None, 'd'))  # says nothing of its key
  foreign = of_other_keys(crosswalk_files(str(tmp_path)), KEY)
  assert [pathlib.Path(path).stem for path in foreign] == ['crosswalk-r1']
  image = OTHER_KEY.image(HeaderFacts(sop_instance_uid='1'), 1, None)
  assert image
  assert shown(look_up(tmp_path, image)) == [('r1', 'image', 'b')]


def test_an_id_of_uid_and_pixels_is_of_the_same_key(tmp_path: pathlib.Path) -> None:
  clash = clash_id(image_id('1'), 'a' * 64)
  write(tmp_path, 'r1', line('1', 'a', image_id=clash))
  assert shown(look_up(tmp_path, clash)) == [('r1', 'image', 'a')]
  files = crosswalk_files(str(tmp_path))
  assert of_other_keys(files, KEY) == []
  assert of_other_keys(files, OTHER_KEY) == files

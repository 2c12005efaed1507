"""Names are planted wherever an export can hold them; nothing that the jobs leave behind, crosswalk aside, has one."""

import base64
import bz2
import gzip
import io
import json
import os
import pathlib
import stat
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import apache_beam as beam
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from model.bundle import load_bundle
from pipelines import score
from pipelines.launch import found_inputs
from pipelines.options import ScoreOptions
from pipelines.run_record import now
from pipelines.score_run import build, scoring_of
from tests.end_to_end.leaks import Search, armoured, unpacked
from tests.end_to_end.planted import write_export
from tests.end_to_end.planted_pictures import text_chunks, with_chunks
from tests.end_to_end.planted_texts import DATES, NAME, PATIENT, PHONE, TAIL, TEXTS, UID_ROOT
from tests.jobs.killed_jobs import kill_once_a_shard_is_finished
from tests.transforms.pictures import gradient

# Jobs one after another, each as a user starts it but for the time that loading TensorFlow takes.
_MAIN = """
import json, os, sys
from pipelines.cli import main
for name, arguments in json.loads(sys.argv[1]).items():
  for number, stream in enumerate(('out', 'err'), 1):
    os.dup2(os.open(f'{sys.argv[2]}/{name}.{stream}', os.O_WRONLY | os.O_CREAT), number)
  code = main(arguments)
  with open(f'{sys.argv[2]}/{name}.exit', 'w') as file:
    file.write(str(code))
"""
if TYPE_CHECKING:
  from apache_beam.runners.portability.fn_api_runner import fn_runner

_KEY = bytes(range(7, 39))
_FOLDERS = ('out', 'tmp', 'home', 'logs', 'cwd')  # all that may be written to, crosswalk aside
# Every place of the export that holds a text of its own.
PLACES = """
  address broken-age broken-bits broken-center broken-charset broken-frames broken-padding broken-photometric
  broken-pixels broken-ratio broken-rows broken-samples broken-slope broken-sop-class broken-window-sequence codestream
  comments directory document exif-artist exif-description extra file-meta image-comments institution issuer
  jpeg-comment letter lut manufacturer member-comment model noise other-name patient-name pax pax-global pax-private
  png-exif png-icc png-itext png-private png-text png-ztext preamble private private-unknown profile protocol referrer
  report request scan sequence serial series study tar-header trailing window xmp zip-comment
"""
PLACES_BY_DASH = """
  bad-profile deep.tar.xz empty-folder exif-utf16 fifo folder gzip-name group inner.zip link member nowhere
  png-keyword png-profile stream.tar.gz tar-link target user zip
"""


@dataclass(frozen=True, slots=True)
class Site:
  """A machine of its own: every folder that a job may write to is below the root."""

  root: pathlib.Path

  @property
  def environment(self) -> dict[str, str]:
    folders = {'HOME': 'home', 'TMPDIR': 'tmp', 'XDG_CONFIG_HOME': 'home/config', 'XDG_CACHE_HOME': 'home/cache'}
    path = os.pathsep.join(filter(None, (os.getcwd(), os.environ.get('PYTHONPATH'))))
    return os.environ | {'PYTHONPATH': path} | {name: str(self.root / folder) for name, folder in folders.items()}

  def start(self, jobs: Mapping[str, Sequence[str]]) -> 'subprocess.Popen[bytes]':
    """Runs jobs; what they print is kept beside what they write."""
    given = {name: [word.replace('@', f'{self.root}/') for word in words] for name, words in jobs.items()}
    command = [sys.executable, '-c', _MAIN, json.dumps(given), str(self.root / 'logs')]
    return subprocess.Popen(command, env=self.environment, cwd=self.root / 'cwd', start_new_session=True)

  def exit_codes(self) -> dict[str, int]:
    return {path.stem: int(path.read_text()) for path in self.root.glob('logs/*.exit')}


_SMALL = ('--image_size', '32', '--val_fraction', '0.3', '--test_fraction', '0.3')
_KEYED = ('--pseudonym_key_file', '@key')
_READING = ('--input', '@inbox', *_KEYED)
_TOLERANT = ('--max_reject_ratio', '1', '--crosswalk', '@crosswalk')
_SELECTED = ('--select', '@rules.yaml')


@pytest.fixture(scope='module')
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
  """After all jobs, and some that fail."""
  site = Site(tmp_path_factory.mktemp('site'))
  for folder in (*_FOLDERS, 'crosswalk'):
    (site.root / folder).mkdir()
  (site.root / 'key').write_bytes(_KEY)
  (site.root / 'key').chmod(stat.S_IRUSR)
  write_export(site.root)
  write_bad_csvs(site.root)
  labels = ('--labels', '@labels.csv')
  score = ('score', *_READING, '--bundle', '@out/bundle')
  ingest = ('ingest', *_READING, *_SMALL, '--output')
  night = (
    *('nightly', '--inbox', '@inbox', *_KEYED, '--bundle', '@out/bundle', '--output', '@out/nights'),
    *('--settle_seconds', '0', '--log_file', '@out/night.log'),
  )
  chosen = ('--patient_from', 'pattern', '--patient_pattern', 'qqq')
  jobs = {
    'ingest': (*ingest, '@out/dataset', *labels, *_TOLERANT, *_SELECTED),
    'train': ('train', '--dataset', '@out/dataset', '--bundle', '@out/bundle', '--epochs', '1'),
    'evaluate': ('evaluate', '--dataset', '@out/dataset', '--bundle', '@out/bundle', '--output', '@out/evaluation'),
    'score': (*score, '--output', '@out/scores', *_TOLERANT, *_SELECTED),
    'rejects': (*score, '--output', '@out/rejects', '--max_reject_ratio', '0'),
    'contradiction': (*ingest, '@out/none', '--labels', '@contradiction.csv'),
    'columns': (*ingest, '@out/none', '--labels', '@columns.csv'),
    'no-patient': (*ingest, '@out/none', *labels, *chosen),
    'dry': (*score, '--output', '@out/none', '--dry_run'),
    'inspect': ('inspect', '@inbox', *_KEYED),
    'inspect-json': ('inspect', '@inbox', '--json'),
    'inspect-one': ('inspect', '@inbox', '--member', '1', '--output', '@out/picture.png', *_SELECTED),
    'nightly': (*night, '--metrics_file', '@out/night.prom', *_TOLERANT, *_SELECTED),
    'nothing-new': (*night, *_TOLERANT, *_SELECTED, '--log_format', 'json'),
    'night-oops': (*night, '--inbox', f'@{NAME}/{TAIL}', '--log_format', 'json'),
    'runs': ('runs', '@out/nights', '--html', '@out/nights.html'),
    'runs-json': ('runs', '@out/nights', '--json'),
    'again': (*score, '--output', '@out/scores', *_TOLERANT, *_SELECTED),
  }
  assert site.start(jobs).wait() == 0
  return site


def write_bad_csvs(root: pathlib.Path) -> None:
  lines = [f'{NAME}-x.dcm,healthy,{PATIENT}', f'{NAME}-x.dcm,sick,{PATIENT}']
  (root / 'contradiction.csv').write_text('\n'.join(['member,label,patient', *lines]))
  (root / 'columns.csv').write_text('\n'.join([f'{NAME},{PATIENT},{TAIL}', *lines]))


@pytest.fixture(scope='module')
def search() -> Search:
  return Search(TEXTS, [_KEY])


def test_the_jobs_end_as_they_should(site: Site) -> None:
  assert site.exit_codes() == {
    **dict.fromkeys(('ingest', 'train', 'evaluate', 'score', 'dry', 'inspect', 'inspect-json', 'inspect-one'), 0),
    **dict.fromkeys(('nightly', 'runs', 'runs-json'), 0),
    **dict.fromkeys(('contradiction', 'columns', 'no-patient', 'again'), 2),
    'nothing-new': 3,
    'rejects': 4,
    'night-oops': 7,
  }


def test_every_place_is_planted(site: Site) -> None:
  packed = [part for path in site.root.glob('inbox/**/*') if path.is_file() for _, part in unpacked(path.read_bytes())]
  found = list(site.root.glob('inbox/**/*'))
  names = '\n'.join([*map(str, found), *(os.readlink(path) for path in found if path.is_symlink())]).encode()
  content = b'\n'.join([names, *packed])
  content += content.replace(b'\0', b'')  # UTF-16 of ASCII
  planted = [*(f'{NAME}^{place}' for place in PLACES.split()), *(f'{NAME}-{place}' for place in PLACES_BY_DASH.split())]
  planted += [f'{PATIENT}-{place}' for place in ('csv-1', 'dicom-0', 'ids', 'other', 'acc', 'directory')]
  planted += [f'{UID_ROOT}.{kind}.0' for kind in (1, 2, 3)] + [f'{NAME}BROKEN'.upper(), f'{NAME}AE', f'{NAME}STATION']
  content += (site.root / 'labels.csv').read_bytes()
  assert [text for text in (*planted, *TEXTS) if text.encode() not in content] == []


def test_nothing_planted_is_in_what_the_jobs_leave_behind(site: Site, search: Search) -> None:
  kinds = {path.suffix for path in (site.root / 'out').rglob('*')}
  assert {'.parquet', '.tfrecord', '.json', '.pb', '.html', '.png', '.keras', '.prom', '.log'} <= kinds
  assert [hit for folder in _FOLDERS for hit in search.below(site.root / folder)] == []


def test_the_crosswalk_alone_leads_back(site: Site) -> None:
  crosswalk = site.root / 'crosswalk'
  for text in (NAME, TAIL, PATIENT, UID_ROOT, DATES[0]):
    assert len(Search([text]).below(crosswalk)) > 10, text
  assert Search([PHONE, 'comments', 'manufacturer']).below(crosswalk) == []
  assert {path.suffix for path in crosswalk.iterdir()} == {'.parquet'}


@pytest.mark.parametrize('folder', ['dataset/index', 'scores/predictions'])
def test_dates_are_no_columns_and_great_age_is_90(folder: str, site: Site) -> None:
  table = ds.dataset(site.root / 'out' / folder, format='parquet', partitioning=None).to_table()
  assert [name for name in table.column_names if 'date' in name or 'birth' in name] == []
  assert {50, 90} <= set(table['age_years'].to_pylist())
  assert max(filter(None, table['age_years'].to_pylist())) == 90
  assert set(table['modality'].to_pylist()) <= {None, 'CR', 'other'}


def test_a_run_that_is_killed_leaves_nothing_either(site: Site, search: Search) -> None:
  killed = site.root / 'killed'
  killed.mkdir()
  process = site.start({'killed': ('score', *_READING, '--bundle', '@out/bundle', '--output', '@killed', *_TOLERANT)})
  kill_once_a_shard_is_finished(process, killed / '.staging')
  assert search.below(killed) == []
  assert search.below(site.root / 'tmp') == []
  assert search.below(site.root / 'logs') == []


def test_neither_the_key_nor_a_name_is_part_of_a_pipeline(
  site: Site, search: Search, runner: 'fn_runner.FnApiRunner', tmp_path: pathlib.Path
) -> None:
  key, bundle = str(site.root / 'key'), load_bundle(str(site.root / 'out/bundle'))
  options = ScoreOptions(
    input=(str(site.root / 'inbox'),), bundle=(str(bundle.path),), output=str(tmp_path), pseudonym_key_file=key
  )
  inputs = found_inputs(options.input)
  run, spec = score.plan(scoring_of(options, [bundle]), inputs, options.run_date, options.overwrite, now())
  pipeline = beam.Pipeline(runner=runner)
  build(pipeline, inputs, spec, run)
  proto = pipeline.to_runner_api().SerializeToString()
  content = proto + armoured(proto)
  assert key.encode() in content  # the path alone: so functions were unpacked
  assert search.within(content) == []


# --- the search itself


def parquet(text: str) -> bytes:
  buffer = io.BytesIO()
  pq.write_table(pa.table({'a': [text] * 3}), buffer, compression='zstd')
  return buffer.getvalue()


def zipped(data: bytes) -> bytes:
  buffer = io.BytesIO()
  with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
    archive.writestr('weights', data)
  return buffer.getvalue()


@pytest.mark.parametrize(
  'data',
  [
    f'…{NAME}…'.encode(),
    NAME.upper().encode(),
    NAME.encode('utf-16-le'),
    b'x' + NAME.encode('utf-16-be'),
    TAIL.encode(),
    TAIL.encode('latin-1'),
    TAIL.upper().encode('utf-16-be'),
    ascii(TAIL).encode(),
    NAME.encode().hex().encode(),
    NAME.encode('utf-16-le').hex().upper().encode(),
    *(base64.b64encode(b'-' * before + TAIL.encode() + b'.') for before in range(4)),
    gzip.compress(NAME.encode()),
    zipped(gzip.compress(f'a{PHONE}'.encode())),
    parquet(f'of {PATIENT} there'),
    zipped(parquet(TAIL)),
    with_chunks(gradient(bits=8), text_chunks()[1:2]),
    with_chunks(gradient(bits=8), text_chunks()[2:3]),
    _KEY,
    b'key:' + _KEY.hex().encode(),
    base64.b64encode(b'ab' + _KEY),
  ],
)
def test_the_search_finds_every_form(data: bytes, search: Search) -> None:
  assert search.within(data)


@pytest.mark.parametrize(
  'data', [b'', b'Zwirn feld', parquet('nobody'), zipped(b'nothing'), b'PK\x03\x04', b'\x1f\x8b']
)
def test_the_search_finds_nothing_else(data: bytes, search: Search) -> None:
  assert search.within(data) == []


def test_the_search_looks_at_names(tmp_path: pathlib.Path, search: Search) -> None:
  (tmp_path / f'a {NAME}').mkdir()
  assert search.below(tmp_path)


def test_what_is_armoured_is_unpacked() -> None:
  packed = base64.b64encode(bz2.compress(NAME.encode() * 30))
  assert NAME.encode() in armoured(b'payload ' + packed + b' end')

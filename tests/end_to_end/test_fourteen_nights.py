"""Two weeks of a hospital: what the rows say afterwards is what a list on paper says."""

import pathlib
from dataclasses import dataclass, field

import pytest

from pipelines.current import current
from pipelines.exits import Exit
from tests.end_to_end.nights import Site, radiograph
from tests.transforms.archive_files import tar_bytes, zip_bytes
from transforms.elements import HeaderFacts
from transforms.identifiers import Pseudonyms

BRIGHTEST = {'1': 256, '2': 512}
Images = dict[str, int]  # by the last part of the SOP Instance UID, what the model sees


@dataclass
class Paper:
  """The independent recomputation: files and images in plain dictionaries, none of the code under test.

  Attributes:
    files: what lies in the inbox: by name the bytes, and the images that can be read of them.
    done: (name, bytes, model) that were scored.
    scores: by model and image, the latest probability.
    failed: by model, the names of files of which nothing can be read.
  """

  files: dict[str, tuple[bytes, Images]] = field(default_factory=dict)
  done: set[tuple[str, bytes, str]] = field(default_factory=set)
  scores: dict[tuple[str, str], float] = field(default_factory=dict)
  failed: dict[str, set[str]] = field(default_factory=lambda: {'1': set(), '2': set()})

  def score(self, model: str, names: list[str]) -> int:
    """Scores files in the order of their arrival, unless that was done; how many were scored."""
    count = 0
    for name in names:
      content, images = self.files[name]
      if (name, content, model) not in self.done:
        self.done.add((name, content, model))
        count += 1
        self.failed[model].discard(name)
        if not images:
          self.failed[model].add(name)
        for image, grey in images.items():
          self.scores[model, image] = grey / BRIGHTEST[model]
    return count


class Hospital:
  """Keeps the inbox and the paper in step."""

  def __init__(self, site: Site) -> None:
    self.site = site
    self.paper = Paper()
    self.model = '1'
    self.day = 0
    self.arrivals: list[str] = []
    self.first_days: dict[tuple[str, bytes], str] = {}

  def deliver(self, name: str, images: Images, content: bytes | None = None, readable: bool = True) -> None:
    """A file arrives, or another in its place."""
    files = [(f'{image}.dcm', radiograph(image, grey)) for image, grey in images.items()]
    made = {'.zip': zip_bytes(files), '.tar': tar_bytes(files)}.get(name[-4:], files[0][1])
    content = made if content is None else content
    self.site.deliver(name, content)
    self.paper.files[name] = content, images if readable else {}
    self.arrivals = [*(one for one in self.arrivals if one != name), name]

  def rename(self, old: str, new: str) -> None:
    (self.site.inbox / old).rename(self.site.inbox / new)
    self.paper.files[new] = self.paper.files.pop(old)
    self.arrivals = [new if one == old else one for one in self.arrivals]

  def remove(self, name: str) -> None:
    (self.site.inbox / name).unlink()
    del self.paper.files[name]
    self.arrivals.remove(name)

  def roll_out(self, model: str) -> None:
    self.model = model
    self.site.roll_out(model)

  def night(self, *more: str) -> None:
    """A night passes: on the machine, and on paper."""
    self.day += 1
    date = f'2026-01-{self.day:02d}'
    seen = {name for name, content, _ in self.paper.done if self.paper.files.get(name, (b'',))[0] == content}
    first_scored = [name for name in self.arrivals if name not in seen]
    scored = self.paper.score(self.model, first_scored + [name for name in self.arrivals if name in seen])
    for name in self.arrivals:
      self.first_days.setdefault((name, self.paper.files[name][0]), date)
    code = self.site.night('--run_date', date, '--slice_files', '3', *more)
    assert code == (Exit.DONE if scored else Exit.NOTHING_TO_DO), date
    assert self.site.records()[-1]['inbox']['new'] == scored
    self.compare()

  def backfill(self, first: int, last: int, model: str) -> None:
    """The days `first` to `last` once more, by another model."""
    dates = f'2026-01-{first:02d}', f'2026-01-{last:02d}'
    names = [
      name
      for name in self.arrivals
      if dates[0] <= self.first_days.get((name, self.paper.files[name][0]), '') <= dates[1]
    ]
    ordered = sorted(names, key=lambda name: self.first_days[name, self.paper.files[name][0]])
    assert self.paper.score(model, ordered)
    bundle = str(self.site.models / model)
    assert self.site.night('--bundle', bundle, '--backfill', '..'.join(dates), '--slice_files', '3') == Exit.DONE
    self.compare()

  def compare(self) -> None:
    """The rows against the paper, for each model."""
    pseudonyms = Pseudonyms(self.site.key.read_bytes())
    for model in BRIGHTEST:
      rows = current(str(self.site.output), f'tiny-{model}').to_pylist()
      found = {row['image_id']: row['probability'] for row in rows if row['status'] == 'scored'}
      expected = {
        pseudonyms.image(HeaderFacts(sop_instance_uid=f'1.2.826.{image}'), 1, None): score
        for (of_model, image), score in self.paper.scores.items()
        if of_model == model
      }
      assert found == expected
      assert len(found) == sum(row['status'] == 'scored' for row in rows)
      failed = {pseudonyms.archive(f'inbox/{name}') for name in self.paper.failed[model]}
      assert {row['file_id'] for row in rows if row['status'] == 'rejected'} == failed


@pytest.fixture
def hospital(tmp_path: pathlib.Path, tiny_models: pathlib.Path, scored_by_numpy: None) -> Hospital:
  return Hospital(Site(tmp_path / 'site', tiny_models))


def test_two_weeks_end_with_the_rows_that_a_list_on_paper_has(hospital: Hospital) -> None:
  hospital.deliver('monday/a.zip', {'1': 10, '2': 20})
  hospital.deliver('monday/b.tar', {'3': 30})
  hospital.deliver('monday/c.dcm', {'4': 40})
  hospital.night()  # 1: the first

  hospital.deliver('d.zip', {'5': 50, '6': 60})
  hospital.night()  # 2: new ones beside unchanged ones

  hospital.deliver('corrected.zip', {'2': 22})
  hospital.night()  # 3: a corrected study under another name

  hospital.rename('monday/a.zip', 'tuesday-a.zip')
  hospital.deliver('e.zip', {'7': 70})
  hospital.night()  # 4: a renamed archive is read again, and its rows replace the corrected one: the latest run wins

  hospital.deliver('corrected.zip', {'2': 23})
  broken = zip_bytes([('8.dcm', radiograph('8', 80))])[:50]
  hospital.deliver('f.zip', {'8': 80}, content=broken, readable=False)
  hospital.night()  # 5: corrected once more in its place; one that broke on its way

  hospital.deliver('f.zip', {'8': 80})
  hospital.night()  # 6: the broken one again, whole

  hospital.deliver('g.zip', {'9': 90})
  hospital.day += 1  # 7: nobody came
  hospital.deliver('h.dcm', {'10': 100})
  hospital.night()  # 8: the two evenings together

  hospital.roll_out('2')
  hospital.deliver('i.zip', {'11': 110})
  hospital.night()  # 9: another model scores all that lies there

  hospital.deliver('late/j.zip', {'12': 120})
  hospital.deliver('again.zip', {'5': 50, '6': 60})
  hospital.night()  # 10: a late study, and one that was sent twice

  hospital.roll_out('1')
  hospital.night()  # 11: rolled back: what only the other had seen

  hospital.deliver('k.zip', {'13': 130})
  hospital.remove('d.zip')
  hospital.night()  # 12: what is taken from the inbox keeps its rows

  hospital.backfill(12, 12, '2')

  hospital.deliver('k.zip', {'14': 140})
  hospital.night()  # 13: the same name with other images: those of yesterday stay

  hospital.night()  # 14: nothing new
  assert hospital.day == 14

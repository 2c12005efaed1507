import dataclasses
import datetime
import re
from collections.abc import Sequence
from html.parser import HTMLParser

import pytest

from pipelines.night_figures import NightFigures, figures_of
from pipelines.runs_charts import Chart, Column, Series, columns_of, draw, model_changes, ticks_of
from pipelines.runs_page import page_of, prevalence
from tests.pipelines.night_records import FIRST, NEGATIVE, POSITIVE, month, night, nothing_new

_NOW = datetime.datetime(2026, 2, 3, 7, tzinfo=datetime.UTC)
_VOID = {'meta', 'br'}


class Page(HTMLParser):
  """What a browser finds: elements with their attributes, the texts in them, and what is not closed."""

  def __init__(self, html: str) -> None:
    super().__init__()
    self.elements: list[tuple[str, dict[str, str | None]]] = []
    self.texts: list[tuple[str, str]] = []
    self.wrong: list[str] = []
    self._open: list[str] = []
    self.feed(html)
    self.close()
    self.wrong += self._open

  def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
    self.elements.append((tag, dict(attrs)))
    if tag not in _VOID:
      self._open.append(tag)

  def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
    self.elements.append((tag, dict(attrs)))

  def handle_endtag(self, tag: str) -> None:
    if not self._open or self._open.pop() != tag:
      self.wrong.append(f'/{tag}')

  def handle_data(self, data: str) -> None:
    if data.strip():
      self.texts.append((self._open[-1] if self._open else '', data))

  def all(self, tag: str) -> list[dict[str, str | None]]:
    return [attributes for name, attributes in self.elements if name == tag]

  def text(self, tag: str) -> list[str]:
    return [text for name, text in self.texts if name == tag]


def nights(count: int = 30) -> list[NightFigures]:
  return [figures_of(record) for record in list(month())[:count]][::-1]


@pytest.mark.parametrize('count', [0, 1, 2, 30])
def test_the_page_is_whole_with_any_number_of_nights(count: int) -> None:
  page = Page(page_of(nights(count), _NOW))
  assert page.wrong == []
  assert len(page.all('figure')) == (7 if count else 0)
  assert page.text('title')[0] == 'radbeam: the latest nights'
  rows = [attributes for attributes in page.all('th') if attributes.get('scope') == 'row']
  assert len(rows) == count
  assert ('No night has left a record yet.' in ''.join(text for _, text in page.texts)) == (count == 0)
  assert not any('nan' in text.lower().split() or 'None' in text for _, text in page.texts)


def test_nights_on_which_nothing_was_rejected_have_a_page() -> None:
  clean = [night(FIRST, reasons={}, drift={}, predicted={}), nothing_new(FIRST)]
  page = Page(page_of([figures_of(record) for record in clean], _NOW))
  assert len(page.text('td')) > 0


def test_nothing_is_fetched_and_nothing_runs() -> None:
  html = page_of(nights(), _NOW)
  page = Page(html)
  assert {'script', 'link', 'img', 'iframe', 'image', 'use', 'a'} & {tag for tag, _ in page.elements} == set()
  assert not re.search(r'https?:|//|url\(|@import|\son\w+=', html)
  assert {one['content'] for one in page.all('meta') if one.get('http-equiv')} == {
    "default-src 'none'; style-src 'unsafe-inline'"
  }


_HOSTILE = '<script>alert("1")</script>\'&'


def test_every_text_is_escaped() -> None:
  record = night(
    run_date=_HOSTILE,
    state=_HOSTILE,
    backfill=_HOSTILE,
    recovered_lock=_HOSTILE,
    started=None,
    reasons={_HOSTILE: 3},
    predicted={_HOSTILE: 1},
    model={'name': _HOSTILE, 'version': '1', 'positive_label': _HOSTILE},
    alarms=[{'code': _HOSTILE, 'level': _HOSTILE, 'detail': _HOSTILE}],
  )
  earlier = night(FIRST.replace(day=1), model={'name': 'chest'})
  later = figures_of(record | {'run_id': _HOSTILE})
  page = Page(page_of([later, figures_of(earlier)], _NOW))
  assert page.wrong == []
  assert page.all('script') == []
  shown = [text for _, text in page.texts] + [value or '' for _, one in page.elements for value in one.values()]
  assert sum(_HOSTILE in text for text in shown) > 10


def test_the_table_has_what_the_charts_show() -> None:
  record = list(month())[-1]
  cells = Page(page_of(nights()[:1], _NOW)).text('td')
  for figure in (*record['rows'].values(), record['inbox']['new']):
    assert f'{figure:,}' in cells
  assert f'{record["predicted"][POSITIVE] / record["rows"]["scored"]:.1%}' in cells
  assert f'{record["drift"]["features"]["score"]["psi"]:.3f}' in cells
  assert [text for text in cells if 'decode-failed' in text] != []


def test_a_chart_is_described_for_those_who_do_not_see_it() -> None:
  page = Page(page_of(nights(), _NOW))
  spoken = [one['aria-label'] or '' for one in page.all('div') if one.get('role') == 'img']
  assert [text.partition(',')[0] for text in spoken] == page.text('h2')[1:7]
  assert all('30 nights' in text and 'table below' in text for text in spoken)


def test_days_without_a_run_are_seen_and_few_nights_are_no_wide_bars() -> None:
  columns = columns_of(nights())
  assert [column.night is None for column in columns].count(True) == 1
  assert columns[9].night is None
  few = columns_of(nights(2))
  assert [column.blank for column in few] == [True] * 8 + [False] * 2
  long_ago = figures_of(night(FIRST.replace(year=2025)))
  assert len(columns_of([*nights(9), long_ago])) == 10 + 3


def test_a_change_of_the_model_is_marked() -> None:
  columns = columns_of(nights())
  ((place, model),) = model_changes(columns)
  changed, before = columns[place].night, columns[place - 1].night
  assert changed
  assert before
  assert (before.model, changed.model, model) == ('chest-1.4', 'chest-1.5', 'chest-1.5')


@pytest.mark.parametrize(
  ('largest', 'whole', 'expected'),
  [
    (0, True, [0, 1]),
    (1, True, [0, 1]),
    (3, True, [0, 1, 2, 3]),
    (7, True, [0, 3, 6, 9]),
    (5900, True, [0, 2000, 4000, 6000]),
    (0.36, False, [0, 0.2, 0.4]),
    (0.3, False, [0, 0.1, 0.2, 0.3]),
    (27.3, False, [0, 10, 20, 30]),
  ],
)
def test_ticks_are_round_figures(largest: float, whole: bool, expected: Sequence[float]) -> None:
  assert ticks_of(largest, whole) == pytest.approx(expected)


def rects(html: str, style: str) -> list[tuple[float, float]]:
  found = re.findall(rf'<rect class="{style}" x="[\d.]+" y="([\d.]+)" width="0.76" height="([\d.]+)"', html)
  return [(float(y), float(height)) for y, height in found]


def chart(*series: Series, stacked: bool = True, clipped: bool = False) -> Chart:
  return Chart('Rows', 'note', series, lambda value: f'{value:g}', stacked, whole=True, clipped=clipped)


def test_bars_are_as_high_as_their_figures() -> None:
  scored, rejected = Series('scored', 'c0', (6, 3, None)), Series('rejected', 'c1', (3, None, None))
  html = draw(chart(scored, rejected), [Column(one) for one in nights(3)])
  assert rects(html, 'c0') == [(40.0, 60.0), (70.0, 30.0)], 'of 10, the uppermost tick'
  assert rects(html, 'c1') == [(10.0, 30.0)]


def test_a_bar_far_beyond_the_others_is_cut_off_and_says_so() -> None:
  values = tuple([10.0] * 10 + [4000.0])
  columns = [Column(one) for one in nights(11)]
  html = draw(chart(Series('rejected', 'c1', values), clipped=True), columns)
  assert rects(html, 'c1')[-1] == (0, 100)
  assert rects(html, 'c1')[0][1] > 30
  assert re.findall(r'class="cut"[^>]*>([^<]*)<', html) == ['4000']
  whole = draw(chart(Series('rejected', 'c1', values)), columns)
  assert 'class="cut"' not in whole
  assert rects(whole, 'c1')[0][1] < 1


def test_a_line_goes_past_what_is_not_known() -> None:
  html = draw(chart(Series('psi', 'c0', (0, None, 3)), stacked=False), [Column(one) for one in nights(3)])
  assert re.findall(r'class="line c0" d="([^"]*)"', html) == ['M0.5 100.0L2.5 0.0']
  assert html.count('class="dot c0"') == 2


def test_prevalence_is_of_what_was_predicted() -> None:
  figures = figures_of(night(predicted={POSITIVE: 1, NEGATIVE: 3}))
  assert prevalence(figures, POSITIVE) == 0.25
  assert prevalence(dataclasses.replace(figures, predicted={}), POSITIVE) is None
  assert prevalence(figures, 'other') == 0


def test_without_a_positive_label_each_label_has_a_line() -> None:
  record = night(predicted={'a': 1, 'b': 2, 'c': 3}, model={'name': 'chest', 'version': '1'})
  page = Page(page_of([figures_of(record)], _NOW))
  assert [text for text in page.text('li') if text in 'abc'] == ['c', 'b', 'a']
  assert 'Share of each predicted label.' in page.text('p')

"""Charts of the nights as HTML: bars and lines as inline SVG that stretches, its labels as text that does not.

A chart has one column a night, and one for the days without a run between two
of them. Whatever it says is in the table of the page too.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from pipelines.night_figures import INTERRUPTED, NightFigures
from pipelines.runs_text import NOT_KNOWN

_HEIGHT: Final = 100.0  # of the drawing; the page stretches it
_TICKS: Final = 4
_NICE: Final = (1, 2, 2.5, 5, 10)
_LABELS_WIDE, _LABELS_NARROW = 10, 5
_FEW: Final = 5  # bars of which none is called usual
_BEYOND: Final = 2.5  # times the usual are cut off
_LEAST_COLUMNS: Final = 10
_MAX_GAP: Final = 3  # columns for days without a run, however many they are

Format = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Column:
  """A night; None stands for days without a run, or is blank, where there are few nights."""

  night: NightFigures | None
  blank: bool = False

  @property
  def label(self) -> str:
    """Month and day on which the night began."""
    return began_on(self.night)[5:] if self.night else ''


@dataclass(frozen=True, slots=True)
class Series:
  """A figure of each column; None where it is not known.

  Attributes:
    style: the class that colours it.
    dashed: a level to compare with, such as a median.
  """

  name: str
  style: str
  values: tuple[float | None, ...]
  dashed: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
  """What is drawn.

  Attributes:
    note: a sentence on what to look for.
    stacked: bars upon one another, else lines.
    whole: whether figures are whole numbers, so that ticks are too.
    least: the axis goes at least so far.
    clipped: bars far beyond all others are cut off and say how high they are, so that the others can be seen.
  """

  name: str
  note: str
  series: tuple[Series, ...]
  format: Format
  stacked: bool = False
  whole: bool = False
  least: float = 0.0
  clipped: bool = False


def began_on(night: NightFigures) -> str:
  """The day on which a night began."""
  return night.started.date().isoformat() if night.started else night.run_date


def columns_of(nights: Sequence[NightFigures]) -> list[Column]:
  """Columns in the order of time; the nights come newest first."""
  columns: list[Column] = []
  before: NightFigures | None = None
  for night in reversed(nights):
    if before and before.started and night.started:
      missed = (night.started.date() - before.started.date()).days - 1
      columns += [Column(None)] * min(max(missed, 0), _MAX_GAP)
    columns.append(Column(night))
    before = night
  return [Column(None, blank=True)] * (_LEAST_COLUMNS - len(columns)) + columns


def ticks_of(largest: float, whole: bool) -> list[float]:
  """Round figures from 0 to the largest or beyond it."""
  if largest <= 0:
    return [0.0, 1.0]
  step = largest / (_TICKS - 1)
  power = 10.0 ** math.floor(math.log10(step))
  nice = next(one * power for one in _NICE if one * power >= step * (1 - 1e-9))
  if whole:
    nice = float(max(1, math.ceil(nice)))
  return [number * nice for number in range(math.ceil(largest / nice - 1e-9) + 1)]


def draw(chart: Chart, columns: Sequence[Column]) -> str:
  """A chart with its title, legend and axes."""
  ticks = ticks_of(max(_highest(chart), chart.least), chart.whole)
  top = ticks[-1]
  shapes = _bars(chart, top) if chart.stacked else _lines(chart, top)
  marks = _backgrounds(columns) + _grid(ticks, len(columns)) + shapes + _model_changes(columns) + _tips(chart, columns)
  return f"""<figure class="chart">
<figcaption><h2>{escape(chart.name)}</h2><p>{escape(chart.note)}</p>{_legend(chart)}</figcaption>
<div class="plot" role="img" aria-label="{escape(_spoken(chart, columns))}">
<div class="y" aria-hidden="true">{''.join(_y_label(tick, top, chart.format) for tick in ticks)}</div>
<div class="area" aria-hidden="true">{_cut_off(chart, top)}
<svg viewBox="0 0 {len(columns)} {_HEIGHT:g}" preserveAspectRatio="none">{marks}</svg></div>
<div class="x" aria-hidden="true">{_x_labels(columns)}</div>
</div></figure>"""


def _highest(chart: Chart) -> float:
  """What the axis has to reach."""
  if not chart.stacked:
    return max((value for one in chart.series for value in one.values if value is not None), default=0)
  heights = sorted(filter(None, _heights(chart)))
  highest = heights[-1] if heights else 0
  if not chart.clipped or len(heights) < _FEW:
    return highest
  usual = heights[-math.ceil(len(heights) / 10) - 1]  # nine of ten are not higher
  return min(highest, usual * _BEYOND)


def _heights(chart: Chart) -> list[float]:
  return [sum(value or 0 for value in values) for values in _by_column(chart)]


def _cut_off(chart: Chart, top: float) -> str:
  """The figures of bars that are cut off."""
  if not chart.stacked:
    return ''
  heights = _heights(chart)
  return ''.join(
    f'<span class="cut" style="left:{100 * (place + 0.5) / len(heights):.2f}%">{escape(chart.format(height))}</span>'
    for place, height in enumerate(heights)
    if height > top
  )


def _by_column(chart: Chart) -> list[tuple[float | None, ...]]:
  return list(zip(*(one.values for one in chart.series), strict=True))


def _y(value: float, top: float) -> float:
  return round(_HEIGHT * (1 - min(value / top, 1)), 3)


def _backgrounds(columns: Sequence[Column]) -> str:
  return ''.join(
    f'<rect class="{kind}" x="{place}" y="0" width="1" height="{_HEIGHT:g}"/>'
    for place, kind in enumerate(map(_background, columns))
    if kind
  )


def _background(column: Column) -> str:
  if column.night is None:
    return '' if column.blank else 'missed'
  return 'broken' if column.night.state == INTERRUPTED else ''


def _grid(ticks: Sequence[float], width: int) -> str:
  return ''.join(f'<path class="grid" d="M0 {_y(tick, ticks[-1])}H{width}"/>' for tick in ticks)


def _bars(chart: Chart, top: float) -> str:
  return ''.join(
    f'<rect class="{style}" x="{place + 0.12:g}" y="{_y(high, top)}" '
    f'width="0.76" height="{_y(low, top) - _y(high, top):.3f}"/>'
    for place, values in enumerate(_by_column(chart))
    for low, high, style in _stack(values, chart.series)
  )


def _stack(values: Sequence[float | None], series: Sequence[Series]) -> list[tuple[float, float, str]]:
  parts: list[tuple[float, float, str]] = []
  low = 0.0
  for value, one in zip(values, series, strict=True):
    if value:
      parts.append((low, low + value, one.style))
      low += value
  return parts


def _lines(chart: Chart, top: float) -> str:
  return ''.join(_line(one, top) for one in chart.series)


def _line(series: Series, top: float) -> str:
  """A line through what is known, and a dot for each value, so that one between two gaps is seen."""
  known = [(place + 0.5, _y(value, top)) for place, value in enumerate(series.values) if value is not None]
  if not known:
    return ''
  path = 'M' + 'L'.join(f'{x:g} {y}' for x, y in known)
  line = f'<path class="line {series.style}{" dashed" if series.dashed else ""}" d="{path}"/>'
  dots = '' if series.dashed else ''.join(f'<path class="dot {series.style}" d="M{x:g} {y}h0"/>' for x, y in known)
  return line + dots


def _model_changes(columns: Sequence[Column]) -> str:
  places = [place for place, _ in model_changes(columns)]
  return ''.join(f'<path class="change" d="M{place} 0V{_HEIGHT:g}"/>' for place in places)


def model_changes(columns: Sequence[Column]) -> list[tuple[int, str]]:
  """Where another model begins to score, and which."""
  changes: list[tuple[int, str]] = []
  model = ''
  for place, column in enumerate(columns):
    if column.night and column.night.model and column.night.model != model:
      changes += [(place, column.night.model)] if model else []
      model = column.night.model
  return changes


def _tips(chart: Chart, columns: Sequence[Column]) -> str:
  return ''.join(
    f'<rect class="tip" x="{place}" y="0" width="1" height="{_HEIGHT:g}">'
    f'<title>{escape(_tip(chart, column, values))}</title></rect>'
    for place, (column, values) in enumerate(zip(columns, _by_column(chart) or [()] * len(columns), strict=True))
    if not column.blank
  )


def _tip(chart: Chart, column: Column, values: Sequence[float | None]) -> str:
  if column.night is None:
    return 'no run'
  figures = [
    f'{one.name}: {NOT_KNOWN if value is None else chart.format(value)}'
    for one, value in zip(chart.series, values, strict=True)
  ]
  return '\n'.join([f'{began_on(column.night)}, {column.night.state}', *reversed(figures)])


def _legend(chart: Chart) -> str:
  if len(chart.series) < 2:
    return ''
  keys = (
    f'<li><i class="{one.style}{" dashed" if one.dashed else ""}"></i>{escape(one.name)}</li>' for one in chart.series
  )
  return f'<ul class="legend">{"".join(keys)}</ul>'


def _y_label(tick: float, top: float, form: Format) -> str:
  return f'<span style="top:{_y(tick, top):g}%">{escape(form(tick))}</span>'


def _x_labels(columns: Sequence[Column]) -> str:
  """Some of the dates, counted from the last; fewer where there is little room."""
  count = len(columns)
  wide, narrow = math.ceil(count / _LABELS_WIDE), math.ceil(count / _LABELS_NARROW)
  narrow = wide * math.ceil(narrow / wide)
  labels = []
  for place, column in enumerate(columns):
    from_last = count - 1 - place
    if column.label and from_last % wide == 0:
      kind = 'wide' if from_last % narrow else 'last' if count > 1 and not from_last else ''
      labels.append(
        f'<span class="{kind}" style="left:{100 * (place + 0.5) / count:.2f}%">{escape(column.label)}</span>'
      )
  return ''.join(labels)


def _spoken(chart: Chart, columns: Sequence[Column]) -> str:
  """What a reader who does not see the chart is told; the table has all of it."""
  nights = sum(1 for column in columns if column.night)
  latest = ', '.join(
    f'{one.name} {NOT_KNOWN if one.values[-1] is None else chart.format(one.values[-1])}' for one in chart.series
  )
  return f'{chart.name}, {nights} nights. Latest night: {latest}. All figures are in the table below.'

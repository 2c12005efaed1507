"""The page of `radbeam runs --html`: the latest nights in one file that needs no network and runs no script."""

import datetime
import functools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from html import escape
from typing import Final

from pipelines.night_figures import INTERRUPTED, STATUSES, Drift, NightFigures, is_reject
from pipelines.runs_charts import Chart, Column, Series, began_on, columns_of, draw, model_changes
from pipelines.runs_style import STYLE
from pipelines.runs_text import NOT_KNOWN, duration_text, notes_of

Figure = Callable[[NightFigures], float | None]

_SHOWN: Final = 5  # reasons, or labels, that have a colour of their own
_OTHERS: Final = 'others'
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
# State: how it is coloured, its sign, and what it means.
_STATES: Final = {
  'done': ('good', '✓', 'done'),
  'nothing-to-do': ('calm', '0', 'nothing new'),
  'deadline': ('warn', '…', 'deadline'),
  'too-many-rejects': ('bad', '×', 'too many rejects'),
  'alarm': ('bad', '!', 'alarm'),
  INTERRUPTED: ('bad', '†', 'interrupted'),
}
_WARNED: Final = ('warn', '!', 'done, warning')
_UNITS: Final = ((3600, 'hours'), (60, 'minutes'))
_MISSED: Final = ('gone', '', 'no run')
_BLANK: Final = ('blank', '', '')
_HEADINGS: Final = (
  *(('night', ''), ('ended', ''), ('new files', 'n'), ('scored', 'n'), ('rejected', 'n'), ('skipped', 'n')),
  *(('positive', 'n'), ('PSI', 'n'), ('KS', 'n'), ('time', 'n'), ('rejects by reason', '')),
)


def page_of(nights: Sequence[NightFigures], made: datetime.datetime) -> str:
  """The page.

  Args:
    nights: newest first; there may be none.
    made: the time that it says it was made at.
  """
  columns = columns_of(nights)
  body = ''.join((_tiles(nights), _strip(columns), _charts(columns), _table(nights))) if nights else _EMPTY
  return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>radbeam: the latest nights</title>
<style>{STYLE}</style>
</head>
<body>
<header><h1>The latest nights</h1>
<p class="soft">{_span(nights)} Made {made:%Y-%m-%d %H:%M} UTC by <code>radbeam runs</code>.
Not a medical device.</p></header>
<main>{body}</main>
</body>
</html>
"""


_EMPTY: Final = '<p>No night has left a record yet. <code>radbeam nightly</code> writes one each time it runs.</p>'


def _span(nights: Sequence[NightFigures]) -> str:
  if not nights:
    return ''
  count = '1 night' if len(nights) == 1 else f'{len(nights)} nights'
  first, last = began_on(nights[-1]), began_on(nights[0])
  return f'{count}, {escape(first)}{"" if first == last else f" to {escape(last)}"}.'


def _tiles(nights: Sequence[NightFigures]) -> str:
  last = nights[0]
  _, sign, meaning = state_of(last)
  tiles = [
    (f'{sign} {meaning}', f'night of {began_on(last)}'),
    (f'{last.rows.get("scored", 0):,}', 'images scored'),
    (_share(last.rows.get('rejected', 0), last.total_rows - last.rows.get('skipped', 0)), 'of the images rejected'),
    (_drift(last.drift.get('psi')), 'largest drift (PSI)'),
    (duration_text(last.duration_s), 'from start to record'),
    (str(sum(1 for night in nights if night.alarms)), f'of {len(nights)} nights with an alarm'),
  ]
  cells = (f'<div class="tile"><b>{escape(text)}</b><span>{escape(what)}</span></div>' for text, what in tiles)
  return f'<section class="tiles" aria-label="The last night">{"".join(cells)}</section>'


def state_of(night: NightFigures) -> tuple[str, str, str]:
  """Colour, sign and meaning of how a night ended."""
  if night.state in ('done', 'nothing-to-do') and night.alarms:
    return _WARNED
  return _STATES.get(night.state, ('calm', '?', night.state or 'not known'))


def _share(part: float, whole: float) -> str:
  return f'{part / whole:.1%}' if whole else NOT_KNOWN


def _drift(drift: Drift | None) -> str:
  return f'{drift.value:.3f}' if drift else NOT_KNOWN


def _strip(columns: Sequence[Column]) -> str:
  """A cell a night: how it ended."""
  ends = [(_end_of(column), column) for column in columns]
  cells = (
    f'<li class="{style}" title="{escape(_strip_tip(column, meaning))}"><span aria-hidden="true">{sign}</span></li>'
    for (style, sign, meaning), column in ends
  )
  keys = dict.fromkeys(end for end, _ in ends if end != _BLANK)
  legend = (
    f'<li><i class="{style}" aria-hidden="true">{sign}</i>{escape(meaning)}</li>' for style, sign, meaning in keys
  )
  return f"""<figure class="strip"><figcaption><h2>How the nights ended</h2>
<p>From {escape(began_on_first(columns))} on the left to the last night on the right.{_models(columns)}</p>
<ul class="legend">{''.join(legend)}</ul></figcaption>
<ul class="cells" aria-hidden="true">{''.join(cells)}</ul></figure>"""


def _end_of(column: Column) -> tuple[str, str, str]:
  if column.night:
    return state_of(column.night)
  return _BLANK if column.blank else _MISSED


def began_on_first(columns: Sequence[Column]) -> str:
  """The day of the first night."""
  return next((began_on(night) for night in _nights(columns)), '')


def _strip_tip(column: Column, meaning: str) -> str:
  if column.night is None:
    return meaning
  return '\n'.join([f'{began_on(column.night)}: {meaning}', *notes_of(column.night)])


def _models(columns: Sequence[Column]) -> str:
  changes = model_changes(columns)
  if not changes:
    return ''
  named = ', '.join(f'{columns[place].label} {model}' for place, model in changes)
  return f' A dashed line in the charts is a change of the model: {escape(named)}.'


def _charts(columns: Sequence[Column]) -> str:
  charts = [
    _volume(columns),
    _files(columns),
    _rejects(columns),
    _prevalence(columns),
    _drifts(columns),
    _times(columns),
  ]
  return f'<section class="charts" aria-label="Charts">{"".join(draw(chart, columns) for chart in charts)}</section>'


def _values(columns: Sequence[Column], figure: Figure) -> tuple[float | None, ...]:
  return tuple(figure(column.night) if column.night else None for column in columns)


def _getter(table: str, name: str) -> Figure:
  """A figure of one of a night's tables."""

  def get(night: NightFigures) -> float | None:
    value: float | None = getattr(night, table).get(name)
    return value

  return get


def _nights(columns: Iterable[Column]) -> Iterator[NightFigures]:
  return (column.night for column in columns if column.night)


def _volume(columns: Sequence[Column]) -> Chart:
  series = tuple(
    Series(status, style, _values(columns, _getter('rows', status)))
    for status, style in zip(STATUSES, ('c0', 'c1', 'c2'), strict=True)
  )
  return Chart('Rows', 'Images, and what was no image, by what became of them.', series, _count, True, True)


def _files(columns: Sequence[Column]) -> Chart:
  new = Series('new files', 'c0', _values(columns, _getter('files', 'new')))
  usual = Series('median of the nights before', 'c2', _values(columns, lambda night: night.usual_files), dashed=True)
  series = (new, usual) if any(value is not None for value in usual.values) else (new,)
  return Chart('New files', 'A fall to nothing is an export that failed.', series, _count, whole=True)


def _rejects(columns: Sequence[Column]) -> Chart:
  """Reasons of rejects: what was never meant to be an image is no reject."""
  total: Counter[str] = Counter()
  for night in _nights(columns):
    total.update({name: rows for name, rows in night.reasons.items() if is_reject(name)})
  names = [name for name, _ in sorted(total.items(), key=lambda one: (-one[1], one[0]))]
  shown, others = names[:_SHOWN], frozenset(names[_SHOWN:])
  styles = ('c0', 'c1', 'c3', 'c4', 'c5')
  series = [
    Series(name, style, _values(columns, _getter('reasons', name))) for name, style in zip(shown, styles, strict=False)
  ]
  if others:
    series.append(Series(_OTHERS, 'c2', _values(columns, functools.partial(_sum_of_reasons, names=others))))
  note = 'By reason, the most frequent ones.' if series else 'There was none.'
  return Chart('Rejects', note, tuple(series), _count, True, True, clipped=True)


def _sum_of_reasons(night: NightFigures, names: Collection[str]) -> float:
  return sum(rows for name, rows in night.reasons.items() if name in names)


def _prevalence(columns: Sequence[Column]) -> Chart:
  positive = _positive_label(list(_nights(columns))[::-1])
  total: Counter[str] = Counter()
  for night in _nights(columns):
    total.update(night.predicted)
  labels = [positive] if positive else [label for label, _ in total.most_common(_SHOWN)]
  styles = ('c0', 'c1', 'c3', 'c4', 'c5')
  series = tuple(
    Series(label, style, _values(columns, functools.partial(prevalence, label=label)))
    for label, style in zip(labels, styles, strict=False)
  )
  what = f'Share of the scored images with the prediction {positive}.' if positive else 'Share of each predicted label.'
  return Chart('Prevalence of predictions', what, series, _percent, least=0.04)


def _positive_label(nights: Iterable[NightFigures]) -> str | None:
  """As the newest night has it that says so."""
  return next((night.positive_label for night in nights if night.positive_label), None)


def prevalence(night: NightFigures, label: str) -> float | None:
  """Share of a label among the predictions of a night; None if there are none."""
  predicted = sum(night.predicted.values())
  return night.predicted.get(label, 0) / predicted if predicted else None


def _drifts(columns: Sequence[Column]) -> Chart:
  series = tuple(
    Series(name, style, _values(columns, functools.partial(_drift_value, measure=measure)))
    for name, style, measure in (('PSI', 'c0', 'psi'), ('KS', 'c1', 'ks'))
  )
  return Chart('Drift', 'The largest of all figures compared with the training data.', series, _hundredths, least=0.1)


def _drift_value(night: NightFigures, measure: str) -> float | None:
  return night.drift[measure].value if measure in night.drift else None


def _times(columns: Sequence[Column]) -> Chart:
  scoring = _values(columns, _getter('seconds', 'scoring'))
  rest = _values(columns, _other_seconds)
  longest = max((night.duration_s or 0 for night in _nights(columns)), default=0)
  unit, name = next(((unit, name) for unit, name in _UNITS if longest >= 2 * unit), (1, 'seconds'))
  series = (Series('scoring', 'c0', _scaled(scoring, unit)), Series('all else', 'c2', _scaled(rest, unit)))
  return Chart('Time', f'From start to record, in {name}.', series, _plain, True)


def _other_seconds(night: NightFigures) -> float | None:
  return None if night.duration_s is None else max(night.duration_s - night.seconds.get('scoring', 0.0), 0.0)


def _scaled(values: Iterable[float | None], unit: float) -> tuple[float | None, ...]:
  return tuple(None if value is None else value / unit for value in values)


def _count(value: float) -> str:
  return f'{value:,.0f}'


def _percent(value: float) -> str:
  return f'{value:.1%}'.replace('.0%', '%')


def _hundredths(value: float) -> str:
  return f'{value:.3f}'.rstrip('0').rstrip('.') if value else '0'


def _plain(value: float) -> str:
  return f'{value:.1f}'.removesuffix('.0')


def _table(nights: Sequence[NightFigures]) -> str:
  head = ''.join(f'<th scope="col" class="{kind}">{escape(name)}</th>' for name, kind in _HEADINGS)
  label = _positive_label(nights)
  rows = ''.join(_row(night, label) for night in nights)
  return f"""<section><h2 id="all">All figures</h2>
<p class="soft">The newest night first. PSI and KS are the largest of all figures.</p>
<div class="scroll" tabindex="0" role="region" aria-labelledby="all"><table>
<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>"""


def _row(night: NightFigures, label: str | None) -> str:
  style, sign, meaning = state_of(night)
  is_known = night.state != INTERRUPTED or night.slices > 0
  counts = [f'{night.rows.get(status, 0):,}' if is_known else NOT_KNOWN for status in STATUSES]
  share = prevalence(night, label) if label else None
  new = night.files.get('new')
  figures = [
    NOT_KNOWN if new is None else f'{new:,}',
    *counts,
    NOT_KNOWN if share is None else f'{share:.1%}',
    *(_drift(night.drift.get(measure)) for measure in ('psi', 'ks')),
    duration_text(night.duration_s),
  ]
  reasons = ', '.join(f'{reason} {rows:,}' for reason, rows in night.top_rejects(3))
  cells = ''.join(f'<td class="n">{escape(figure)}</td>' for figure in figures)
  remarks = ''.join(f'<small>{escape(note)}</small>' for note in notes_of(night))
  return (
    f'<tr><th scope="row">{escape(began_on(night))}<br><span class="id">{escape(night.run_id)}<br>'
    f'{escape(night.model or NOT_KNOWN)}</span></th>'
    f'<td class="words"><span class="mark {style}">{sign} {escape(meaning)}</span>{remarks}</td>'
    f'{cells}<td class="words">{escape(reasons)}</td></tr>'
  )

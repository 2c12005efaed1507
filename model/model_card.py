"""The model card: what a bundle is, for a reader who was not there (Mitchell et al., FAT* 2019)."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from model.bundle import Bundle
from model.intended_use import IntendedUse
from model.networks.provenance import provenance
from model.shifted_table import FIGURES, read_shifted_table

NOT_A_DEVICE: Final = (
  'Not a medical device. For research only: its output must not be used for diagnosis, treatment or triage.'
)
SYNTHETIC: Final = 'Trained on synthetic images: its figures say nothing about patients.'


def model_card(bundle: Bundle) -> str:
  """Markdown; only facts that are in the bundle."""
  return '\n\n'.join([
    f'# {bundle.name} {bundle.version}',
    f'**{NOT_A_DEVICE}**',
    *([f'**{SYNTHETIC}**'] if bundle.synthetic else []),
    '## What it does',
    _task(bundle),
    '## Training images',
    f'Dataset digest `{bundle.dataset_digest}`.',
    _intended_use(bundle.intended_use),
    *_initial_weights(bundle.recipe),
    '## Validation',
    _validation(bundle.metrics),
    *_under_shift(bundle),
    '## Recipe',
    _recipe(bundle.recipe),
    '## Preprocessing',
    f'`{bundle.spec.to_json()}`',
  ]) + '\n'  # fmt: skip


def _task(bundle: Bundle) -> str:
  if bundle.positive_label is None:
    return f'Tells apart {", ".join(bundle.labels)}; the label with the highest score is predicted.'
  return (
    f'Tells apart {" and ".join(bundle.labels)}; {bundle.positive_label} is predicted from '
    f'a score of {bundle.threshold:.4f} up.'
  )


def _intended_use(use: IntendedUse) -> str:
  if not use.images:
    return 'The dataset has no header facts: images of which kind it was trained on is not known here.'
  lines = [f'- {fact.replace("_", " ")}: {text}' for fact, text in use.describe()]
  return (
    f'Meant for images like the {use.images} of the train split; of others `score` says so by a flag:\n\n'
    + '\n'.join(lines)
  )


def _validation(metrics: Mapping[str, Any]) -> str:
  if not metrics:
    return 'It was not measured: it was made without a dataset.'
  chosen = 'On the split on which the threshold and the epoch were chosen: expect lower figures elsewhere.'
  return f'{_metrics(metrics)}\n\n{chosen}'


def _initial_weights(recipe: Mapping[str, Any]) -> list[str]:
  lines = list(dict.fromkeys(_provenance(recipe)))
  return ['## Initial weights', ' '.join(lines)] if lines else []


def _provenance(recipe: Mapping[str, Any]) -> Iterator[str]:
  """Of the weights that a training began with, or those of all members of an ensemble."""
  yield from provenance(str(recipe.get('architecture', '')), str(recipe.get('initial_weights', 'none')))
  for member in recipe.get('members', ()):
    yield from _provenance(member['recipe'])


def _metrics(metrics: Mapping[str, Any]) -> str:
  figures = {'images': metrics['count'], 'accuracy': metrics['accuracy'], **metrics['summary']}
  return '\n'.join(f'- {name.replace("_", " ")}: {_text(value)}' for name, value in figures.items())


def _recipe(recipe: Mapping[str, Any]) -> str:
  lines = [f'- {name}: {value}' for name, value in sorted(recipe.items()) if name != 'members']
  members = recipe.get('members', ())
  return '\n'.join(lines + [f'- member: {_member(facts)}' for facts in members])


def _member(facts: Mapping[str, Any]) -> str:
  return f'{facts["name"]} {facts["version"]}, trained on the dataset `{facts["dataset_digest"]}`'


def _under_shift(bundle: Bundle) -> list[str]:
  table = read_shifted_table(bundle.path)
  if table is None:
    return []
  head = ['images', 'scored', 'ROC AUC', '95 %', *FIGURES[1:]]
  lines = [head, ['---'] * len(head), *([row['name'], str(row['count']), *_figures(row)] for row in table['rows'])]
  return [
    '## Validation under shift',
    'The same images as other devices and sites might have made them, by a frozen set of changes '
    f'(version {table["set_version"]}, digest `{table["set_digest"][:12]}`), at the same threshold.',
    '\n'.join(f'| {" | ".join(cells)} |' for cells in lines),
  ]


def _figures(row: Mapping[str, Any]) -> list[str]:
  interval = row['roc_auc_interval']
  between = '' if interval is None else f'{interval[0]:.4f} to {interval[1]:.4f}'
  return [_text(row['roc_auc']), between, *(_text(row[name]) for name in FIGURES[1:])]


def _text(value: float | None) -> str:
  return 'undefined' if value is None else f'{value:.4f}' if isinstance(value, float) else str(value)

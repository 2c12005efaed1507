import pytest

from pipelines.crashes import traceback_without_texts
from pipelines.staging import ShardResult, check_conservation

_NAME = 'Doe^Planted'


def caught(code: str, **names: object) -> BaseException:
  """What some code raises; it runs as if it stood in a library."""
  with pytest.raises(Exception) as raised:  # noqa: PT011 - of any kind
    exec(compile(code, 'library.py', 'exec'), names)
  return raised.value


@pytest.mark.parametrize(
  ('code', 'kind'),
  [
    ("{}['Doe^Planted']", 'KeyError'),
    ("int('Doe^Planted')", 'ValueError'),
    ("open('/nowhere/Doe^Planted')", 'FileNotFoundError'),
    ("raise ValueError('bad name: Doe^Planted\\n  in two lines')", 'ValueError'),
    ("try:\n  int('Doe^Planted')\nexcept ValueError as error:\n  raise RuntimeError('x') from error", 'RuntimeError'),
    ("try:\n  int('Doe^Planted')\nexcept ValueError:\n  {}['Doe^Planted']", 'KeyError'),
  ],
)
def test_where_it_happened_is_shown_and_what_it_quotes_is_not(code: str, kind: str) -> None:
  shown = traceback_without_texts(caught(code))
  assert _NAME not in shown
  assert f'\n{kind}: (text withheld' in shown
  assert 'File "library.py", line ' in shown


def test_a_cause_comes_first() -> None:
  code = "try:\n  int('x')\nexcept ValueError as error:\n  raise RuntimeError('x') from error"
  shown = traceback_without_texts(caught(code))
  assert 0 < shown.index('ValueError:') < shown.index('RuntimeError:')


def test_our_own_text_is_shown() -> None:
  with pytest.raises(ValueError, match='lists') as raised:
    check_conservation([ShardResult(3, '', (), 5, 4, ())])
  assert 'ValueError: shard 3 lists 5 sources but has rows of 4' in traceback_without_texts(raised.value)


def test_what_the_interpreter_says_of_our_code_is_not_shown() -> None:
  with pytest.raises(AttributeError) as raised:
    check_conservation([_NAME])  # type: ignore[list-item]
  shown = traceback_without_texts(raised.value)
  assert 'AttributeError: (text withheld' in shown
  assert 'check_conservation' in shown


def test_frames_of_a_worker_are_kept_without_its_text() -> None:
  worker = (
    'Traceback (most recent call last):\n'
    '  File "apache_beam/runners/common.py", line 1514, in apache_beam.runners.common.DoFnRunner.process\n'
    '  File "/site/pipelines/ingest.py", line 173, in process\n    result = write(shard)\n'
    f"KeyError: '{_NAME}'\n"
  )
  shown = traceback_without_texts(caught('raise RuntimeError(text)', text=worker))
  assert _NAME not in shown
  assert '  File "/site/pipelines/ingest.py", line 173, in process\n    result = write(shard)\n' in shown

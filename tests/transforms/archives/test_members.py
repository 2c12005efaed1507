import itertools

import pytest

from transforms.archives.members import Member, is_archive, number, printable
from transforms.sniff import Kind


@pytest.mark.parametrize(
  ('kind', 'expected'),
  [(Kind.ZIP, True), (Kind.XZ, True), (Kind.TAR, True), (Kind.ZSTD, True), (Kind.DICOM, False), (Kind.RAR, False)],
)
def test_only_what_can_be_opened_is_an_archive(kind: Kind, expected: bool) -> None:
  assert is_archive(kind) == expected


@pytest.mark.parametrize(
  ('name', 'shown'),
  [
    ('a/Ü.dcm', 'a/Ü.dcm'),
    ('M\udcfcller/Ü', r'M\xfcller/Ü'),
    ('a\\b\\xray', 'a\\b\\xray'),
    (r'M\xfcller', r'M\\xfcller'),
    ('a.zip!/b', r'a.zip!\/b'),
    (r'a.zip!\/b', r'a.zip!\\/b'),
    ('', '\\'),
    ('\\', r'\\'),
  ],
)
def test_names_are_shown_as_they_are_as_far_as_they_can(name: str, shown: str) -> None:
  assert printable(name) == shown


def test_different_names_stay_different() -> None:
  letters = ('\\', '/', '!', 'x', 'f', 'c', '\udcfc')
  every = [''.join(name) for length in range(7) for name in itertools.product(letters, repeat=length)]
  shown = {printable(name) for name in every}
  assert len(shown) == len(every)
  assert not any('!/' in name for name in shown)
  assert not any(0xD800 <= ord(letter) < 0xE000 for name in shown for letter in name)


def test_names_are_counted_after_they_were_made_printable() -> None:
  members = [Member(name, 0, place, 1, 1) for place, name in enumerate(['a', 'b', 'a', 'a'])]
  assert [(member.name, member.occurrence, member.offset) for member in number(members)] == [
    ('a', 0, 0),
    ('b', 0, 1),
    ('a', 1, 2),
    ('a', 2, 3),
  ]

"""Listing an archive, and reading one of its members by reference: for zip and tar alike."""

from collections.abc import Iterator
from typing import BinaryIO

from transforms.archives.members import AS_IS, Listing, Member, check_ratio
from transforms.archives.tar_members import list_tar, tar_pieces
from transforms.archives.zip_content import zip_pieces
from transforms.archives.zip_listing import list_zip
from transforms.elements import Limits
from transforms.errors import InputError
from transforms.sniff import Kind


def list_members(file: BinaryIO, kind: Kind, limits: Limits) -> Listing:
  """Lists the members of a zip or an uncompressed tar; directories are none.

  Problem codes: `archive-corrupt`, `archive-split`, `archive-empty`, `bomb`.
  """
  return list_zip(file, limits) if kind == Kind.ZIP else list_tar(file, limits)


def member_pieces(file: BinaryIO, member: Member, limits: Limits) -> Iterator[bytes]:
  """The content of one listed member, checked against what was declared.

  Raises:
    InputError: the member's `problem`, `bomb` or `read-failed`.
  """
  if member.problem:
    raise InputError(member.problem)
  check_ratio(member, limits)
  yield from tar_pieces(file, member) if member.method == AS_IS else zip_pieces(file, member)

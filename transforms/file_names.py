"""What a name tells of a file whose content does not tell: never against the content, which is looked at first."""

import re
from typing import Final

from transforms.sniff import Kind, sniff

_ARCHIVES: Final = {
  'zip': Kind.ZIP,
  'tar': Kind.TAR,
  **dict.fromkeys(('gz', 'tgz', 'taz'), Kind.GZIP),
  **dict.fromkeys(('bz2', 'tbz', 'tbz2', 'tb2'), Kind.BZIP2),
  **dict.fromkeys(('xz', 'txz'), Kind.XZ),
  **dict.fromkeys(('zst', 'tzst'), Kind.ZSTD),
}
_COMPRESSED_TARS: Final = frozenset({'tgz', 'taz', 'tbz', 'tbz2', 'tb2', 'txz', 'tzst'})
_VOLUME: Final = re.compile(r'\.(z\d\d|(zip|7z|tar|rar|tgz|gz)\.\d{3})$', re.IGNORECASE)

# Zips by their content, documents and programs by what they are for.
_DOCUMENT_TEXT: Final = (
  'apk docm docx dotx ear egg epub jar nupkg odg odp ods odt pptm pptx vsdx war whl xlsm xlsx xpi xps'
)
_DOCUMENTS: Final = frozenset(_DOCUMENT_TEXT.split())
_DOCUMENT_PARTS: Final = (
  b'META-INF/',
  b'[Content_Types].xml',
  b'_rels/',
  b'docProps/',
  b'mimetype',
  b'word/',
  b'xl/',
  b'ppt/',
)
_LOCAL_NAME_AT: Final = 30  # APPNOTE 4.3.7

# What discs for patients carry beside images: viewers, their data, and what operating systems leave behind.
_AUXILIARY_TEXT: Final = """
  bat cab cfg chm class cmd conf config css csv db dll doc drv dylib eot exe hlp htm html icns ico inf ini js json lang
  lic lnk log manifest md msi nib ocx otf pdb pdf plist ppt properties ps1 py pyc qm reg rtf sh so sql sqlite strings
  swf sys tlb tsv ttc ttf txt url vbs woff woff2 xls xml xsd xsl xslt yaml yml
"""
_AUXILIARY_SUFFIXES: Final = _DOCUMENTS | frozenset(_AUXILIARY_TEXT.split())
_AUXILIARY_NAMES: Final = frozenset({'dicomdir', '.ds_store', 'thumbs.db', 'lockfile', '.localized', '.nomedia'})
_AUXILIARY_FOLDERS: Final = frozenset({'__macosx', '.trashes', '.fseventsd', '.spotlight-v100', '$recycle.bin'})


def kind_of(head: bytes, name: str) -> Kind:
  """Tells what a file is.

  Content decides, with two exceptions: an archive by its name stays one
  where its beginning is damaged, or where a text stands in its place; and a
  zip that is a document or a program is not opened.

  Args:
    head: its first `HEAD_BYTES` bytes, or all of it where it is shorter.
    name: with its folders; separators of either kind.
  """
  kind = sniff(head)
  if kind == Kind.ZIP:
    return Kind.AUXILIARY if _is_document(head, name) else kind
  if kind not in (Kind.UNKNOWN, Kind.AUXILIARY, Kind.EMPTY):
    return kind
  if kind != Kind.EMPTY and suffix_of(name) in _ARCHIVES:
    return _ARCHIVES[suffix_of(name)]
  return Kind.AUXILIARY if _is_auxiliary(name) else kind


def suffix_of(name: str) -> str:
  """What follows the last dot of the last part of a name, in small letters; '' without a dot."""
  return _last_part(name).rpartition('.')[2].lower() if '.' in _last_part(name) else ''


def is_volume(name: str) -> bool:
  """Whether a name is that of one volume of several."""
  return bool(_VOLUME.search(name))


def inflated_name(name: str) -> str:
  """The name that a compressed file had before."""
  suffix = suffix_of(name)
  if suffix not in _ARCHIVES or suffix in ('zip', 'tar'):
    return name
  return name[: -len(suffix)] + 'tar' if suffix in _COMPRESSED_TARS else name[: -len(suffix) - 1]


def _parts(name: str) -> list[str]:
  return name.replace('\\', '/').split('/')


def _last_part(name: str) -> str:
  return _parts(name)[-1]


def _is_document(head: bytes, name: str) -> bool:
  suffix = suffix_of(name)
  return suffix in _DOCUMENTS or (suffix != 'zip' and head.startswith(_DOCUMENT_PARTS, _LOCAL_NAME_AT))


def _is_auxiliary(name: str) -> bool:
  *folders, last = _parts(name.lower())
  named = last in _AUXILIARY_NAMES or suffix_of(last) in _AUXILIARY_SUFFIXES
  return named or last.startswith('._') or not _AUXILIARY_FOLDERS.isdisjoint(folders)

"""An export that names patients wherever a file, a folder or an archive can name them.

Every place has a text of its own, so that a leak tells where it came from.
"""

import bz2
import csv
import gzip
import io
import lzma
import os
import pathlib
import tarfile
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import zstandard

from tests.end_to_end.planted_dicoms import broken_dicoms, good_dicom
from tests.end_to_end.planted_pictures import broken_pictures, good_jpeg, good_png
from tests.end_to_end.planted_texts import BIRTH, DATES, NAME, PATIENT, PHONE, TAIL, Member, ascii_name, name
from tests.transforms.archive_files import damage
from tests.transforms.pictures import gradient

_GOOD: Final = 32


def write_export(root: pathlib.Path) -> None:
  """Writes `inbox/`, `labels.csv` and `rules.yaml`."""
  inbox = root / 'inbox'
  folder = inbox / f'{NAME}-folder {BIRTH}'
  folder.mkdir(parents=True)
  good, broken = list(good_files()), [*broken_dicoms(), *broken_pictures()]
  for member, data in [*good[:8], *broken[::2]]:
    (folder / member).write_bytes(data)
  (inbox / f'{NAME}-zip {PATIENT}.zip').write_bytes(zip_file([*good[8:24], *broken[1::2]]))
  (inbox / f'{NAME}-tar.tar').write_bytes(tar_file(good[24:28]))
  (inbox / f'{NAME}-stream.tar.gz').write_bytes(gzip_file(tar_file(good[28:])))
  for member, data in broken_archives(good):
    (inbox / member).write_bytes(data)
  os.symlink(f'{NAME}-nowhere', inbox / f'{NAME}-link')
  os.mkfifo(inbox / f'{NAME}-fifo')
  write_labels(root / 'labels.csv', [member for member, _ in good])
  (root / 'rules.yaml').write_text(RULES, encoding='utf-8')


RULES: Final = f"""# written for {NAME}-rules-comment
rules:
  - exclude: private
    series_description: '{NAME}-rules-pattern'
default: include
"""


def write_labels(path: pathlib.Path, members: list[str]) -> None:
  """Labels by the innermost name, which is what every container calls a member."""
  with path.open('w', newline='', encoding='utf-8') as file:
    rows = csv.writer(file)
    rows.writerow(['member', 'label', 'patient', 'full_name', 'birth_date', 'phone'])
    for number, member in enumerate(members):
      for below in (member, f'{NAME}-folder {BIRTH}/{member}', f'{NAME}-inner.zip!/{member}'):
        label = ('healthy', 'sick')[number % 2]
        rows.writerow([below, label, f'{PATIENT}-csv-{number}', name('csv'), DATES[1], PHONE])


def good_files() -> Iterator[Member]:
  """Images that become rows with pixels; DICOM, JPEG and PNG take turns."""
  for number in range(_GOOD):
    picture = np.roll(gradient(bits=8), 3 * number, axis=1)
    make = (good_dicom, good_jpeg, good_png)[number % 3]
    extension, data = make(number, picture)
    yield f'{NAME}-member-{PATIENT}-{number}.{extension}', data


def zip_file(members: Sequence[Member]) -> bytes:
  """With names in its comment, in comments and extra fields of members, and a folder."""
  buffer = io.BytesIO()
  with warnings.catch_warnings(), zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
    warnings.simplefilter('ignore', UserWarning)
    for member, data in members:
      info = zipfile.ZipInfo(member)
      info.comment = name('member-comment').encode()
      info.extra = b'\xfe\xca' + len(extra := ascii_name('extra').encode()).to_bytes(2, 'little') + extra
      archive.writestr(info, data, zipfile.ZIP_DEFLATED)
    archive.writestr(f'{NAME}-empty-folder/', b'')
    archive.comment = name('zip-comment').encode()
  return buffer.getvalue()


def tar_file(members: Sequence[Member]) -> bytes:
  """With names in pax headers, owners, and targets of links."""
  buffer = io.BytesIO()
  headers = {'comment': name('pax-global')}
  with tarfile.open(fileobj=buffer, mode='w', format=tarfile.PAX_FORMAT, pax_headers=headers) as archive:
    for member, data in members:
      info = tarfile.TarInfo(member)
      info.size, info.uname, info.gname = len(data), f'{NAME}-user', f'{NAME}-group'
      info.pax_headers = {'comment': name('pax'), 'RADBEAM.patient': name('pax-private')}
      archive.addfile(info, io.BytesIO(data))
    link = tarfile.TarInfo(f'{NAME}-tar-link {TAIL}')
    link.type, link.linkname = tarfile.SYMTYPE, f'/{NAME}-target'
    archive.addfile(link)
  return buffer.getvalue()


def gzip_file(data: bytes) -> bytes:
  """With the name of the file that it was made of (RFC 1952, FNAME)."""
  buffer = io.BytesIO()
  with gzip.GzipFile(f'{NAME}-gzip-name.tar', 'wb', fileobj=buffer, mtime=0) as file:
    file.write(data)
  return buffer.getvalue()


def broken_archives(good: Sequence[Member]) -> Iterator[Member]:
  """Nested, encrypted, damaged and cut ones, whose listings name patients."""
  inner = zip_file(good[:2])
  yield (
    f'{NAME}-nested.zip',
    zip_file([(f'{NAME}-inner.zip', inner), (f'{NAME}-deep.tar.xz', lzma.compress(tar_file(good[:1])))]),
  )
  yield f'{NAME}-cut.zip', inner[: len(inner) // 2]
  yield f'{NAME}-damaged.zip', damage(inner, 300)
  yield f'{NAME}-encrypted.zip', inner.replace(b'PK\x01\x02\x14\x03\x14\x00\x00', b'PK\x01\x02\x14\x03\x14\x00\x01')
  tar = tar_file(good[:2])
  yield f'{NAME}-cut.tar', tar[: len(tar) * 2 // 3]
  yield f'{NAME}-damaged.tar', tar[:2200] + name('tar-header').encode() + tar[2200 + 60 :]
  yield f'{NAME}-cut.tar.gz', gzip_file(tar)[:-300]
  yield f'{NAME}-cut.tar.bz2', bz2.compress(tar)[:-300]
  yield f'{NAME}-stream.tar.zst', zstandard.compress(tar)
  yield f'{NAME}-one.dcm.gz', gzip_file(good[0][1])

"""Bad input is a value: the stable codes, and the one exception that carries them.

Pure code raises `InputError` for defects of the input only; whoever holds the
source turns it into a row. Anything else is a bug and propagates.
"""

from dataclasses import dataclass
from typing import Final, Literal

Status = Literal['rejected', 'skipped']


@dataclass(frozen=True, slots=True)
class Code:
  """What a reason code means, and whether it counts as a failure."""

  status: Status
  meaning: str


CODES: Final[dict[str, Code]] = {
  'archive-corrupt': Code('rejected', 'the archive is damaged or breaks off; what could be found in it has rows'),
  'archive-empty': Code('skipped', 'an archive without members'),
  'archive-encrypted': Code('rejected', 'the member is encrypted'),
  'archive-method': Code('rejected', 'the member is compressed by a method that is not supported'),
  'archive-nesting': Code('rejected', 'the archive lies deeper inside other archives than --max_nesting'),
  'archive-split': Code('rejected', 'one volume of several; join them before'),
  'archive-unsupported': Code('rejected', 'an archive of a kind that is not read: 7z, rar, lz4, compress'),
  'auxiliary-file': Code('skipped', 'viewer software, DICOMDIR, documents, files of the operating system'),
  'blank': Code('rejected', 'the image has one grey level only'),
  'bomb': Code('rejected', 'inflates beyond the limits on size, ratio or members, or shares bytes with others'),
  'burned-in': Code('rejected', 'text is burned into the pixels, and --burned_in does not let it pass'),
  'changed-while-reading': Code('rejected', 'the file changed while it was read; a night reads it again'),
  'decode-failed': Code('rejected', 'the decoder could not read the pixels'),
  'decoder-crashed': Code('rejected', 'the codec crashed on the pixels; it ran in a process of its own'),
  'decoder-memory': Code('rejected', 'the codec wanted more memory than --max_decode_bytes'),
  'decoder-timeout': Code('rejected', 'the codec took longer than --max_decode_seconds'),
  'empty-file': Code('rejected', 'zero bytes'),
  'header-corrupt': Code('rejected', 'the header of the image cannot be parsed, or contradicts itself'),
  'inference-failed': Code('rejected', 'the model failed on this image alone'),
  'input-gone': Code('skipped', 'the file was there when it was listed, and is not any more; a night looks again'),
  'input-unavailable': Code('skipped', 'the disk or store gave no bytes; a night reads the file again'),
  'internal-error': Code('rejected', 'radbeam failed on the image; the detail tells where: please report it'),
  'label-missing': Code('skipped', 'the image has no label, and --labels was given'),
  'link': Code('rejected', 'a link or device instead of a file'),
  'no-pixel-data': Code('skipped', 'a DICOM object that holds no pixels: report, presentation state, document'),
  'not-an-image': Code('rejected', 'the content is of no kind that is read here'),
  'not-selected': Code('skipped', 'left out by --select; the detail is the name of the rule, or `default`'),
  'patient-missing': Code('rejected', 'no patient is known for the image, so it cannot be put into a split'),
  'read-failed': Code('rejected', 'the bytes of the member are damaged: checksum or length do not fit'),
  'too-large': Code('rejected', 'beyond --max_pixels, --max_member_bytes or --max_header_elements'),
  'unsupported-image': Code('rejected', 'a valid image of a kind that is not read'),
  'unsupported-transfer-syntax': Code('rejected', 'no decoder for the DICOM transfer syntax'),
}

# The input was not read to its end, which says nothing about it: whoever keeps books does not call it done.
UNREAD: Final = frozenset({'changed-while-reading', 'input-gone', 'input-unavailable'})


class MachineError(RuntimeError):
  """The machine fails, and not the input: no process can be started, for example. It ends the run."""


class InputError(Exception):
  """A defect of the input, never of the program.

  Attributes:
    code: one of `CODES`.
    detail: figures and field names only. Never pixels, names, free header
      text, paths, or a decoder's own message: it goes into tables and logs.
  """

  def __init__(self, code: str, detail: str = '') -> None:
    if code not in CODES:
      raise ValueError(f'{code!r} is no reason code; codes stand in transforms/errors.py')
    super().__init__(code, detail)  # both, so that it survives pickling
    self.code = code
    self.detail = detail

  @property
  def status(self) -> Status:
    """`rejected`, or `skipped` for what was never meant to be an image."""
    return CODES[self.code].status

import bz2
import gzip
import lzma
import random
from collections.abc import Callable

import pytest
import zstandard

from tests.transforms.archive_files import damage, tar_bytes, zip_bytes
from tests.transforms.archives.outcomes import codes, read_all
from transforms.elements import Limits

Pack = Callable[[bytes], bytes]
PACKERS: dict[str, Pack] = {
  'gz': gzip.compress,
  'bz2': lambda data: bz2.compress(data, 1),
  'xz': lzma.compress,
  'zst': zstandard.ZstdCompressor(write_checksum=True).compress,
}
ALL = pytest.mark.parametrize('pack', PACKERS.values(), ids=PACKERS)


@ALL
def test_a_compressed_file_alone_is_one_member_without_name(pack: Pack) -> None:
  assert read_all(pack(b'a picture')) == [('', 0, b'a picture')]
  assert read_all(pack(b'')) == [('', 0, b'')]


@ALL
def test_a_stream_that_breaks_off_gives_what_came_before(pack: Pack) -> None:
  contents = [random.Random(seed).randbytes(200 << 10) for seed in range(3)]
  data = pack(tar_bytes([(str(number), content) for number, content in enumerate(contents)]))
  cut = data[: len(data) * 29 // 30]
  assert codes(cut) == [*contents[:2], 'read-failed', 'archive-corrupt']
  assert codes(data[: len(data) // 2])[0] == contents[0]


@ALL
def test_a_stream_that_breaks_off_within_a_header_gives_what_came_before(pack: Pack) -> None:
  contents = [random.Random(seed).randbytes(20 << 10) for seed in range(2)]
  tar = tar_bytes([(str(number), content) for number, content in enumerate(contents)])
  outcomes = [codes(pack(tar[:end]) + b'') for end in (512 + 20480, 512 + 20480 + 200)]
  assert outcomes == [[contents[0]], [contents[0], 'archive-corrupt']]


@ALL
def test_a_compressed_file_that_breaks_off_has_one_row(pack: Pack) -> None:
  data = pack(random.Random(0).randbytes(100_000))
  for end in (8, len(data) // 2, len(data) - 1):
    assert read_all(data[:end]) == [('', 0, 'archive-corrupt')]


@ALL
def test_damage_within_a_stream_is_told(pack: Pack) -> None:
  data = pack(random.Random(0).randbytes(100_000))
  assert read_all(damage(data, len(data) // 2)) == [('', 0, 'archive-corrupt')]


@ALL
def test_the_checksum_behind_a_tar_is_looked_at(pack: Pack) -> None:
  contents = [random.Random(seed).randbytes(100 << 10) for seed in range(2)]
  tar = tar_bytes([(str(number), content) for number, content in enumerate(contents)])
  tar += random.Random(9).randbytes(300 << 10)  # or the bytes before the checksum are lost with it
  stream = pack(tar)
  assert codes(stream) == contents
  assert codes(damage(stream, len(stream) - 3)) == [*contents, 'archive-corrupt']


@ALL
@pytest.mark.parametrize('padding', [b'', bytes(4), bytes(100_000)])
def test_streams_one_behind_the_other_are_one(pack: Pack, padding: bytes) -> None:
  tar = tar_bytes([('a', b'x' * 5000), ('b', b'y' * 5000)])
  data = pack(tar[:3000]) + padding + pack(tar[3000:]) + padding
  assert codes(data) == [b'x' * 5000, b'y' * 5000]


@ALL
def test_what_stands_behind_a_stream_is_ignored(pack: Pack) -> None:
  assert codes(pack(b'a picture') + b'appended') == [b'a picture']
  assert codes(pack(tar_bytes([('a', b'x')])) + bytes(10) + b'\1\2') == [b'x']


def test_frames_that_decoders_skip_are_skipped() -> None:
  skipped = b'\x50\x2a\x4d\x18' + (8).to_bytes(4, 'little') + b'whatever'
  assert codes(skipped + PACKERS['zst'](b'a picture') + skipped) == [b'a picture']


@pytest.mark.parametrize('name', ['bz2', 'zst', 'xz'])
def test_streams_that_inflate_without_end_are_held(name: str) -> None:
  tar = tar_bytes([('a', b'x'), ('b', bytes(100 << 20)), ('c', b'y')])
  limits = Limits(max_inflated_bytes=50 << 20, max_inflation_ratio=10)
  assert codes(PACKERS[name](tar), limits) == [b'x', 'read-failed', 'bomb']


def test_a_stream_inflates_up_to_its_limit_and_no_further() -> None:
  tar = tar_bytes([('a', bytes(10_000))])
  data = PACKERS['gz'](tar)
  by_bytes = [
    codes(data, Limits(max_inflated_bytes=limit, max_inflation_ratio=1)) for limit in (len(tar), len(tar) - 1)
  ]
  assert [outcome[-1] for outcome in by_bytes] == [bytes(10_000), 'bomb']
  least = -(-len(tar) // len(data))
  by_ratio = [codes(data, Limits(max_inflated_bytes=1, max_inflation_ratio=limit)) for limit in (least, least - 1)]
  assert [outcome[-1] for outcome in by_ratio] == [bytes(10_000), 'bomb']


def test_dictionaries_beyond_all_measure_are_refused() -> None:
  wide = zstandard.ZstdCompressionParameters(window_log=28)
  data = zstandard.ZstdCompressor(compression_params=wide).compressobj()
  stream = data.compress(random.Random(0).randbytes(1000)) + data.flush()
  assert codes(stream) == ['archive-corrupt']


@ALL
def test_archives_inside_a_stream_are_opened(pack: Pack) -> None:
  inner = zip_bytes([('x', b'1'), ('y', b'2')])
  assert read_all(pack(inner)) == [('x', 0, b'1'), ('y', 0, b'2')]
  assert read_all(pack(pack(b'1'))) == [('', 0, b'1')]
  assert read_all(pack(tar_bytes([('i.zip', inner)]))) == [('i.zip!/x', 0, b'1'), ('i.zip!/y', 0, b'2')]


@ALL
def test_a_zip_inside_a_stream_that_breaks_off_keeps_what_is_left(pack: Pack) -> None:
  contents = [random.Random(seed).randbytes(150_000) for seed in range(4)]
  inner = zip_bytes([(str(number), content) for number, content in enumerate(contents)])
  alone = pack(inner)
  assert codes(alone[: len(alone) * 9 // 10]) == [*contents[:3], 'read-failed', 'archive-corrupt']
  in_tar = pack(tar_bytes([('i.zip', inner)]))
  rows = read_all(in_tar[: len(in_tar) * 9 // 10])
  assert [(name, code) for name, _, code in rows] == [
    *((f'i.zip!/{number}', content) for number, content in enumerate(contents[:3])),
    ('i.zip!/3', 'read-failed'),
    ('i.zip', 'read-failed'),
    ('', 'archive-corrupt'),
  ]

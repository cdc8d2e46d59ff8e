"""The IDX reader returns what a file holds, and refuses whatever is not exactly one array."""

import gzip
import tracemalloc

import numpy as np
import pytest

from fastbp.datasets import read_idx

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def encoded(array, code=None):
    """Return an array as the bytes of an IDX file."""
    kind = array.dtype.newbyteorder("=").str[1:]
    header = bytes([0, 0, CODES[kind] if code is None else code, array.ndim])
    sizes = np.array(array.shape, ">u4").tobytes()
    return header + sizes + array.astype(array.dtype.newbyteorder(">")).tobytes()


GOOD = encoded(np.arange(6, dtype="u1").reshape(2, 3))


@pytest.fixture
def read(tmp_path):
    def read_bytes(content):
        path = tmp_path / "file"
        path.write_bytes(content)
        return read_idx(path)

    return read_bytes


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("shape", [(7,), (2, 3), (4, 1, 5)])
@pytest.mark.parametrize("kind", CODES)
def test_every_type_and_rank_comes_back_in_native_order(read, kind, shape, pack):
    array = (np.arange(np.prod(shape)) * 3 - 5).astype(kind).reshape(shape)
    result = read(pack(encoded(array)))
    assert result.dtype == np.dtype(kind)
    assert result.dtype.isnative
    np.testing.assert_array_equal(result, array)


def test_gzip_members_in_a_row_are_one_file(read):
    assert read(gzip.compress(GOOD[:9]) + gzip.compress(GOOD[9:])).shape == (2, 3)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "expected an IDX file, .* got nothing"),
        (GOOD[:3], "expected an IDX file, .* got 00 00 08"),
        (b"\x89PNG" + GOOD, "expected an IDX file, .* got 89 50 4e 47"),
        (encoded(np.zeros(3, "u1"), code=0x0A), "expected an IDX file, .* got 00 00 0a 01"),
        (b"\0\0\x08\0\x01", "expected 1 to 32 dimensions, got 0"),
        (b"\0\0\x08\xff" + bytes(2000), "expected 1 to 32 dimensions, got 255"),
        (GOOD[:9], "expected the sizes of 2 dimensions, got 5 bytes"),
        (encoded(np.zeros((2, 0), "u1")), r"expected sizes of at least 1, got shape \(2, 0\)"),
        (GOOD[:-1], r"expected 6 bytes of elements for shape \(2, 3\), got 5"),
        (GOOD + b"x", r"expected 6 bytes of elements for shape \(2, 3\), got more"),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_malformed_content_is_refused(read, content, expected, pack):
    with pytest.raises(ValueError, match=f"file: {expected}"):
        read(pack(content))


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("sizes", [(2**32 - 1,), (2**32 - 1,) * 8, (2**31, 2**31, 4)])
def test_sizes_beyond_the_file_are_refused_before_memory_is_taken(read, sizes, pack):
    content = pack(bytes([0, 0, 0x0E, len(sizes)]) + np.array(sizes, ">u4").tobytes() + bytes(64))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="bytes of elements for shape"):
            read(content)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("length", range(2, len(gzip.compress(GOOD, mtime=0))))
def test_gzip_data_cut_anywhere_is_refused(read, length):
    with pytest.raises(ValueError, match="file: expected"):
        read(gzip.compress(GOOD, mtime=0)[:length])


def test_damaged_gzip_data_is_refused(read):
    packed = bytearray(gzip.compress(GOOD, mtime=0))
    packed[-6] ^= 0xFF  # a byte of the checksum
    with pytest.raises(ValueError, match="file: expected whole gzip data, got CRC"):
        read(bytes(packed))


def test_bytes_behind_gzip_data_are_refused(read):
    with pytest.raises(ValueError, match="file: expected"):
        read(gzip.compress(GOOD) + b"more")


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "none")

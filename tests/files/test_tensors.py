"""Arrays in safetensors files: what is written, what is read, and what is refused."""

from __future__ import annotations

import os
import tracemalloc

import numpy as np
import pytest
from forged_files import opened, packed, sealed, written

from fastbp.exceptions import FileFormatError
from fastbp.files import read_tensors, write_tensors

CODES = ["?", "u1", "i1", "u2", "i2", "f2", "u4", "i4", "f4", "u8", "i8", "f8"]
RNG = np.random.default_rng(0)


def values(code, shape=(2, 3)):
    return RNG.integers(0, 2, shape).astype(code)


ARRAYS = {code: values(code) for code in CODES} | {
    "no axis": np.float32(3.5),
    "empty": np.zeros((0, 3)),
    "turned": values("f8", (4, 2)).T,
    "every other": values("i4", (6,))[::2],
    "big-endian": values(">f4"),
    'a "name" with \\ and \u00e9': values("f4", (1, 1, 1)),
}


def equal(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].dtype == np.asarray(array).dtype.newbyteorder("="), name
        np.testing.assert_array_equal(found[name], array)


def test_arrays_come_back_as_they_were(tmp_path):
    metadata = {"a": "1", "\u00fc": '"fastbp.sha256":"' + "0" * 64 + '"'}
    write_tensors(tmp_path / "file", ARRAYS, metadata)
    found = read_tensors(tmp_path / "file")
    equal(found.tensors, ARRAYS)
    assert found.metadata == metadata
    assert found.verified


def test_each_array_begins_at_a_multiple_of_its_element(tmp_path):
    write_tensors(tmp_path / "file", ARRAYS)
    raw = (tmp_path / "file").read_bytes()
    header, data = opened(raw)
    assert (len(raw) - len(data)) % 8 == 0
    for name, array in ARRAYS.items():
        assert header[name]["data_offsets"][0] % np.asarray(array).itemsize == 0


def test_the_same_arrays_make_the_same_file(tmp_path):
    for name in "ab":
        write_tensors(tmp_path / name, ARRAYS, {"x": "y"})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_library_reads_what_is_written(tmp_path):
    safetensors = pytest.importorskip("safetensors", reason="needs safetensors")
    from safetensors.numpy import load_file

    arrays = {name: array for name, array in ARRAYS.items() if name != "?"}
    write_tensors(tmp_path / "file", ARRAYS, {"x": "y"})
    equal({k: v for k, v in load_file(tmp_path / "file").items() if k != "?"}, arrays)
    with safetensors.safe_open(tmp_path / "file", "numpy") as file:
        assert file.metadata()["x"] == "y"


def test_what_the_library_writes_is_read(tmp_path):
    pytest.importorskip("safetensors", reason="needs safetensors")
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(each) for name, each in ARRAYS.items() if each.ndim}
    arrays["big-endian"] = arrays["big-endian"].astype("f4")
    for metadata in (None, {"format": "np"}):
        save_file(arrays, tmp_path / "file", metadata)
        found = read_tensors(tmp_path / "file")
        equal(found.tensors, arrays)
        assert found.metadata == (metadata or {})
        assert not found.verified


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


DEEP = '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"
TWICE = '{"a":%s,"a":%s}' % ((str(entry()).replace("'", '"'),) * 2)
HOSTILE = {
    "no file": b"",
    "half a length": b"\x02\0\0",
    "no header": b"\x02" + bytes(7),
    "a length past the end": packed(b"{}")[:-1],
    "the largest length": b"\xff" * 8 + b"{}",
    "a header of no object": packed("[]"),
    "a header that begins with a space": packed(" {}"),
    "a header cut off": packed('{"a":'),
    "two objects": packed("{}{}"),
    "not UTF-8": packed(b'{"\xff":1}'),
    "a byte order mark": packed(b"\xef\xbb\xbf{}"),
    "deep JSON": packed(DEEP),
    "a key twice": packed(TWICE, bytes(8)),
    "metadata twice": packed('{"__metadata__":{},"__metadata__":{}}'),
    "a text twice": packed('{"__metadata__":{"a":"b","a":"b"}}'),
    "metadata of numbers": packed({"__metadata__": {"a": 1}}),
    "metadata in a list": packed({"__metadata__": []}),
    "a digest of a wrong form": packed({"__metadata__": {"fastbp.sha256": "0" * 63}}),
    "a digest in capitals": packed({"__metadata__": {"fastbp.sha256": "A" * 64}}),
    "an array that is a number": packed({"a": 1}),
    "an array without a dtype": packed({"a": {"shape": [], "data_offsets": [0, 4]}}),
    "an array with more": packed({"a": entry() | {"x": 1}}, bytes(8)),
    "an unknown dtype": packed({"a": entry("BF16")}, bytes(8)),
    "a dtype in a list": packed({"a": entry(["F32"])}, bytes(8)),
    "a negative size": packed({"a": entry(shape=(-2,))}, bytes(8)),
    "two negative sizes": packed({"a": entry(shape=(-2, -1))}, bytes(8)),
    "a size that is true": packed({"a": entry(shape=(True, 2))}, bytes(8)),
    "a size with a point": packed({"a": entry(shape=(2.0,))}, bytes(8)),
    "a shape that is a number": packed({"a": entry() | {"shape": 2}}, bytes(8)),
    "a product that overflows": packed({"a": entry(shape=(2**33, 2**33))}, bytes(8)),
    "a product that overflows to 8": packed({"a": entry(shape=(2**62 + 2,))}, bytes(8)),
    "an empty array of a size that overflows": packed(
        {"a": entry(shape=(0, 2**62, 2**62), offsets=(0, 0))}
    ),
    "33 axes": packed({"a": entry(shape=(1,) * 31 + (2, 1))}, bytes(8)),
    "thousands of axes": packed({"a": entry(shape=(2**63 - 1,) * 50_000)}, bytes(8)),
    "an integer of 65 bits": packed({"a": entry(shape=(2**64,))}, bytes(8)),
    "an integer of a million digits": packed('{"a":1' + "0" * 1_000_000 + "}"),
    "NaN": packed('{"a":NaN}'),
    "infinity": packed('{"a":-Infinity}'),
    "a number that overflows": packed('{"a":1e999}'),
    "one offset": packed({"a": entry(offsets=(8,))}, bytes(8)),
    "offsets that go back": packed({"a": entry(offsets=(8, 0))}, bytes(8)),
    "too few bytes": packed({"a": entry()}, bytes(7)),
    "bytes behind the last": packed({"a": entry()}, bytes(9)),
    "bytes of none": packed({}, bytes(1)),
    "a gap at the begin": packed({"a": entry(offsets=(1, 9))}, bytes(9)),
    "a gap": packed({"a": entry(), "b": entry(offsets=(9, 17))}, bytes(17)),
    "an overlap": packed({"a": entry(), "b": entry(offsets=(4, 12))}, bytes(12)),
    "the same bytes twice": packed({"a": entry(), "b": entry()}, bytes(8)),
    "bytes that the shape lacks": packed({"a": entry(shape=(1,))}, bytes(8)),
    "a truth value of 2": packed({"a": entry("BOOL", (1,), (0, 1))}, b"\2"),
    "a wrong digest": packed({"__metadata__": {"fastbp.sha256": "0" * 64}}).replace(b": ", b":"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_not_right_is_refused_in_little_memory(tmp_path, name):
    path = written(tmp_path, HOSTILE[name])
    tracemalloc.start()
    with pytest.raises(FileFormatError, match=r"forged.safetensors: ") as caught:
        read_tensors(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000 + 40 * len(HOSTILE[name])
    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize(
    "name", ["a gap at the begin", "a gap", "an overlap", "the same bytes twice"]
)
def test_gaps_and_overlaps_are_found_before_data_are_read(tmp_path, name):
    with pytest.raises(FileFormatError, match="without gap or overlap"):
        read_tensors(written(tmp_path, HOSTILE[name]))


def test_a_header_longer_than_8_mib_is_refused_unread(tmp_path):
    path = written(tmp_path, packed("{}" + " " * (8 << 20)))
    with pytest.raises(FileFormatError):
        read_tensors(path)
    with pytest.raises(ValueError, match=r"^metadata: expected a header of at most"):
        write_tensors(path, {}, {"a": "b" * (8 << 20)})


def test_a_file_that_a_forger_has_sealed_is_right(tmp_path):
    path = written(tmp_path, sealed({"a": entry()}, bytes(8)))
    assert read_tensors(path).verified


@pytest.mark.parametrize(
    ("error", "tensors", "metadata"),
    [
        (TypeError, {1: np.zeros(1)}, {}),
        (TypeError, {"a": np.zeros(1, complex)}, {}),
        (TypeError, {"a": np.array(["x"])}, {}),
        (TypeError, {"a": np.array([None])}, {}),
        (TypeError, {"a": np.zeros(1, "M8[s]")}, {}),
        (ValueError, {"__metadata__": np.zeros(1)}, {}),
        (ValueError, {"a\ud800": np.zeros(1)}, {}),
        (TypeError, {}, {"a": 1}),
        (ValueError, {}, {"fastbp.sha256": "0"}),
    ],
)
def test_what_can_not_be_written_is_refused_before_a_file_is_made(
    tmp_path, error, tensors, metadata
):
    with pytest.raises(error, match=": expected"):
        write_tensors(tmp_path / "file", tensors, metadata)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileFormatError, match="expected a regular file"):
        read_tensors(tmp_path / "pipe")  # nobody ever writes to it
    with pytest.raises(FileFormatError, match="expected a regular file"):
        read_tensors("/dev/zero")
    with pytest.raises(IsADirectoryError):
        read_tensors(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_tensors(tmp_path / "none")
    with pytest.raises(TypeError, match=r"^path: expected a path, got int"):
        read_tensors(3)


def test_descriptors_are_closed_whatever_happens(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for raw in (HOSTILE["a gap"], HOSTILE["no file"]):
        with pytest.raises(FileFormatError):
            read_tensors(written(tmp_path, raw))
    for path in (tmp_path, "/dev/zero"):
        with pytest.raises((FileFormatError, OSError)):
            read_tensors(path)
    assert len(os.listdir("/proc/self/fd")) == before

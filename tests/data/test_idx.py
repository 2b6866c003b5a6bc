import gzip
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnx.data import read_idx, write_idx
from nnx.errors import ArgumentError, DataError, DTypeError

DTYPES = ("uint8", "int8", "int16", "int32", "float32", "float64")
LABELS = b"\0\0\x08\x01" + struct.pack(">I", 3) + bytes([7, 2, 1])


def arrays():
    shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    return st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, shapes))


@settings(max_examples=50)
@given(array=arrays(), suffix=st.sampled_from(["", ".gz"]))
def test_roundtrip_keeps_shape_dtype_and_bits(array, suffix, tmp_path_factory):
    path = tmp_path_factory.mktemp("idx") / f"array{suffix}"
    write_idx(path, array)
    back = read_idx(path)
    assert (back.shape, back.dtype) == (array.shape, array.dtype)
    assert back.dtype.isnative
    assert back.flags.writeable
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_are_big_endian(dtype, tmp_path):
    array = np.asarray([[1, 2, 3]], dtype)
    write_idx(tmp_path / "array", array)
    content = (tmp_path / "array").read_bytes()
    assert content[:12] == bytes([0, 0, content[2], 2]) + struct.pack(">II", 1, 3)
    assert content[12:] == array.astype(array.dtype.newbyteorder(">")).tobytes()


def test_compression_is_told_from_the_content_not_the_name(tmp_path):
    (tmp_path / "labels").write_bytes(gzip.compress(LABELS))
    (tmp_path / "labels.gz").write_bytes(LABELS)
    assert read_idx(tmp_path / "labels").tolist() == [7, 2, 1]
    assert read_idx(tmp_path / "labels.gz").tolist() == [7, 2, 1]


def test_write_is_reproducible(tmp_path):
    for name in ("first.gz", "second.gz"):
        write_idx(tmp_path / name, np.arange(9, dtype=np.int16))
    first = (tmp_path / "first.gz").read_bytes()
    assert first == (tmp_path / "second.gz").read_bytes()
    assert first[4:8] == b"\0\0\0\0"  # no time
    assert first[3] == 0  # no name


def test_write_accepts_non_contiguous_and_big_endian(tmp_path):
    array = np.arange(12, dtype=">i4").reshape(3, 4)[:, ::2]
    write_idx(tmp_path / "array", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "array"), array)


def test_write_refuses_a_dtype_the_format_lacks(tmp_path):
    with pytest.raises(DTypeError, match=r"labels: expected one of the IDX dtypes uint8, .* got int64; cast it"):
        write_idx(tmp_path / "labels", np.arange(3))
    assert not (tmp_path / "labels").exists()


def test_write_refuses_an_axis_the_format_cannot_say(tmp_path):
    array = np.broadcast_to(np.uint8(0), (2**32,))
    with pytest.raises(ArgumentError, match=r"expected axes shorter than 2\*\*32, got shape \(4294967296,\)"):
        write_idx(tmp_path / "labels", array)


BAD = {
    "truncated": (LABELS[:-1], r"expected 3 bytes of elements for shape \(3,\) of uint8, got only 2; fetch"),
    "oversized": (
        LABELS + b"\0",
        r"expected 3 bytes of elements for shape \(3,\) of uint8, got more, which were not read; fetch",
    ),
    "empty": (b"", r"expected an IDX magic number .*, got an empty file; check"),
    "short": (LABELS[:3], r"expected an IDX magic number .*, got 00 00 08; check"),
    "text": (b"hello, world", r"expected an IDX magic number .*, got 68 65 6c 6c; check"),
    "type": (b"\0\0\x0a\x01" + LABELS[4:], r"expected an IDX magic number .*, got 00 00 0a 01; check"),
    "axes": (b"\0\0\x08\x41" + bytes(4 * 65), r"expected an IDX magic number .*, got 00 00 08 41; check"),
    "header": (b"\0\0\x08\x02" + LABELS[4:8], r"expected a header of 12 bytes for 2 axes, got 8; fetch"),
    "huge": (
        b"\0\0\x0e\x02" + struct.pack(">II", 2**32 - 1, 2**32 - 1),
        r"at most 1073741824 bytes of elements, got a header that promises 147573952520956936200 .*max_bytes",
    ),
    "huge but for an empty axis": (
        b"\0\0\x08\x40" + struct.pack(">I", 0) + struct.pack(">I", 2**32 - 1) * 63,
        r"at most 1073741824 bytes of elements, got a header that promises",
    ),
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("case", BAD)
def test_bad_content(case, compressed, tmp_path):
    content, message = BAD[case]
    (tmp_path / "labels").write_bytes(gzip.compress(content) if compressed else content)
    with pytest.raises(DataError, match="labels: .*" + message):
        read_idx(tmp_path / "labels")


def corrupt(position):
    content = bytearray(gzip.compress(LABELS))
    content[position] ^= 0xFF
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        gzip.compress(LABELS)[:-3],
        gzip.compress(LABELS)[:12],
        corrupt(2),
        corrupt(12),
        corrupt(-8),
        b"\x1f\x8b",
    ],
    ids=["cut trailer", "cut body", "method", "body", "sum", "only magic"],
)
def test_damaged_gzip(content, tmp_path):
    (tmp_path / "labels.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"labels\.gz: expected a whole gzip file, got a damaged one \(.+\); fetch"):
        read_idx(tmp_path / "labels.gz")


def test_gzip_bomb_is_not_unpacked(tmp_path):
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(LABELS + bytes(2**26)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="got more, which were not read; fetch"):
            read_idx(tmp_path / "bomb.gz")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**20


def test_max_bytes_is_a_limit_not_a_guess(tmp_path):
    (tmp_path / "labels").write_bytes(LABELS)
    assert read_idx(tmp_path / "labels", max_bytes=3).size == 3
    with pytest.raises(DataError, match=r"expected at most 2 bytes of elements, got a header that promises 3 "):
        read_idx(tmp_path / "labels", max_bytes=2)


def test_missing_file(tmp_path):
    with pytest.raises(DataError, match=r"absent: expected a readable IDX file, got No such file or directory; check"):
        read_idx(tmp_path / "absent")


def test_directory(tmp_path):
    with pytest.raises(DataError, match="expected a readable IDX file, got Is a directory; check"):
        read_idx(tmp_path)


def test_memory_that_there_is_not(tmp_path, monkeypatch):
    def refuse(*args):
        raise MemoryError

    (tmp_path / "labels").write_bytes(LABELS)
    monkeypatch.setattr(np, "empty", refuse)
    with pytest.raises(
        DataError, match=r"expected 3 bytes of free memory for the elements that its header promises .*;"
    ):
        read_idx(tmp_path / "labels")

"""Files that are cut, flipped or made to harm: always one clear line, a CheckpointError."""

import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest

import nnx
from nnx.errors import CheckpointError
from nnx.io import load_checkpoint, load_weights, save_checkpoint, save_weights
from nnx.io.layout import MOST_HEADER_BYTES

STATE = {"w": np.arange(3, dtype=np.float32), "b": np.array([True, False]), "n": np.inf, "z": np.zeros((0, 2))}
NNX = json.dumps({"format": 2, "nnx": "0", "layers": {}, "metadata": {}, "dtypes": {}})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run.safetensors"


def write(path, table, content=b"", length=None):
    """Write a safetensors file by hand; a table that is a mapping gets the header of nnx."""
    text = json.dumps({"__metadata__": {"nnx": NNX}, **table}) if isinstance(table, dict) else table
    start = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(struct.pack("<Q", len(start) if length is None else length) + start + content)


def entry(dtype="F32", shape=(2,), offsets=(0, 8), **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


def refused(path, load=load_weights):
    with pytest.raises(CheckpointError, match=f"^{path}: expected ") as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < len(str(path)) + 400
    return message


@pytest.mark.skipif(os.name != "posix", reason="os.pwrite is POSIX's")
@pytest.mark.parametrize("kind", ["checkpoint", "weights"])
def test_each_flipped_bit_is_found_or_changes_nothing(path, kind):
    if kind == "checkpoint":
        save_checkpoint(path, STATE, {"note": "a"})
        load, stride = load_checkpoint, 1
    else:  # the same writer: some bits are enough
        save_weights(path, nnx.Linear(1, 2, rng=0), {"note": "a"})
        load, stride = load_weights, 7
    whole, expected = path.read_bytes(), repr(load(path))
    harmless = 0
    with open(path, "r+b", buffering=0) as file:
        for bit in range(0, 8 * len(whole), stride):
            byte = bit // 8
            os.pwrite(file.fileno(), bytes([whole[byte] ^ 1 << bit % 8]), byte)
            try:
                assert repr(load(path)) == expected, f"bit {bit}"
                harmless += 1
            except CheckpointError:
                pass
            os.pwrite(file.fileno(), whole[byte : byte + 1], byte)
    assert harmless < 50  # such as a space that becomes another white character


def test_each_cut_is_found(path):
    save_checkpoint(path, STATE)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(path, load_checkpoint)
    path.write_bytes(whole + b"\0")
    assert "do not fill the file" in refused(path, load_checkpoint)


CLAIMS = {
    "another size than its shape": entry(shape=[3]),
    "other sizes than its shape": entry(offsets=[8, 0]),
    "negative": entry(offsets=[-8, 0]),
    "a gap": entry(offsets=[8, 16]),
    "beyond the file": entry(shape=[2**40], offsets=[0, 2**42]),
    "a number of bytes beyond 64 bits": entry(shape=[2**70], offsets=[0, 2**72]),
    "an axis that no array can have": entry(shape=[0, 2**64], offsets=[0, 0]),
    "too many axes": entry(shape=[1] * 65, offsets=[0, 4]),
    "a negative axis": entry(shape=[-1, -2]),
    "an axis that is a truth value": entry(shape=[True, 2]),
    "an axis that is a float": entry(shape=[2.0]),
    "a shape that is a text": entry(shape="2"),
    "an unknown dtype": entry(dtype="F128"),
    "a dtype that is no text": entry(dtype=["F32"]),
    "offsets that are no numbers": entry(offsets=["0", "8"]),
    "offsets that are floats": entry(offsets=[0.0, 8.0]),
    "three offsets": entry(offsets=[0, 4, 8]),
    "an unknown entry": entry(more=1),
    "no shape": {"dtype": "F32", "data_offsets": [0, 8]},
    "no mapping": [1],
}


@pytest.mark.parametrize("name", CLAIMS)
def test_claims_about_an_array(path, name):
    write(path, {"x": CLAIMS[name]}, bytes(8))
    refused(path)


def test_overlapping_arrays(path):
    write(path, {"x": entry(), "y": entry(offsets=[4, 12])}, bytes(12))
    assert "do not fill the file one after the other" in refused(path)


def test_names_are_never_paths(path):
    write(path, {"../x": entry()}, bytes(8))
    state, _ = load_weights(path)
    assert list(state) == ["../x"]
    assert os.listdir(path.parent) == [path.name]
    with pytest.raises(CheckpointError, match=r"\.\./x: not in the model"):
        nnx.Linear(1, 1).load_state_dict(state)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[1, 2]", "no table of arrays and texts"),
        (b'{"__metadata__": 3}', "no table of arrays and texts"),
        (b'{"__metadata__": {"nnx": 3}}', "no table of arrays and texts"),
        (b'{"a": 1, "a": 1}', "a key occurs twice"),
        (b'{"a": NaN}', "NaN is no number of JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "no JSON"),
        (b'{"a": "\xff"}', "no JSON"),
        (b"\xef\xbb\xbf{}", "no JSON"),
        (b"[" * 200_000, "too deep a nesting"),
        (b'{"a":' * 200_000, "too deep a nesting"),
    ],
)
def test_headers(path, text, reason):
    write(path, text)
    assert reason in refused(path)


@pytest.mark.parametrize(
    "header",
    [
        {"tree": {"$array": "y"}},
        {"tree": {"$array": 3}},
        {"tree": {"$float": "7ff"}},
        {"tree": {"$float": "g" * 16}},
        {"tree": {"$int": "12"}},
        {"tree": {"$int": "0xg"}},
        {"tree": {"$complex": [1]}},
        {"tree": {"$complex": [1, "a"]}},
        {"tree": {"$tuple": 3}},
        {"tree": {"$new": 3}},
        {"tree": 1, "metadata": 3},
        {"tree": 1, "dtypes": {"x": "float64"}},
        {"tree": 1, "dtypes": {"x": 3}},
        {"tree": 1, "dtypes": {"x": "object"}},
        {"tree": 1, "dtypes": {"x": "complex128"}},
        {"tree": 1, "dtypes": []},
        {"tree": 1, "format": 0},
        {"tree": 1, "format": 3},  # which has a checksum
    ],
)
def test_trees(path, header):
    text = json.dumps({**json.loads(NNX), **header})
    write(path, {"__metadata__": {"nnx": text}, "x": entry()}, bytes(8))
    refused(path, load_checkpoint)


def test_a_boolean_that_is_neither_0_nor_1(path):
    write(path, {"x": entry(dtype="BOOL", offsets=[0, 2])}, b"\1\2")
    assert "a boolean that is neither 0 nor 1" in refused(path)


def test_a_header_is_refused_before_it_is_read(path):
    """The file is as long as it says, without holding anything."""
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", 10**9))
        file.truncate(10**9 + 8)
    assert f"with a header of 1000000000 (at most {MOST_HEADER_BYTES})" in refused(path)
    write(path, {}, length=2**64 - 1)
    refused(path)


@pytest.mark.skipif(os.name != "posix", reason="named pipes and devices as POSIX has them")
def test_what_is_no_file(path, tmp_path):
    os.mkfifo(path)
    assert "got: a named pipe and no file" in refused(path)
    assert "got: a folder and no file" in refused(tmp_path)
    assert "got: a device and no file" in refused("/dev/zero")
    assert "got: a path with embedded null byte" in refused("a\0b")


@pytest.mark.skipif(sys.platform != "linux", reason="limits on memory as Linux has them")
def test_an_array_beyond_the_memory(path):
    """The file is as long as it says; the limit is that of the process."""
    with open(path, "wb") as file:
        start = json.dumps({"__metadata__": {"nnx": NNX}, "x": entry("U8", [2**34], [0, 2**34])}).encode()
        file.write(struct.pack("<Q", len(start)) + start)
        file.truncate(8 + len(start) + 2**34)
    code = (
        "import resource, sys; from nnx.io import load_weights\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**33, 2**33))\n"
        "load_weights(sys.argv[1])"
    )
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert "CheckpointError" in result.stderr
    assert "expected a file that fits into memory, got one that does not" in result.stderr

import os
import pickle
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from nnx.data import ArrayFile, DataLoader, as_dataset, load_npz
from nnx.data.files import open_file
from nnx.errors import ArgumentError, DataError

X = np.arange(24, dtype=np.float32).reshape(6, 2, 2)


@pytest.fixture
def npy(tmp_path):
    np.save(tmp_path / "x.npy", X)
    return tmp_path / "x.npy"


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<i8", ">u2", "|b1", "|u1", "<c8"])
@pytest.mark.parametrize("raw", [False, True])
def test_rows(tmp_path, dtype, raw):
    x = X.astype(dtype)
    if raw:
        (tmp_path / "x").write_bytes(b"head" + x.tobytes())
        file = ArrayFile(tmp_path / "x", dtype=dtype, shape=(-1, 2, 2), offset=4)
    else:
        np.save(tmp_path / "x.npy", x)
        file = ArrayFile(tmp_path / "x.npy")
    assert (len(file), file.shape, file.dtype) == (6, (6, 2, 2), x.dtype.newbyteorder("="))
    for index in (3, -1, slice(1, 4), slice(4, 4), slice(None, None, 2), slice(None, None, -1), [4, 0, 4], []):
        found = file[np.asarray(index, int) if index == [] else index]
        np.testing.assert_array_equal(found, x[index])
        assert found.dtype.isnative
        assert found.flags.writeable


def test_without_preadv(npy, monkeypatch):
    monkeypatch.delattr(os, "preadv")
    np.testing.assert_array_equal(ArrayFile(npy)[[5, 1]], X[[5, 1]])


@pytest.mark.parametrize("shape", [(6,), (6, 0), (0, 3)])
def test_few_elements(tmp_path, shape):
    np.save(tmp_path / "x.npy", np.ones(shape))
    file = ArrayFile(tmp_path / "x.npy")
    assert file.shape == shape
    assert file[:].shape == shape
    if shape[0]:
        assert file[2].shape == shape[1:]


@pytest.mark.parametrize("workers", [0, 2])
def test_in_a_loader_beside_an_array(npy, workers):
    data = as_dataset((ArrayFile(npy), np.arange(6)))
    for x, y in DataLoader(data, 4, workers=workers):
        np.testing.assert_array_equal(x, X[y])


def test_in_another_process(npy):
    file = pickle.loads(pickle.dumps(ArrayFile(npy)))
    np.testing.assert_array_equal(file[1:3], X[1:3])
    assert repr(file) == f"ArrayFile({str(npy)!r}, shape=(6, 2, 2), dtype=float32)"
    raw = pickle.loads(pickle.dumps(ArrayFile(npy, dtype="u1", shape=(-1,), offset=0)))
    assert raw[1:6].tobytes() == b"NUMPY"


def test_the_file_is_closed(npy):
    before = os.listdir("/dev/fd")
    files = [ArrayFile(npy) for _ in range(3)]
    del files
    assert os.listdir("/dev/fd") == before


def test_a_file_that_becomes_shorter(npy):
    file = ArrayFile(npy)
    os.truncate(npy, 150)
    with pytest.raises(DataError, match=r"x\.npy: expected row 5, got the end of the file; it became shorter"):
        file[[0, 5]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b[:-1], r"expected 96 bytes of elements for shape \(6, 2, 2\) of float32, got 95; check that"),
        (lambda b: b + b"\0", r"expected 96 bytes of elements for shape \(6, 2, 2\) of float32, got 97; check that"),
        (lambda b: b[:20], "expected the header of an NPY file of version 1 or 2, got another .*; check"),
        (lambda b: b"", "expected the header of an NPY file of version 1 or 2, got another"),
        (lambda b: b"\x93NUMPY\x09\0" + b[8:], "expected the header of an NPY file of version 1 or 2, got another"),
        (lambda b: b.replace(b"(6, 2, 2)", b"(-6, 2,2)"), r"expected a shape of lengths >= 0, got \(-6, 2, 2\); fetch"),
        (lambda b: b.replace(b"(6, 2, 2)", b"((((((((("), "expected the header of an NPY file"),
        (lambda b: b.replace(b"(6, 2, 2)", b"()       "), "expected at least one axis and its bytes of elements"),
        (lambda b: b.replace(b"(6, 2, 2)", b"(6, 9**9)"), "expected the header of an NPY file"),
        (lambda b: b.replace(b"'<f4'", b"'|O' "), "expected numbers, got object; save the array with"),
        (lambda b: b.replace(b"'<f4'", b"'<U1'"), "expected numbers, got <U1; save the array with"),
        (lambda b: b.replace(b"False", b"True "), "expected an array in C order, .* got Fortran order; save it again"),
    ],
)
def test_damaged(npy, change, message):
    npy.write_bytes(change(npy.read_bytes()))
    with pytest.raises(DataError, match=r"x\.npy: " + message):
        ArrayFile(npy)


def test_raw_files_need_both(npy):
    for options in ({"dtype": "f4"}, {"shape": (2,)}):
        with pytest.raises(ArgumentError, match="expected both dtype and shape for a raw file, or none of them"):
            ArrayFile(npy, **options)


def test_npz(tmp_path):
    y = np.arange(6)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "data.npz", x=X, y=y)
        assert load_npz(tmp_path / "data.npz").names == ("x", "y")
        x, label = load_npz(tmp_path / "data.npz", ("x", "y"))[2]
        np.testing.assert_array_equal(x, X[2])
        assert label == 2
        save(tmp_path / "data.npz", X, np.asfortranarray(X[:, :, 0]))
        dataset = load_npz(tmp_path / "data.npz")
        assert dataset.names is None
        np.testing.assert_array_equal(dataset.arrays[1], X[:, :, 0])


def cut(path):
    path.write_bytes(path.read_bytes()[:-30])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(content)


def claim(path):
    with zipfile.ZipFile(path, "w") as archive:
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
        archive.writestr("x.npy", b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + bytes(80))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "expected a whole NPZ file, got a damaged one .*; fetch it"),
        (flip, "expected a whole NPZ file, got a damaged one .*; fetch it"),
        (lambda path: path.write_bytes(b""), "expected a whole NPZ file, got a damaged one"),
        (claim, r"x\.npy: expected at most 1073741824 bytes of elements, got a header that promises 8000000000000 "),
        (lambda path: np.savez(path, x=np.asarray(["a"])), r"x\.npy: expected numbers, got <U1; save"),
        (lambda path: np.savez(path, x=np.asarray([None])), r"x\.npy: expected numbers, got object; save"),
        (lambda path: np.savez(path, x=np.ones(2), y=np.ones(3)), "arrays x, y: expected first axes of one length"),
        (lambda path: np.savez(path), "arrays none: expected at least one array, got none"),
    ],
)
def test_damaged_npz(tmp_path, damage, message):
    np.savez(tmp_path / "d.npz", x=np.arange(1000.0))
    damage(tmp_path / "d.npz")
    with pytest.raises(DataError, match=r"d\.npz.*" + message):
        load_npz(tmp_path / "d.npz")


def test_missing_array(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.ones(2))
    with pytest.raises(DataError, match=r"d\.npz: expected an array 'y', got x; choose of these"):
        load_npz(tmp_path / "d.npz", ("y",))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda folder: os.mkfifo(folder / "f"),
            r"f: expected a plain CSV file, got a pipe \(FIFO\), which cannot be read",
        ),
        (lambda folder: (folder / "f").mkdir(), "f: expected a readable CSV file, got Is a directory; check the path"),
        (lambda folder: None, "f: expected a readable CSV file, got No such file or directory; check the path"),
        (lambda folder: (folder / "f").symlink_to("f"), "f: expected a readable CSV file, got Too many levels of sym"),
    ],
)
def test_what_is_no_file(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(DataError, match=message):
        open_file(tmp_path / "f", "CSV file")


def test_names_that_are_none(monkeypatch):
    with pytest.raises(DataError, match=r"^'': expected a readable CSV file, got No such file or directory"):
        open_file("", "CSV file")
    with pytest.raises(DataError, match=r"expected the path of a plain CSV file, got an? embedded null"):
        open_file("a\0b", "CSV file")
    with pytest.raises(DataError, match="/dev/null: expected a plain CSV file, got a device, which cannot be read"):
        open_file("/dev/null", "CSV file")


def test_a_path_that_the_locale_does_not_have(tmp_path):
    read = f"nnx.data.read_idx('{tmp_path}/\\u00e4.idx')"
    code = f"import nnx\ntry:\n    {read}\nexcept nnx.errors.DataError as error:\n    print(error)"
    locale = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **locale})
    assert ran.stderr == ""
    assert "expected a path in the encoding ascii, got other characters; set PYTHONUTF8=1" in ran.stdout

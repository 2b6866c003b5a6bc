from typing import NamedTuple

import numpy as np
import pytest

import nnx
from nnx.backend import device_of, namespace, to_numpy
from nnx.data import collate
from nnx.errors import DataError


class Pair(NamedTuple):
    x: object
    y: object


class Picture:
    """As Pillow's images: it has ``__array_interface__`` and no axis of its own."""

    __array_interface__ = np.ones((2, 3), np.uint8).__array_interface__


def test_trees_keep_their_structure():
    samples = [{"a": (1, [2.0, i]), "b": Pair(np.ones(2), [np.zeros(3), "text"]), "c": None} for i in range(4)]
    batch = collate(samples)
    assert list(batch) == ["a", "b", "c"]
    assert batch["a"][0].tolist() == [1] * 4
    assert batch["a"][1].tolist() == [[2.0, i] for i in range(4)]
    assert isinstance(batch["b"], Pair)
    assert batch["b"].x.shape == (4, 2)
    assert batch["b"].y[0].shape == (4, 3)
    assert batch["b"].y[1] == ["text"] * 4
    assert batch["c"] is None


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2], "int32"),
        ([1.0, 2.0], "float32"),
        ([1, 2.5], "float32"),
        ([True, False], "bool"),
        ([1j, 2], "complex128"),
        ([[1, 2], [3, 4]], "int32"),
        ([[], []], "float32"),
        ([np.int64(1), np.int64(2)], "int64"),
        ([np.float64(1), np.float64(2)], "float64"),
        ([np.uint8([1]), np.uint8([2])], "uint8"),
        ([Picture(), Picture()], "uint8"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_dtypes(values, dtype):
    assert collate(values).dtype == dtype


def test_numbers_join_the_library_and_device_of_the_arrays(xp):
    x = xp.asarray(np.arange(6).reshape(2, 3))
    batch = collate([{"y": 1, "p": Picture(), "x": x[0, ...]}, {"y": 2, "p": Picture(), "x": x[1, ...]}])
    for part in batch.values():
        assert namespace(part) is namespace(x)
        assert device_of(part) == device_of(x)
    np.testing.assert_array_equal(to_numpy(batch["x"]), to_numpy(x))
    assert to_numpy(batch["y"]).tolist() == [1, 2]


def test_numbers_alone_go_to_the_selected_backend(xp):
    with nnx.use_backend(xp.spec):
        batch = collate([(1, 2.0), (3, 4.0)])
    assert all(namespace(part) is namespace(xp.empty) for part in batch)
    assert all(device_of(part) == device_of(xp.empty) for part in batch)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([np.ones(2), np.ones(3)], r"sample 9: expected shape \(2,\) of float64, as in sample 4, got shape \(3,\) of"),
        ([{"x": ([1], 2)}, {"x": ([1, 2], 2)}], r"sample 9, 'x.0': expected numbers of shape \(1,\), .*, got numbers"),
        ([[1], 2], r"sample 9: expected numbers of shape \(1,\), as in sample 4, got a number; make"),
        ([2, "a"], r"sample 9: expected a number, as in sample 4, got an object of type str; make the samples alike"),
        ([np.ones(2), np.ones(2, "float32")], r"expected shape \(2,\) of float64, as .*, got shape \(2,\) of float32"),
        ([{"a": 1}, {"b": 1}], "sample 9: expected a dict with a, as in sample 4, got a dict with b; make"),
        ([{"a": 1}, (1,)], "sample 9: expected a dict with a, as in sample 4, got an object of type tuple; make"),
        ([("a", 1), ("a",)], "sample 9: expected a tuple of 2, as in sample 4, got a tuple of 1; make"),
        ([("a",), 1], "sample 9: expected a tuple of 1, as in sample 4, got an object of type int"),
        ([None, 1], "sample 9: expected an object of type NoneType, as in sample 4, got an object of type int"),
        (["a", None], "sample 9: expected an object of type str, as in sample 4, got an object of type NoneType"),
        ([[[1], [1, 2]], [[1], [1, 2]]], "sample 4: expected lists of one length, got several; pad them"),
        ([[[1], [2]], [[1], [1, 2]]], r"sample 9: expected numbers of shape \(2, 1\), .* got lists of several lengths"),
        ([object(), 1], "sample 4: expected numbers, arrays, text, or tuples, .*, got an object of type object;"),
        ([1, 2**31], "sample 9: expected integers that fit into 32 bits, got 2147483648; make them numpy.int64"),
        ([1, 2**70], "sample 9: expected integers that fit into 32 bits, got 1180591620717411303424; make"),
        ([[1, -(2**40)], [1, 1]], r"sample 4: expected integers that fit into 32 bits, got \[.*\]; make"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(samples, message):
    with pytest.raises(DataError, match=message):
        collate(samples, [4, 9])


def test_no_samples():
    with pytest.raises(DataError, match="expected at least one sample to make a batch of, got none"):
        collate([])

"""Values and errors of indexing; the derivatives are in the battery."""

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.testing import assert_close


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("of", ["int64", "int8", "uint8"])
def test_one_hot(xp, dtype, of):
    index = np.asarray([[2, 0], [1, 2]])
    assert_close(F.one_hot(xp.asarray(index, of), 3, dtype=dtype), xp.asarray(np.eye(3)[index], dtype))


@pytest.mark.parametrize("wrong", [-1, 3])
def test_one_hot_out_of_range(xp, wrong):
    index = xp.asarray([0, wrong, 1], "int64")
    if nnx.backend.is_cheap_to_read(index):
        with pytest.raises(ArgumentError, match=f"expected indices from 0 to 2, got {wrong}"):
            F.one_hot(index, 3)
    else:
        assert_close(F.one_hot(index, 3), xp.asarray([[1, 0, 0], [0, 0, 0], [0, 1, 0]], "float32"))


def test_one_hot_checks_its_arguments(xp):
    index = xp.asarray([0, 1], "int64")
    with pytest.raises(ArgumentError, match="expected at least one class, got classes=0"):
        F.one_hot(index, 0)
    with pytest.raises(ArgumentError, match=r"expected dtype to be one of .*'float32'.*, got 'float33'"):
        F.one_hot(index, 3, dtype="float33")
    with pytest.raises(DTypeError, match="expected indices of an integer dtype, got float32"):
        F.one_hot(xp.asarray([0.0]), 3)


@pytest.mark.parametrize("of", ["int64", "int32", "uint8"])
def test_gather_adds_up_what_comes_back(xp, of):
    x = xp.asarray([[1.0, 2.0], [3.0, 4.0]])
    y, pullback = nnx.vjp(lambda x: F.gather(x, xp.asarray([[1, 1, 0], [0, 0, 0]], of), axis=-1), x)
    assert_close(y, xp.asarray([[2.0, 2.0, 1.0], [3.0, 3.0, 3.0]]))
    cotangent = xp.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert_close(pullback(cotangent)[0], xp.asarray([[3.0, 3.0], [15.0, 0.0]]))


def test_gather_broadcasts_and_counts_from_the_end(xp):
    x = xp.asarray([[1.0, 2.0], [3.0, 4.0]])
    y, pullback = nnx.vjp(lambda x: F.gather(x, xp.asarray([[-1]], "int64"), axis=1), x)
    assert_close(y, xp.asarray([[2.0], [4.0]]))
    assert_close(pullback(y)[0], xp.asarray([[0.0, 2.0], [0.0, 4.0]]))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_index_add_adds_up_repeated_indices(xp, dtype, axis):
    rng = np.random.default_rng(0)
    x = rng.integers(9, size=(3, 3, 3)).astype(dtype)
    indices = np.asarray([2, 0, 2, -1, -3])
    values = np.moveaxis(rng.integers(9, size=(5, 3, 3)), 0, axis).astype(dtype)
    expected = np.moveaxis(x.copy(), axis, 0)
    np.add.at(expected, indices, np.moveaxis(values, axis, 0))
    given = xp.asarray(x, dtype)
    found = F.index_add(given, xp.asarray(indices, "int64"), xp.asarray(values, dtype), axis=axis)
    assert_close(found, xp.asarray(np.moveaxis(expected, 0, axis), dtype))
    assert_close(given, xp.asarray(x, dtype))


def test_index_add_of_nothing(xp):
    x = xp.asarray([[1.0, 2.0]])
    assert_close(F.index_add(x, xp.asarray([], "int64"), xp.asarray(np.zeros((0, 2)))), x)


def test_what_does_not_fit():
    x, index = np.ones((2, 3)), np.asarray([0, 1])
    with pytest.raises(ShapeError, match=r"of the shape of the input, \(2, 3\), outside axis 1, got \(2,\)"):
        F.gather(x, index, axis=1)
    with pytest.raises(ArgumentError, match="expected indices from -3 to 2, got 3"):
        F.gather(x, np.asarray([[3], [0]]), axis=1)
    with pytest.raises(DTypeError, match="expected indices of an integer dtype, got float64"):
        F.gather(x, x, axis=0)
    with pytest.raises(ShapeError, match=r"expected indices of shape \(count,\), got \(1, 2\)"):
        F.index_add(x, index[None], x)
    with pytest.raises(ShapeError, match=r"expected values of shape \(2, 2\), a slice .*, got \(2, 3\)"):
        F.index_add(x, index, x, axis=1)
    with pytest.raises(DTypeError, match="expected input of dtype float32, as values, got float64"):
        F.index_add(x, index, x.astype(np.float32))
    with pytest.raises(DTypeError, match="expected input of a numeric dtype, got bool"):
        F.index_add(x > 0, index, x > 0)
    with pytest.raises(ArgumentError, match="expected indices from -2 to 1, got 2"):
        F.index_add(x, index + 1, x)
    with pytest.raises(ShapeError, match="expected an array that has axis 2"):
        F.index_add(x, index, x, axis=2)

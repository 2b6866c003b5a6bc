"""Padding and windows, beside those of NumPy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, ShapeError
from nnx.testing import assert_close, check_gradients

DTYPES = st.sampled_from(["float64", "float32", "int32", "bool"])


def numbers(shape, dtype):
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


@given(st.data())
def test_pad_as_numpy(xp, data):
    shape = data.draw(st.lists(st.integers(0, 3), max_size=3))
    width = st.integers(0, 2)
    widths = data.draw(st.one_of(width, st.tuples(*[st.tuples(width, width)] * len(shape))))
    dtype, value = data.draw(DTYPES), data.draw(st.sampled_from([0.0, 1.0, 1]))
    x = numbers(shape, dtype)
    expected = np.pad(x, widths, constant_values=value) if shape else x
    assert_close(F.pad(xp.asarray(x, dtype), widths, value=value), xp.asarray(expected, dtype))


@given(st.data())
def test_sliding_window_as_numpy(xp, data):
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    size, step = data.draw(st.integers(1, shape[axis])), data.draw(st.integers(1, 4))
    dtype = data.draw(DTYPES)
    x = numbers(shape, dtype)
    windows = np.lib.stride_tricks.sliding_window_view(x, size, axis=axis)
    expected = np.take(windows, np.arange(0, shape[axis] - size + 1, step), axis=axis % len(shape))
    found = F.sliding_window(xp.asarray(x, dtype), size, axis=axis, step=step)
    assert_close(found, xp.asarray(expected, dtype))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: F.pad(x, 1),
        lambda x: F.pad(x, [(0, 2), (1, 0)], value=-1.0) ** 2,
        lambda x: F.sliding_window(x, 3),
        lambda x: F.sliding_window(x, 2, axis=0, step=2) ** 2,
    ],
)
def test_gradients(function):
    check_gradients(function, np.random.default_rng(0).normal(size=(4, 5)), order=2, modes=("reverse", "forward"))


def test_grad_of_grad_and_jvp(xp):
    x = xp.asarray([1.0, 2.0, 3.0], "float64")

    def total(x):
        return nnx.namespace(x).sum(F.sliding_window(F.pad(x, 1), 3) ** 2)

    counts = xp.asarray([2.0, 3.0, 2.0], "float64")
    assert_close(nnx.grad(total)(x), 2.0 * counts * x)
    twice = nnx.grad(lambda x: nnx.namespace(x).sum(nnx.grad(total)(x)))(x)
    assert_close(twice, 2.0 * counts)
    assert_close(nnx.jvp(total, (x,), (x,))[1], 2.0 * total(x))


def test_pad_with_what_is_not_finite(xp):
    for value in (float("inf"), float("nan")):
        expected = xp.asarray([value, 1.0], "float32")
        assert_close(F.pad(xp.asarray([1.0], "float32"), [(1, 0)], value=value), expected, equal_nan=True)


@pytest.mark.parametrize("widths", [-1, [(0, -1)], 1.5, [(1, 1.0)]])
def test_pad_checks_its_widths(widths):
    with pytest.raises(ArgumentError, match=r"expected (each width|widths) to be an integer of at least 0, got -?1"):
        F.pad(np.ones(3), widths)


@pytest.mark.parametrize("widths", [(1, 2), [(1, 1)], [(1, 2, 3), (1, 1)]])
def test_pad_wants_a_pair_for_each_axis(widths):
    with pytest.raises(ArgumentError, match=r"expected widths to be an int or 2 pairs \(before, after\), one per axis"):
        F.pad(np.ones((2, 3)), widths)


@pytest.mark.parametrize(("dtype", "value"), [("int32", 0.5), ("int32", float("inf")), ("bool", 2), ("float32", 1j)])
def test_pad_with_what_the_dtype_has_not(dtype, value):
    with pytest.raises(ArgumentError, match=f"expected value to be a number that {dtype} has"):
        F.pad(np.ones(3, dtype), 1, value=value)
    with pytest.raises(ArgumentError, match="expected value to be a number, got ndarray"):
        F.pad(np.ones(3, dtype), 1, value=np.ones(()))


def test_sliding_window_checks_its_arguments():
    x = np.ones((2, 3))
    for bad in (0, -1, 1.5):
        with pytest.raises(ArgumentError, match=f"expected size to be an integer of at least 1, got {bad}"):
            F.sliding_window(x, bad)
        with pytest.raises(ArgumentError, match=f"expected step to be an integer of at least 1, got {bad}"):
            F.sliding_window(x, 2, step=bad)
    with pytest.raises(ShapeError, match="expected an axis of length 4 or more, the size of a window, got 3"):
        F.sliding_window(x, 4)
    with pytest.raises(ShapeError, match="expected an array that has axis 2, got one with 2 axes"):
        F.sliding_window(x, 1, axis=2)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.testing import assert_close

DRAW = {"seed": 3, "step": 7}


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=4).map(tuple),
    st.sampled_from([0.0, 1e-6, 0.1, 0.5, 0.9, 1.0]),
    st.data(),
)
def test_values_and_gradients_are_those_of_the_mask(shape, probability, data):
    axes = data.draw(st.sets(st.integers(-len(shape), len(shape) - 1)) | st.none())
    x, g = np.random.default_rng(0).normal(size=(2, *shape))
    varying = range(len(shape)) if axes is None else {axis % len(shape) for axis in axes}
    shared = tuple(n if axis in varying else 1 for axis, n in enumerate(shape))
    mask = nnx.backend.scaled_mask(shared, 1.0 - probability, like=x, stream="dropout", **DRAW)
    y, pullback = nnx.vjp(lambda x: F.dropout(x, probability=probability, axes=axes, **DRAW), x)
    np.testing.assert_array_equal(y, x * mask)
    np.testing.assert_array_equal(pullback(g)[0], g * mask)


def test_the_mask_is_the_same_on_every_backend(xp):
    x = np.arange(1.0, 25.0, dtype=np.float32).reshape(2, 3, 4)
    for function in (F.dropout, F.alpha_dropout):
        assert_close(function(xp.asarray(x), **DRAW), xp.asarray(function(x, **DRAW)), rtol=1e-6)


def test_what_is_dropped_is_zero_whatever_it_was(xp):
    x = xp.asarray(np.full(64, np.inf))
    y, pullback = nnx.vjp(lambda x: F.dropout(x, **DRAW), x)
    y, gradient = nnx.to_numpy((y, pullback(x)[0]))
    assert set(y) == set(gradient) == {0.0, np.inf}
    assert not np.any(nnx.to_numpy(F.dropout(x, probability=1.0, **DRAW)))
    assert not np.any(nnx.to_numpy(F.alpha_dropout(x, probability=1.0, **DRAW)))


def test_probability_zero_gives_the_input_itself(xp):
    x = xp.asarray([1.0, np.nan])
    assert F.dropout(x, probability=0.0, **DRAW) is x
    assert F.alpha_dropout(x, probability=0.0, **DRAW) is x


def test_expected_value_is_kept():
    for probability in (0.1, 0.5, 0.9):
        assert np.mean(F.dropout(np.ones(100_000), probability=probability, **DRAW)) == pytest.approx(1.0, abs=0.03)


def test_alpha_dropout_keeps_mean_and_variance():
    x = np.random.default_rng(0).normal(size=100_000)
    for probability in (0.1, 0.5, 0.9):
        y = F.alpha_dropout(x, probability=probability, **DRAW)
        assert (np.mean(y), np.var(y)) == (pytest.approx(0.0, abs=0.02), pytest.approx(1.0, abs=0.02))


def test_the_pullback_keeps_a_byte_for_what_the_mask_distinguishes():
    x = np.ones((4, 8, 16), np.float32)
    for axes, count in ((None, x.size), ((0, 1), 32), ((0,), 4)):
        _, pullback = F.dropout.rule([1], x, axes=axes, **DRAW)
        held = [cell.cell_contents for cell in pullback.__closure__ if isinstance(cell.cell_contents, np.ndarray)]
        assert [array.nbytes for array in held] == [count]


def test_errors():
    x = np.ones((2, 3))
    for wrong in (-0.1, 1.5, float("nan"), "0.5", None):
        with pytest.raises(ArgumentError, match=r"expected probability in \[0, 1\], got"):
            F.dropout(x, probability=wrong, **DRAW)
    with pytest.raises(ShapeError, match="expected an array that has axis 2, got one with 2 axes"):
        F.dropout(x, axes=(0, 2), **DRAW)
    with pytest.raises(DTypeError, match="expected input of a floating-point dtype, got int64"):
        F.dropout(np.ones(2, np.int64), **DRAW)

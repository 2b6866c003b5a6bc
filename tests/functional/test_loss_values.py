"""What the losses give at kinks, at extreme values and in 16 bits; their derivatives elsewhere are in the battery."""

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError
from nnx.testing import assert_close


@pytest.mark.parametrize("function", [F.mse, F.mae, F.huber, F.smooth_l1])
def test_nan_stays_nan(function):
    x, target = np.asarray([np.nan, 1.0]), np.zeros(2)
    assert np.isnan(function(x, target))
    assert np.isnan(nnx.grad(function)(x, target)[0])


@pytest.mark.parametrize(
    ("function", "options", "x", "slope"),
    [
        (F.mae, {}, [0.0, 1.0, -1.0], [0.0, 1.0, -1.0]),
        (F.smooth_l1, {"beta": 0.0}, [0.0, 1.0, -1.0], [0.0, 1.0, -1.0]),
        (F.huber, {"delta": 0.5}, [0.5, -0.5, 1.0], [0.5, -0.5, 0.5]),
        (F.smooth_l1, {"beta": 0.5}, [0.5, -0.5, 0.25], [1.0, -1.0, 0.5]),
    ],
)
def test_slopes_where_the_formula_changes(xp, function, options, x, slope):
    x = xp.asarray(x, "float64")
    found = nnx.grad(lambda x: function(x, 0.0 * x, reduction="sum", **options))(x)
    assert_close(found, xp.asarray(slope, "float64"))


def test_the_sizes_of_the_quadratic_part_are_checked():
    x = np.ones(3)
    for delta in (0.0, -1.0, float("nan")):
        with pytest.raises(ArgumentError, match="expected delta > 0, got"):
            F.huber(x, x, delta=delta)
    for beta in (-1.0, float("nan")):
        with pytest.raises(ArgumentError, match="expected beta >= 0, got"):
            F.smooth_l1(x, x, beta=beta)


@pytest.mark.parametrize("function", [F.mse, F.mae, F.huber])
def test_sixteen_bits_are_added_up_in_float32(function):
    x = np.full((4096, 40), 3.0, np.float16)  # a sum in float16 would overflow
    value, pullback = nnx.vjp(lambda x: function(x, 0.0 * x), x)
    assert value == function(np.asarray([3.0]), np.asarray([0.0]))
    assert value.dtype == np.float16
    assert (pullback(np.asarray(16384.0, np.float16))[0] != 0).all()


def test_sixteen_bits_are_not_mixed():
    with pytest.raises(nnx.errors.DTypeError, match="expected input of dtype float32, as target, got float16"):
        F.mse(np.ones(2, np.float16), np.ones(2, np.float32))

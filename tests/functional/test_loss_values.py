"""What the losses give at kinks, at extreme values and in 16 bits; their derivatives elsewhere are in the battery."""

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.testing import assert_close


@pytest.mark.parametrize("function", [F.mse, F.mae, F.huber, F.smooth_l1, F.bce, F.bce_with_logits])
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
        (F.hinge, {}, [1.0, 1.5, 0.5], [-1.0, 0.0, -1.0]),
    ],
)
def test_slopes_where_the_formula_changes(xp, function, options, x, slope):
    x = xp.asarray(x, "float64")
    found = nnx.grad(lambda x: function(x, 0.0 * x + float(function is F.hinge), reduction="sum", **options))(x)
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
    with pytest.raises(DTypeError, match="expected input of dtype float32, as target, got float16"):
        F.mse(np.ones(2, np.float16), np.ones(2, np.float32))


def test_bce_at_its_ends_is_that_of_pytorch(xp):
    x, target = xp.asarray([0.0, 1.0, 0.0, 1.0], "float64"), xp.asarray([1.0, 0.0, 0.0, 1.0], "float64")
    value, pullback = nnx.vjp(lambda x: F.bce(x, target, reduction="none"), x)
    assert_close(value, xp.asarray([100.0, 100.0, 0.0, 0.0], "float64"))
    assert_close(pullback(0.0 * x + 1.0)[0], xp.asarray([-1e12, 1e12, 0.0, 0.0], "float64"))


def test_bce_wants_probabilities():
    x = np.asarray([0.5, 1.5])
    for args in ((x, 0.0 * x), (0.0 * x, x)):
        with pytest.raises(ArgumentError, match=r"expected probabilities from 0 to 1, got 1\.5; for logits use"):
            F.bce(*args)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logits_of_ten_thousand(xp, dtype):
    logits, target = xp.asarray([1e4, -1e4, 1e4, -1e4], dtype), xp.asarray([0.0, 1.0, 1.0, 0.0], dtype)
    for args in ((), (xp.asarray([1.0], dtype), xp.asarray([2.0], dtype))):
        value, pullback = nnx.vjp(lambda x, args=args: F.bce_with_logits(x, target, *args, reduction="none"), logits)
        factor = 2.0 if args else 1.0
        assert_close(value, xp.asarray([1e4, factor * 1e4, 0.0, 0.0], dtype))
        assert_close(pullback(0.0 * logits + 1.0)[0], xp.asarray([1.0, -factor, 0.0, 0.0], dtype))


def test_a_confident_right_answer_has_an_exact_gradient():
    logits = np.asarray([-20.0, -80.0], np.float32)
    found = nnx.grad(lambda x: F.bce_with_logits(x, np.zeros(2, np.float32), reduction="sum"))(logits)
    assert_close(found, np.exp(logits), rtol=1e-5)


def test_derivatives_of_the_logistic_loss_at_zero():
    """Its formula has an absolute value and a maximum, whose kinks cancel."""
    loss = lambda x: F.bce_with_logits(x, 0.0 * x, reduction="sum")  # noqa: E731
    x, slopes = np.zeros(1), []
    for _ in range(4):
        loss = lambda x, f=loss: nnx.namespace(x).sum(nnx.grad(f)(x))  # noqa: E731
        slopes.append(float(loss(x)))
    np.testing.assert_allclose(slopes, [0.5, 0.25, 0.0, -0.125])


@pytest.mark.parametrize("function", [F.bce, F.bce_with_logits])
def test_weights_are_checked(function):
    x = np.full((4, 3), 0.5)
    with pytest.raises(ShapeError, match=r"weight of a shape that broadcasts to the .*'s, \(4, 3\), got \(4,\)"):
        function(x, x, np.ones(4))
    with pytest.raises(DTypeError, match=r"expected \w+ of dtype float32, as weight, got float64"):
        function(x, x, np.ones(3, np.float32))
    with pytest.raises(DTypeError, match="expected weight to be an array, got float"):
        function(x, x, 2.0)


def test_targets_of_a_hinge():
    x = np.ones(2)
    with pytest.raises(ArgumentError, match=r"expected a target of -1 and 1, got 0; .*use 2 \* target - 1"):
        F.hinge(x, np.asarray([1, 0]))
    with pytest.raises(ArgumentError, match=r"expected a target of -1 and 1, got 0\.5"):
        F.hinge(x, np.asarray([1.0, 0.5]))
    with pytest.raises(DTypeError, match="expected target of a signed integer or floating-point dtype, got bool"):
        F.hinge(x, np.asarray([True, False]))
    with pytest.raises(DTypeError, match="expected input of dtype float32, as target, got float64"):
        F.hinge(x, x.astype(np.float32))
    with pytest.raises(ShapeError, match=r"expected target of shape \(2,\), as the input, got \(3,\)"):
        F.hinge(x, np.ones(3))

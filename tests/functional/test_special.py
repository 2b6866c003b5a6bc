"""Values and errors of the special functions; their derivatives are in the battery."""

import math

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.testing import assert_close


def points(dtype):
    rng = np.random.default_rng(0)
    edges = np.asarray([0.84375, 1.25, 1 / 0.35, 6.0, 30.0])
    tiny = float(np.finfo(dtype).tiny)
    huge = float(np.finfo(dtype).max)
    special = [0.0, tiny, 1e-30, 1e-8, huge, np.inf, *edges, *np.nextafter(edges, 0), *np.nextafter(edges, 99)]
    spread = [rng.uniform(-7, 7, 1500), rng.normal(size=300) * 0.5, 10.0 ** rng.uniform(-30, 30, 200)]
    return np.concatenate([*spread, special, np.negative(special)]).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_erf_is_that_of_the_standard_library(xp, dtype):
    x = points(dtype)
    found = xp.to_numpy(F.erf(xp.asarray(x, dtype)))
    assert found.dtype == dtype
    expected = np.asarray([math.erf(value) for value in x.astype(float)])
    ulps = np.abs(found.astype(float) - expected) / np.spacing(np.abs(expected).astype(dtype))
    assert ulps.max() <= 3
    assert_close(np.signbit(found), np.signbit(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_erf_of_nan_and_derivatives_far_out(xp, dtype):
    assert np.isnan(xp.to_numpy(F.erf(xp.asarray([np.nan], dtype))))
    x = xp.asarray([np.inf, -np.inf, np.finfo(dtype).max, 0.0, 1.0], dtype)
    slope = 2 / math.sqrt(math.pi)
    first = lambda x: nnx.vjp(F.erf, x)[1](nnx.namespace(x).ones_like(x))[0]  # noqa: E731
    assert_close(first(x), xp.asarray([0.0, 0.0, 0.0, slope, slope / math.e], dtype))
    second = nnx.vjp(first, x)[1](nnx.namespace(x).ones_like(x))[0]
    assert_close(second, xp.asarray([0.0, 0.0, 0.0, 0.0, -2 * slope / math.e], dtype))
    assert_close(nnx.jvp(F.erf, (x,), (nnx.namespace(x).ones_like(x),))[1], first(x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logsumexp_of_infinities(xp, dtype):
    inf = math.inf
    rows = [[-inf, -inf, -inf], [-inf, 0.0, 0.0], [inf, 0.0, 3e4], [inf, -inf, inf], [3e4, 3e4, 0.0], [-3e4] * 3]
    x = xp.asarray(rows, dtype)
    expected = [-inf, math.log(2), inf, inf, 3e4 + math.log(2), -3e4 + math.log(3)]
    y, pullback = nnx.vjp(lambda x: F.logsumexp(x, axis=-1), x)
    assert_close(y, xp.asarray(expected, dtype))
    third = [1 / 3] * 3
    softmax = xp.asarray([third, [0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0], third], dtype)
    assert_close(pullback(nnx.namespace(y).ones_like(y))[0], softmax)
    weights = xp.asarray([1.0, 2.0, 4.0], dtype)
    _, tangent = nnx.jvp(lambda x: F.logsumexp(x, axis=-1), (x,), (0.0 * softmax + weights,))
    assert_close(tangent, nnx.namespace(x).sum(softmax * weights, axis=-1))
    assert np.isnan(xp.to_numpy(F.logsumexp(xp.asarray([np.nan, 0.0], dtype))))


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (-1, 0, 1), ()])
@pytest.mark.parametrize("keepdims", [False, True])
def test_axes_of_logsumexp(xp, axis, keepdims):
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    expected = np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))
    found = F.logsumexp(xp.asarray(x, "float64"), axis=axis, keepdims=keepdims)
    assert_close(found, xp.asarray(expected, "float64"), rtol=1e-14, atol=1e-14)
    one = xp.asarray(2.0, "float64")
    assert_close(F.logsumexp(one), one)
    assert_close(nnx.grad(F.logsumexp)(one), xp.asarray(1.0, "float64"))


@pytest.mark.parametrize("function", [F.erf, F.logsumexp])
def test_dtypes(xp, function):
    with pytest.raises(DTypeError, match="expected input of a floating-point dtype, got int64"):
        function(xp.asarray([1, 2], "int64"))
    with pytest.raises(DTypeError, match="expected input of a real dtype, got complex64"):
        function(xp.asarray([1, 2], "complex64"))


def test_axes_that_are_not_there():
    with pytest.raises(ShapeError, match="expected an array that has axis 2, got one with 2 axes"):
        F.logsumexp(np.ones((2, 3)), axis=2)
    with pytest.raises(ArgumentError, match=r"expected each axis once, got axis=\(1, -1\)"):
        F.logsumexp(np.ones((2, 3)), axis=(1, -1))
    with pytest.raises(ShapeError, match=r"expected at least one element to sum over, got input of shape \(2, 0\)"):
        F.logsumexp(np.ones((2, 0)), axis=1)

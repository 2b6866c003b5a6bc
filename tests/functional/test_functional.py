"""Errors and extreme values of the functions; their derivatives are in the battery."""

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.errors import BackendError, DTypeError, ShapeError
from nnx.testing import assert_close


@pytest.mark.parametrize("function", [F.relu, F.sigmoid, F.exponential, F.softmax, F.log_softmax])
def test_integers(xp, function):
    with pytest.raises(
        DTypeError, match=r"expected input of a floating-point dtype, got int64; convert it, .*xp\.float32"
    ):
        function(xp.asarray([1, 2], "int64"))


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
@pytest.mark.parametrize("axis", [2, -3])
def test_an_axis_that_is_not_there(function, axis):
    with pytest.raises(ShapeError, match=f"expected an array that has axis {axis}, got one with 2 axes"):
        function(np.ones((2, 3)), axis=axis)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nothing_overflows(xp, dtype):
    x = xp.asarray([-1e4, 0.0, 1e4], dtype)
    assert_close(F.sigmoid(x), xp.asarray([0.0, 0.5, 1.0], dtype))
    assert_close(F.softmax(x), xp.asarray([0.0, 0.0, 1.0], dtype))
    assert_close(F.log_softmax(x), xp.asarray([-2e4, -1e4, 0.0], dtype))


def test_linear_checks_its_arrays():
    x, w = np.ones((4, 3)), np.ones((3, 2))
    with pytest.raises(ShapeError, match=r"expected weight of shape \(in_features, out_features\), got \(3,\)"):
        F.linear(x, np.ones(3))
    with pytest.raises(ShapeError, match=r"expected bias of shape \(2,\), got \(3,\)"):
        F.linear(x, w, np.ones(3))
    with pytest.raises(DTypeError, match="expected input of dtype float32, as weight, got float64"):
        F.linear(x, w.astype(np.float32))
    with pytest.raises(DTypeError, match="expected input of dtype float32, as bias, got float64"):
        F.linear(x, w, np.ones(2, np.float32))


@pytest.mark.parametrize("function", [F.relu, F.sigmoid, F.softmax, F.log_softmax])
def test_complex_numbers_have_no_order(function):
    with pytest.raises(DTypeError, match=r"expected input of a real dtype, got complex128; use xp\.real"):
        function(np.ones((2, 3), np.complex128))


@pytest.mark.parametrize("function", [F.mse, F.mses])
def test_losses_are_of_real_numbers(function):
    x = np.ones((2, 3), np.complex64)
    with pytest.raises(DTypeError, match="of a real dtype, got complex64"):
        function(x, x)
    with pytest.raises(DTypeError, match="expected logits of a real dtype, got complex64"):
        F.cross_entropy(x, np.asarray([0, 1]))


def test_arrays_of_two_libraries():
    strict = pytest.importorskip("array_api_strict")
    with pytest.raises(BackendError, match=r"got numpy \(argument 0\) and array-api-strict \(argument 1\)"):
        F.linear(np.ones((4, 3)), strict.ones((3, 2)))
    with pytest.raises(BackendError, match="expected arrays of one library"):
        F.mse(np.ones(3), strict.ones(3))


def test_reparameterize_checks_its_arrays():
    one = np.ones((2, 3))
    with pytest.raises(ShapeError, match=r"expected variance of shape \(2, 3\), as the mean, got \(3,\)"):
        F.reparameterize(one, np.ones(3), one)
    with pytest.raises(ShapeError, match=r"expected noise of shape \(2, 3\), as the mean, got \(1, 3\)"):
        F.reparameterize(one, one, np.ones((1, 3)))
    with pytest.raises(
        DTypeError, match="expected mean of dtype float32, as noise, got float64; convert the noise with"
    ):
        F.reparameterize(one, one, one.astype(np.float32))


def test_linear_makes_no_temporary_larger_than_its_arrays():
    # The post's (batch, in, out) product would have 10**9 elements.
    x, w = np.ones((1000, 1000), np.float32), np.ones((1000, 1000), np.float32)
    _, pullback = nnx.vjp(F.linear, x, w)
    assert [g.shape for g in pullback(x)] == [x.shape, w.shape]

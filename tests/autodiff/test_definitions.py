"""What derivatives are where a choice is to be made: at kinks, at zero, for steps, masks and mixed dtypes."""

import numpy as np
import pytest

import nnx
from nnx.testing import assert_close


def gradient(function, *args):
    return nnx.grad(lambda *args: nnx.namespace(*args).sum(function(*args)), argnums=range(len(args)))(*args)


class TestKinks:
    def test_of_relu_and_abs_at_zero_is_zero(self, xp):
        zero = xp.asarray([0.0], "float64")
        assert_close(gradient(nnx.functional.relu, zero), (zero,))
        assert_close(gradient(abs, zero), (zero,))

    @pytest.mark.parametrize("name", ["maximum", "minimum"])
    def test_a_tie_halves(self, xp, name):
        one = xp.asarray([1.0], "float64")
        found = gradient(lambda x, y: getattr(nnx.namespace(x, y), name)(x, y), one, one)
        assert_close(found, (0.5 * one, 0.5 * one))

    @pytest.mark.parametrize("name", ["max", "min"])
    def test_ties_of_an_extremum_share_evenly(self, xp, name):
        x = xp.asarray([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 5.0, 5.0]], "float64")
        (found,) = gradient(lambda x: getattr(nnx.namespace(x), name)(x, axis=1), x)
        assert_close(found[0, :], xp.asarray([0.25] * 4, "float64"))
        assert_close(xp.namespace.sum(found, axis=1), xp.asarray([1.0, 1.0], "float64"))


class TestPower:
    @pytest.mark.parametrize("exponent", [0, 0.0, 1, 2, 3.0])
    def test_of_zero_is_finite(self, xp, exponent):
        x = xp.asarray([0.0, 2.0], "float64")
        expected = [float(exponent) if exponent == 1 else 0.0, exponent * 2.0 ** (exponent - 1)]
        assert_close(gradient(lambda x: x**exponent, x), (xp.asarray(expected, "float64"),))

    def test_zero_to_an_array(self, xp):
        x, y = xp.asarray([0.0, 0.0], "float64"), xp.asarray([2.0, 0.0], "float64")
        assert_close(gradient(lambda x, y: x**y, x, y)[0], xp.asarray([0.0, 0.0], "float64"))
        assert_close(gradient(lambda y: 0.0**y, xp.asarray([2.0], "float64")), (xp.asarray([0.0], "float64"),))


@pytest.mark.parametrize("name", ["floor", "ceil", "round", "trunc", "sign"])
def test_steps_have_derivative_zero(xp, name):
    x = xp.asarray([0.4, -1.7], "float64")
    value, pullback = nnx.vjp(lambda x: getattr(nnx.namespace(x), name)(x) + 0.0 * x, x)
    assert_close(value, getattr(xp.namespace, name)(x))
    assert_close(pullback(x), (0.0 * x,))


def test_a_remainder_has_derivative_one(xp):
    x = xp.asarray([0.4, 1.7], "float64")
    assert_close(gradient(lambda x: x % 1.0, x), (xp.asarray([1.0, 1.0], "float64"),))


def test_where_lets_no_nan_through_from_the_branch_not_taken(xp):
    def f(x):
        ns = nnx.namespace(x)
        positive = x > 0
        return ns.where(positive, ns.sqrt(ns.where(positive, x, ns.ones_like(x))), ns.zeros_like(x))

    assert_close(gradient(f, xp.asarray([4.0, -1.0], "float64")), (xp.asarray([0.25, 0.0], "float64"),))


def test_repeated_indices_add_up(xp):
    x = xp.asarray(np.arange(9.0).reshape(3, 3), "float64")
    rows, columns = xp.asarray([0, 0, 2], "int64"), xp.asarray([1, 1, 0], "int64")
    (found,) = gradient(lambda x: x[rows, columns], x)
    assert_close(found, xp.asarray([[0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]], "float64"))


def test_repeated_rows_add_up(xp):
    if xp.name == "array-api-strict":
        pytest.skip("the standard has no slices beside arrays")
    rows = xp.asarray([0, 0, 2], "int64")
    (found,) = gradient(lambda x: x[rows, :], xp.asarray(np.ones((3, 2)), "float64"))
    assert_close(found, xp.asarray([[2.0, 2.0], [0.0, 0.0], [1.0, 1.0]], "float64"))


def test_a_boolean_mask(xp):
    if xp.name == "array-api-strict":
        pytest.skip("boolean indexing is switched off, as it stops a GPU's queue")
    x = xp.asarray([1.0, -2.0, 3.0], "float64")
    assert_close(gradient(lambda x: x[x > 0] ** 2, x), (xp.asarray([2.0, 0.0, 6.0], "float64"),))


def test_promotion_gives_each_argument_a_cotangent_of_its_own_dtype(xp):
    x, y = xp.asarray([2.0], "float32"), xp.asarray([3.0], "float64")
    found = gradient(lambda x, y: x * y, x, y)
    assert_close(found, (xp.asarray([3.0], "float32"), xp.asarray([2.0], "float64")))


def test_a_complex_function_of_real_numbers_has_a_real_cotangent(xp):
    x, i = xp.asarray([2.0], "float64"), xp.asarray([1j], "complex128")
    value, pullback = nnx.vjp(lambda x: x * i, x)
    assert value.dtype == xp.namespace.complex128
    assert_close(pullback(-1.0 * i), (xp.asarray([1.0], "float64"),))

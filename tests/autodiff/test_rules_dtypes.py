"""Derivative rules with mixed dtypes, Python numbers and complex numbers."""

import functools

import numpy as np
import pytest
from differences import check, gradient
from rule_cases import BINARY, FIRST, each, function_of

import nnx
from nnx.testing import assert_close
from nnx.tree import tree_leaves


class TestDtypes:
    def test_promotion_gives_each_argument_a_cotangent_of_its_own(self, xp):
        x, y = xp.asarray([2.0], "float32"), xp.asarray([3.0], "float64")
        assert_close(gradient(lambda x, y: x * y, x, y), (xp.asarray([3.0], "float32"), xp.asarray([2.0], "float64")))

    @pytest.mark.parametrize("function", [lambda xp, x, y: xp.concat([x, y]), lambda xp, x, y: xp.where(x > 0, x, y)])
    def test_real_beside_complex(self, xp, function):
        x, y = xp.asarray([2.0], "float32"), xp.asarray([1j], "complex128")
        value, pullback = nnx.vjp(lambda x, y: function(nnx.namespace(x, y), x, y), x, y)
        found = pullback(xp.namespace.ones_like(value))
        assert [part.dtype for part in found] == [x.dtype, y.dtype]

    @pytest.mark.parametrize("name", ["sum", "prod", "cumulative_sum", "cumulative_prod"])
    def test_of_a_reduction_that_accumulates_in_another(self, xp, name):
        x = xp.asarray([2.0, 3.0], "float32")
        value, pullback = nnx.vjp(lambda x: getattr(nnx.namespace(x), name)(x, dtype=xp.namespace.float64), x)
        assert value.dtype == xp.namespace.float64
        assert pullback(value)[0].dtype == x.dtype
        value, tangent = nnx.jvp(lambda x: getattr(nnx.namespace(x), name)(x, dtype=xp.namespace.float64), (x,), (x,))
        assert tangent.dtype == value.dtype

    @each(FIRST.values())
    def test_of_single_precision_is_kept(self, xp, case):
        if xp.name == "jax":
            pytest.skip("JAX compiles for every dtype")
        arrays = [
            xp.asarray(array, {"float64": "float32", "complex128": "complex64"}[case.dtype]) for array in case.arrays()
        ]
        value, pullback = nnx.vjp(function_of(case), *arrays)
        plain = case.call(xp.namespace, *arrays)
        assert [leaf.dtype for leaf in tree_leaves(value)] == [leaf.dtype for leaf in tree_leaves(plain)]
        for part, array in zip(pullback(value), arrays, strict=True):
            assert (part.dtype, tuple(part.shape)) == (array.dtype, tuple(array.shape))

    @pytest.mark.parametrize("name", BINARY)
    def test_numbers_on_either_side(self, xp, name):
        x = xp.asarray([0.3, 0.9], "float32")
        number = xp.asarray(0.7, "float32")
        for call in (lambda f, x, n: f(x, n), lambda f, x, n: f(n, x)):
            by_number, by_array = (
                gradient(lambda x, n=n, call=call: call(getattr(nnx.namespace(x), name), x, n), x)
                for n in (0.7, number)
            )
            assert_close(by_number, by_array)

    @pytest.mark.parametrize("name", ["add", "divide", "maximum", "multiply", "pow", "subtract", "where"])
    def test_integer_arrays_beside(self, xp, name):
        if xp.name == "array-api-strict":
            pytest.skip("the standard does not mix them")
        x, whole = xp.asarray([0.5, 1.5], "float64"), xp.asarray([2, 3], "int64")
        condition = xp.asarray([True, False], "bool")

        def function(x, y):
            ns = nnx.namespace(x, y)
            of_two = functools.partial(ns.where, condition) if name == "where" else getattr(ns, name)
            return of_two(x, y) + of_two(y, x)

        converted = xp.asarray([2.0, 3.0], "float64")
        for mode in (
            lambda y: nnx.jvp(lambda x: function(x, y), (x,), (x,)),
            lambda y: gradient(lambda x: function(x, y), x),
        ):
            # torch takes the reciprocal of whole numbers in single precision.
            assert_close(mode(whole), mode(converted), rtol=1e-7)


class TestComplex:
    """The convention of JAX: the pullback is the transpose, without a conjugate."""

    def test_of_a_holomorphic_function(self, xp):
        z, g = xp.asarray([1.0 + 2j], "complex128"), xp.asarray([3.0 - 1j], "complex128")
        _, pullback = nnx.vjp(lambda z: z**3, z)
        assert_close(pullback(g), (3 * z**2 * g,))

    def test_of_a_real_function_points_along_the_conjugate_of_ascent(self, xp):
        z = xp.asarray([1.0 + 2j], "complex128")
        assert_close(gradient(lambda z: abs(z) ** 2, z), (xp.asarray([2.0 - 4j], "complex128"),))

    def test_of_a_complex_function_of_real_numbers_is_real(self, xp):
        x, i = xp.asarray([2.0], "float64"), xp.asarray([1j], "complex128")
        value, pullback = nnx.vjp(lambda x: x * i, x)
        assert value.dtype == xp.namespace.complex128
        assert_close(pullback(-1.0 * i), (xp.asarray([1.0], "float64"),))

    def test_python_numbers_beside_a_single_one(self, xp):
        # A 0-d result of NumPy is a Python float too, and Python's complex numbers know what to do with that.
        x = xp.asarray([3.0, 4.0], "float64")
        cases = [
            (lambda x: abs(x[0] + 1j * x[1]), [0.6, 0.8]),
            (lambda x: abs(1j * nnx.namespace(x).sum(x)), [1.0, 1.0]),
            (lambda x: nnx.namespace(x).real((1j - x[0]) ** 2), [6.0, 0.0]),
            (lambda x: nnx.namespace(x).imag(1j / x[0]), [-1 / 9, 0.0]),
            (lambda x: nnx.namespace(x).imag(x[0] / 1j), [-1.0, 0.0]),
            (lambda x: nnx.namespace(x).real(2j ** x[0]), [4.0 * np.pi, 0.0]),
            (lambda x: nnx.namespace(x).imag(x[0] ** 2j), [2 / 3 * np.cos(2 * np.log(3.0)), 0.0]),
        ]
        for function, expected in cases:
            assert_close(nnx.grad(function)(x), xp.asarray(expected, "float64"))
            _, tangent = nnx.jvp(function, (x,), (xp.asarray([1.0, 0.0], "float64"),))
            assert_close(tangent, xp.asarray(expected[0], "float64"))

    def test_variance_beyond_the_standard(self):
        rng = np.random.default_rng(0)
        z = rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))
        check(lambda z: nnx.namespace(z).var(z, axis=1), [z], rng)
        check(lambda z: nnx.namespace(z).std(z, axis=1), [z], rng)

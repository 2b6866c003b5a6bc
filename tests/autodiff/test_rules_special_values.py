"""Derivative rules at NaN and infinity, in low precision, and where an argument decides alone."""

import math

import numpy as np
import pytest
from differences import gradient

import nnx
from nnx.errors import DTypeError
from nnx.testing import assert_close
from nnx.tree import tree_leaves

inf, nan = math.inf, math.nan


def has_half(xp):
    if xp.name == "array-api-strict":
        pytest.skip("the standard has no float16")


class TestNaN:
    """A NaN in the output of a function that chooses by comparing is a NaN in its derivative, as that of max."""

    @pytest.mark.parametrize(
        "function",
        [
            lambda ns, x: ns.abs(x),
            lambda ns, x: ns.maximum(x, 0.0),
            lambda ns, x: ns.minimum(x, 0.0),
            lambda ns, x: ns.maximum(ns.zeros_like(x), x),
            lambda ns, x: ns.clip(x, -1.0, 1.0),
            lambda ns, x: ns.clip(x, max=1.0),
            lambda ns, x: ns.copysign(x, ns.ones_like(x)),
            lambda ns, x: ns.hypot(x, ns.ones_like(x)),
            lambda ns, x: ns.hypot(x, x),
            lambda ns, x: ns.atan2(x, ns.ones_like(x)),
            lambda ns, x: ns.logaddexp(x, ns.ones_like(x)),
            lambda ns, x: ns.max(x, axis=1, keepdims=True),
            lambda ns, x: ns.min(x, axis=1, keepdims=True),
            lambda ns, x: ns.std(x, axis=1, keepdims=True),
            lambda ns, x: ns.var(x, axis=1, keepdims=True),
            *(
                lambda ns, x, ord=ord: ns.linalg.vector_norm(x, axis=1, keepdims=True, ord=ord)
                for ord in (1, 2, 3, inf, -inf)
            ),
            lambda ns, x: ns.linalg.matrix_norm(x[:, :, None], keepdims=True)[:, :, 0],
            lambda ns, x: nnx.functional.logsumexp(x, axis=1, keepdims=True),
        ],
    )
    def test_of_nan_is_nan_and_of_others_is_not(self, xp, function):
        x = xp.asarray([[nan, nan], [2.0, 0.5]], "float64")

        def of_first_row(x):
            return function(nnx.namespace(x), x)

        with np.errstate(all="ignore"):
            (found,) = gradient(of_first_row, x)
            _, tangent = nnx.jvp(of_first_row, (x,), (xp.namespace.ones_like(x),))
        assert np.isnan(xp.to_numpy(found)).tolist() == [[True, True], [False, False]]
        assert np.isnan(xp.to_numpy(tangent)).all(axis=1).tolist() == [True, False]

    @pytest.mark.parametrize("name", ["maximum", "minimum"])
    def test_of_a_number_beside_nan(self, xp, name):
        x, y = xp.asarray([nan, 1.0, 2.0], "float32"), xp.asarray([1.0, nan, 1.0], "float32")
        with np.errstate(all="ignore"):
            found = gradient(lambda x, y: getattr(nnx.namespace(x), name)(x, y), x, y)
        for part in found:
            assert np.isnan(xp.to_numpy(part)).tolist() == [True, True, False]

    def test_of_bounds(self, xp):
        x = xp.asarray([0.5, 0.5, 0.5], "float64")
        low, high = xp.asarray([nan, 0.0, 0.0], "float64"), xp.asarray([1.0, nan, 1.0], "float64")
        value = xp.namespace.clip(x, low, high)
        found = gradient(lambda x, low, high: nnx.namespace(x).clip(x, low, high), x, low, high)
        for part in found:
            np.testing.assert_array_equal(np.isnan(xp.to_numpy(part)), np.isnan(xp.to_numpy(value)))


class TestShares:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    @pytest.mark.parametrize("size", [2e7, -2e7, 1e30])
    def test_of_logarithms_of_sums_add_up_to_one(self, xp, dtype, size):
        x, y = xp.asarray([size, size], dtype), xp.asarray([size, size + 2.0], dtype)
        of_two = gradient(lambda x, y: nnx.namespace(x).logaddexp(x, y), x, y)
        assert_close(of_two[0] + of_two[1], xp.namespace.ones_like(x))
        assert float(of_two[0][0]) == 0.5
        (of_many,) = gradient(lambda x: nnx.functional.logsumexp(x, axis=0), xp.namespace.stack([x, y]))
        assert_close(of_many, xp.namespace.stack(of_two))

    def test_second_derivatives_at_a_tie(self, xp):
        x, y = xp.asarray([1.0, 3.0], "float64"), xp.asarray([1.0, 2.0], "float64")
        (found,) = gradient(lambda x: gradient(lambda x: nnx.namespace(x).logaddexp(x, y), x)[0], x)
        share = 1.0 / (1.0 + math.exp(-1.0))
        assert_close(found, xp.asarray([0.25, share * (1.0 - share)], "float64"))

    @pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
    def test_softmax_and_its_relatives_at_extreme_logits(self, xp, dtype):
        if dtype == "float16":
            has_half(xp)
        huge = 0.5 * float(np.finfo(dtype).max)
        x = xp.asarray([[huge, huge, -huge], [0.0, -inf, 0.0], [-huge, -huge, -inf]], dtype)
        half = xp.asarray([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]], dtype)
        with np.errstate(all="ignore"):
            assert_close(nnx.functional.softmax(x), half)
            found = nnx.grad(lambda x: nnx.functional.cross_entropy(x, xp.asarray([0, 0, 1], "int64")))(x)
            (of_log,) = gradient(lambda x: nnx.functional.log_softmax(x)[:, 0], x)
        one_hot = xp.asarray([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype)
        assert_close(found, (half - one_hot) / 3.0, rtol=1e-3 if dtype == "float16" else 1e-6)
        assert_close(of_log, xp.asarray([[1.0, 0.0, 0.0]] * 3, dtype) - half)


class TestClip:
    def test_where_the_bounds_cross(self, xp):
        if xp.name == "array-api-strict":
            pytest.skip("it refuses such bounds")
        x = xp.asarray([-1.0, 2.5, 9.0], "float64")
        low, high = xp.asarray([3.0] * 3, "float64"), xp.asarray([2.0] * 3, "float64")
        function = lambda x, low, high: nnx.namespace(x).clip(x, low, high)  # noqa: E731
        assert_close(function(x, low, high), high)
        zero = 0.0 * x
        assert_close(gradient(function, x, low, high), (zero, zero, zero + 1.0))
        assert_close(gradient(lambda x: function(x, 3.0, 2.0), x), (zero,))

    def test_with_arrays_as_bounds(self, xp):
        x = xp.asarray([[-1.0, 0.5, 9.0], [0.0, 1.0, 1.0]], "float64")
        low, high = xp.asarray([0.0, 0.0, 0.0], "float64"), xp.asarray([[2.0], [1.0]], "float64")
        found = gradient(lambda x, low, high: nnx.namespace(x).clip(x, low, high), x, low, high)
        slopes = [[0.0, 1.0, 0.0], [1.0, 1.0, 1.0]], [1.0, 0.0, 0.0], [[1.0], [0.0]]
        assert_close(found, tuple(xp.asarray(slope, "float64") for slope in slopes))


class TestLowPrecision:
    def test_mean_of_more_than_float16_counts(self, xp):
        has_half(xp)
        x = xp.asarray(np.ones(70000), "float16")
        for scale in (1.0, 1024.0):
            (found,) = nnx.vjp(lambda x: nnx.namespace(x).mean(x), x)[1](xp.asarray(scale, "float16"))
            np.testing.assert_allclose(xp.to_numpy(found), np.float16(scale / 70000), rtol=1.5e-3)

    @pytest.mark.parametrize("size", [1.0, 0.1])
    @pytest.mark.parametrize("name", ["var", "std"])
    def test_spread_of_many(self, xp, name, size):
        has_half(xp)
        # Of more elements NumPy's own value overflows.
        x = np.random.default_rng(0).normal(size=30000).astype(np.float16) * np.float16(size)

        def slope(x, scale):
            return nnx.vjp(lambda x: getattr(nnx.namespace(x), name)(x), x)[1](scale)[0]

        found = xp.to_numpy(slope(xp.asarray(x, "float16"), xp.asarray(512.0, "float16"))).astype(float)
        expected = slope(x.astype(float), np.asarray(512.0))
        np.testing.assert_allclose(found, expected, rtol=4e-3, atol=1e-3 * np.abs(expected).max())

    def test_sum_and_products(self, xp):
        has_half(xp)
        x = xp.asarray([2.0, 0.0, 3.0, 1e-3], "float16")
        (found,) = gradient(lambda x: nnx.namespace(x).prod(x), x)
        np.testing.assert_allclose(xp.to_numpy(found), [0.0, 6e-3, 0.0, 0.0], rtol=2e-3)
        (found,) = gradient(lambda x: nnx.namespace(x).cumulative_prod(x), x)
        np.testing.assert_allclose(xp.to_numpy(found), [1.0, 8.006, 0.0, 0.0], rtol=2e-3)

    def test_many_rows_that_add_up(self, xp):
        has_half(xp)
        rows, row = xp.asarray(np.zeros((4000, 3)), "float16"), xp.asarray(np.ones(3), "float16")
        (of_broadcast,) = gradient(lambda row: rows + row, row)
        assert xp.to_numpy(of_broadcast).tolist() == [4000.0] * 3
        (shares,) = gradient(lambda x: nnx.namespace(x).max(x, axis=0), rows)
        np.testing.assert_allclose(xp.to_numpy(shares), 1.0 / 4000, rtol=1e-3)
        weight = xp.asarray(np.ones((3, 3)), "float16")
        (of_bias,) = gradient(lambda bias: nnx.functional.linear(rows, weight, bias), row)
        assert xp.to_numpy(of_bias).tolist() == [4000.0] * 3


class TestPower:
    @pytest.mark.parametrize("kind", ["uint8", "int64", "int8"])
    def test_of_integers(self, xp, kind):
        if xp.name == "array-api-strict":
            pytest.skip("the standard does not mix integers and floating-point numbers")
        exponent, x = xp.asarray([0, 1, 2, 3, 0], kind), xp.asarray([3.0, -2.0, -2.0, 2.0, 0.0], "float32")
        expected = xp.asarray([0.0, 1.0, -4.0, 12.0, 0.0], "float32")
        assert_close(gradient(lambda x: x**exponent, x), (expected,))
        assert_close(gradient(lambda x: nnx.namespace(x).pow(x, exponent), x), (expected,))
        _, tangent = nnx.jvp(lambda x: x**exponent, (x,), (xp.namespace.ones_like(x),))
        assert_close(nnx.namespace(x).astype(tangent, x.dtype), expected)

    @pytest.mark.parametrize("exponent", [np.uint8(0), np.int64(2), np.float32(3.0), np.float64(2.0), True, 2 + 0j])
    def test_of_numbers_of_every_kind(self, exponent):
        x = np.asarray([-3.0, 1.0, 2.0])
        value, pullback = nnx.vjp(lambda x: x**exponent, x)
        (found,) = pullback(np.ones_like(value))
        power = int(exponent.real)
        np.testing.assert_allclose(found, power * x ** (power - 1.0))
        base = np.int8(2) if isinstance(exponent, np.uint8) else exponent
        (found,) = gradient(lambda y: nnx.namespace(y).real(base ** (y + 0j)), x)
        np.testing.assert_allclose(found, np.real(base ** (x + 0j) * np.log(base + 0j)))

    def test_bases_and_exponents_at_their_ends(self, xp):
        base, exponent = np.asarray(
            [(0.0, 2.0), (0.0, 0.0), (0.0, -1.0), (inf, -2.0), (inf, 1.0), (1e-310, 0.0), (2.0, 3.0), (-2.0, 2.0)]
        ).T
        x, y = xp.asarray(base, "float64"), xp.asarray(exponent, "float64")
        with np.errstate(all="ignore"):
            of_base, of_exponent = (xp.to_numpy(g) for g in gradient(lambda x, y: x**y, x, y))
        np.testing.assert_allclose(of_base, [0.0, 0.0, -inf, 0.0, 1.0, 0.0, 12.0, -4.0])
        np.testing.assert_allclose(of_exponent[[0, 1, 2, 3, 4, 6]], [0.0, 0.0, -inf, 0.0, inf, 8 * math.log(2)])
        assert np.isnan(of_exponent[-1])
        with np.errstate(all="ignore"):
            (found,) = gradient(lambda y: 0.0**y, y[:3])
        np.testing.assert_allclose(xp.to_numpy(found), [0.0, 0.0, -inf])


class TestProductsOfInfinities:
    def test_prod(self, xp):
        x = xp.asarray([[inf, 2.0, 3.0], [inf, 2.0, 0.0]], "float64")
        with np.errstate(all="ignore"):
            (found,) = gradient(lambda x: nnx.namespace(x).prod(x, axis=1), x)
        np.testing.assert_array_equal(xp.to_numpy(found), [[6.0, inf, inf], [0.0, nan, inf]])

    def test_cumulative(self, xp):
        x = xp.asarray([1.0, 2.0, inf], "float64")
        (found,) = gradient(lambda x: nnx.namespace(x).cumulative_prod(x), x)
        np.testing.assert_array_equal(xp.to_numpy(found), [inf, inf, 2.0])


class TestExtremeNorms:
    @pytest.mark.parametrize("ord", [inf, -inf])
    def test_of_complex_numbers_in_any_layout(self, ord):
        rng = np.random.default_rng(0)
        for _ in range(200):
            x = (rng.normal(size=16) + 1j * rng.normal(size=16)).astype("complex64")[:: rng.choice([-1, -2, 2])]
            (found,) = gradient(lambda x: nnx.namespace(x).linalg.vector_norm(x, ord=ord), x)
            assert np.count_nonzero(found) == 1
            assert abs(np.abs(found).sum() - 1.0) < 1e-6

    @pytest.mark.parametrize("ord", [1, -1, inf, -inf])
    def test_of_complex_matrices_in_any_layout(self, ord):
        rng = np.random.default_rng(0)
        for _ in range(50):
            x = (rng.normal(size=(6, 5)) + 1j * rng.normal(size=(6, 5))).astype("complex64")[::-1, ::-1]
            (found,) = gradient(lambda x: nnx.namespace(x).linalg.matrix_norm(x, ord=ord), x)
            assert np.isfinite(found).all()
            assert np.count_nonzero(found) == (6 if abs(ord) == 1 else 5)


class TestWithoutAFreedom:
    @pytest.mark.parametrize("correction", [1, 2, 3])
    @pytest.mark.parametrize("name", ["var", "std"])
    @pytest.mark.filterwarnings("ignore")
    def test_nothing_finite_comes_of_nothing(self, xp, name, correction):
        x = xp.asarray([2.0], "float64")
        (found,) = gradient(lambda x: getattr(nnx.namespace(x), name)(x, correction=correction), x)
        assert not np.isfinite(xp.to_numpy(found)).any()


class TestEmptyMatrices:
    @pytest.mark.parametrize("shape", [(0, 0), (2, 0, 0), (0, 3, 3), (1, 1), (0, 1, 1)])
    @pytest.mark.parametrize("name", ["det", "slogdet", "inv", "eigvalsh", "svdvals", "pinv", "trace", "matrix_norm"])
    @pytest.mark.filterwarnings("ignore")
    def test_keep_their_shapes(self, xp, name, shape):
        x = xp.asarray(2.0 * np.ones(shape), "float64")

        def function(x):
            return getattr(nnx.namespace(x).linalg, name)(x)

        try:
            plain = function(x)
        except Exception:
            pytest.skip("the library has none")
        value, pullback = nnx.vjp(function, x)
        (found,) = pullback(value)
        _, tangent = nnx.jvp(function, (x,), (x,))
        assert tuple(found.shape) == shape
        for leaf, moved, given in zip(*map(tree_leaves, (value, tangent, plain)), strict=True):
            assert tuple(leaf.shape) == tuple(moved.shape) == tuple(given.shape)
        slopes = {"inv": -0.125, "pinv": -0.125, "slogdet": 0.5 * math.log(2.0), "det": 2.0}
        if shape == (1, 1):
            np.testing.assert_allclose(xp.to_numpy(found), [[slopes.get(name, 2.0)]])

    @pytest.mark.parametrize("ord", [1, 2, inf, "nuc", "fro"])
    @pytest.mark.parametrize("shape", [(0, 3), (3, 0), (2, 0, 0)])
    def test_have_the_norm_0(self, ord, shape):
        norm = lambda x: nnx.namespace(x).linalg.matrix_norm(x, ord=ord)  # noqa: E731
        value, tangent = nnx.jvp(norm, (np.ones(shape),), (np.ones(shape),))
        assert value.tolist() == tangent.tolist() == np.zeros(shape[:-2]).tolist()
        assert gradient(norm, np.ones(shape))[0].shape == shape


@pytest.mark.parametrize("dtype", [">f8", ">f4", ">c16"])
def test_another_byte_order_is_refused(dtype):
    x = np.ones(3).astype(dtype)
    for call in (
        lambda: nnx.grad(lambda x: nnx.namespace(x).sum(abs(x)))(x),
        lambda: nnx.jvp(lambda x: x * x, (x,), (x,)),
        lambda: nnx.functional.exponential(x),
    ):
        with pytest.raises(DTypeError, match=r"expected an array in the byte order of this machine, got dtype >"):
            call()
    native = x.astype(x.dtype.newbyteorder("="))
    assert nnx.grad(lambda x: nnx.namespace(x).sum(abs(x)))(native).dtype.isnative
    labels = np.asarray([1, 0]).astype(">i4")  # as files of indices have them
    assert np.isfinite(nnx.functional.cross_entropy(np.eye(2), labels))

"""Derivative rules where they have a trap: kinks, zeros, infinities, repeated indices and eigenvalues."""

import itertools
import math

import numpy as np
import pytest
from differences import check, difference, gradient

import nnx
from nnx.errors import ArgumentError
from nnx.testing import assert_close


class TestKinks:
    """What the derivative is where there is none: definitions, not accidents."""

    @pytest.mark.parametrize(
        "function",
        [
            nnx.functional.relu,
            abs,
            lambda x: nnx.namespace(x).std(x, axis=-1),
            lambda x: nnx.namespace(x).hypot(x, x),
            lambda x: nnx.namespace(x).atan2(x, x),
            lambda x: nnx.namespace(x).copysign(x, x + 1.0),
            lambda x: nnx.namespace(x).linalg.vector_norm(x),
            lambda x: nnx.namespace(x).linalg.vector_norm(x, ord=1),
            lambda x: nnx.namespace(x).linalg.vector_norm(x, ord=3),
            lambda x: nnx.namespace(x).linalg.vector_norm(x, ord=float("inf")),
            lambda x: nnx.namespace(x).linalg.matrix_norm(x),
        ],
        ids=["relu", "abs", "std", "hypot", "atan2", "copysign", "norm", "norm-1", "norm-3", "norm-inf", "frobenius"],
    )
    def test_zero_at_zero(self, xp, function):
        zero = xp.asarray([[0.0, 0.0]], "float64")
        assert_close(gradient(function, zero), (zero,))

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

    def test_each_of_sorted_ties_keeps_its_cotangent(self, xp):
        x = xp.asarray([2.0, 1.0, 2.0], "float64")
        _, pullback = nnx.vjp(lambda x: nnx.namespace(x).sort(x), x)
        (found,) = pullback(xp.asarray([5.0, 7.0, 7.0], "float64"))
        assert_close(found, xp.asarray([7.0, 5.0, 7.0], "float64"))

    def test_at_a_bound_clip_hands_through(self, xp):
        x = xp.asarray([0.0, 0.5, 1.0, 2.0], "float64")
        (found,) = gradient(lambda x: nnx.namespace(x).clip(x, 0.0, 1.0), x)
        assert_close(found, xp.asarray([1.0, 1.0, 1.0, 0.0], "float64"))

    @pytest.mark.parametrize("name", ["floor", "ceil", "round", "trunc", "sign"])
    def test_steps_have_derivative_zero(self, xp, name):
        x = xp.asarray([0.4, -1.7], "float64")
        value, pullback = nnx.vjp(lambda x: getattr(nnx.namespace(x), name)(x) + 0.0 * x, x)
        assert_close(value, getattr(xp.namespace, name)(x))
        assert_close(pullback(x), (0.0 * x,))


class TestPower:
    @pytest.mark.parametrize("exponent", [0, 0.0, 1, 2, 3.0])
    def test_of_zero_is_finite(self, xp, exponent):
        x = xp.asarray([0.0, 2.0], "float64")
        expected = [float(exponent) if exponent == 1 else 0.0, exponent * 2.0 ** (exponent - 1)]
        assert_close(gradient(lambda x: x**exponent, x), (xp.asarray(expected, "float64"),))

    def test_zero_to_an_array(self, xp):
        x, y = xp.asarray([0.0, 0.0], "float64"), xp.asarray([2.0, 0.0], "float64")
        zero = xp.asarray([0.0, 0.0], "float64")
        assert_close(gradient(lambda x, y: x**y, x, y), (zero, zero))
        assert_close(gradient(lambda y: 0.0**y, xp.asarray([2.0], "float64")), (xp.asarray([0.0], "float64"),))

    def test_second_derivatives_at_exponent_zero(self, xp):
        x, y = xp.asarray([2.0], "float64"), xp.asarray([0.0], "float64")
        mixed = gradient(lambda y: gradient(lambda x: x**y, x)[0], y)
        assert_close(mixed, (xp.asarray([0.5], "float64"),))
        assert_close(gradient(lambda x: gradient(lambda x: x**2, x)[0], 0.0 * x), (x,))

    def test_of_a_negative_number_to_a_real_array_is_undefined(self, xp):
        (found,) = gradient(lambda y: (-2.0) ** y, xp.asarray([2.0], "float64"))
        assert np.isnan(xp.to_numpy(found)).all()


class TestInfinities:
    def test_where_lets_none_through_from_the_branch_not_taken(self, xp):
        x = xp.asarray([-1.0, 1.0], "float64")
        _, pullback = nnx.vjp(lambda x: nnx.namespace(x).where(x > 0, x, 1.0), x)
        (found,) = pullback(xp.asarray([float("inf"), 2.0], "float64"))
        assert_close(found, xp.asarray([0.0, 2.0], "float64"))

    def test_where_of_a_guarded_argument(self, xp):
        def f(x):
            ns = nnx.namespace(x)
            positive = x > 0
            return ns.where(positive, ns.sqrt(ns.where(positive, x, ns.ones_like(x))), ns.zeros_like(x))

        assert_close(gradient(f, xp.asarray([4.0, -1.0], "float64")), (xp.asarray([0.25, 0.0], "float64"),))

    def test_logaddexp_gives_all_to_the_larger(self, xp):
        inf = float("inf")
        x, y = xp.asarray([inf, 1.0, -inf, -inf, inf], "float64"), xp.asarray([1.0, inf, 2.0, -inf, inf], "float64")
        _, pullback = nnx.vjp(lambda x, y: nnx.namespace(x).logaddexp(x, y), x, y)
        found = pullback(xp.namespace.ones_like(x))
        assert_close(found[0], xp.asarray([1.0, 0.0, 0.0, 0.5, 0.5], "float64"))
        assert_close(found[1], xp.asarray([0.0, 1.0, 1.0, 0.5, 0.5], "float64"))

    def test_copysign_of_infinity(self, xp):
        x = xp.asarray([float("inf")], "float64")
        (found,) = gradient(lambda x: nnx.namespace(x).copysign(x, xp.asarray([-1.0], "float64")), x)
        assert_close(found, xp.asarray([-1.0], "float64"))


class TestProducts:
    @pytest.mark.parametrize("zeros", [(1,), (0, 2), (0, 1, 2)])
    def test_with_zeros(self, xp, zeros):
        host = np.asarray([2.0, 3.0, 5.0])
        host[list(zeros)] = 0.0
        expected = [np.prod(np.delete(host, i)) for i in range(3)]
        (found,) = gradient(lambda x: nnx.namespace(x).prod(x), xp.asarray(host, "float64"))
        assert_close(found, xp.asarray(expected, "float64"))

    @pytest.mark.parametrize("zeros", [(1,), (0, 2)])
    def test_cumulative_with_zeros(self, zeros):
        x = np.asarray([2.0, 3.0, 5.0, 7.0])
        x[list(zeros)] = 0.0
        rng = np.random.default_rng(0)
        function = lambda x: nnx.namespace(x).cumulative_prod(x)  # noqa: E731
        cotangent, _ = check(function, [x], rng)
        check(lambda x: nnx.vjp(function, x)[1](cotangent), [x], rng)


@pytest.mark.parametrize("key", ["repeated", "two axes", "take", "take_along_axis"])
def test_repeated_indices_add_up(xp, key):
    index = xp.asarray([0, 0, 2], "int64")
    x = xp.asarray(np.arange(9.0).reshape(3, 3), "float64")
    if key == "repeated" and xp.name == "array-api-strict":
        pytest.skip("the standard has no slices beside arrays")
    rows = xp.asarray([[0, 0, 2]], "int64")
    functions = {
        "repeated": lambda x: x[index, :],
        "two axes": lambda x: x[index, index],
        "take": lambda x: nnx.namespace(x).take(x, index, axis=0),
        "take_along_axis": lambda x: nnx.namespace(x).take_along_axis(x, rows, axis=1),
    }
    (found,) = gradient(functions[key], x)
    expected = {"repeated": [[2.0] * 3, [0.0] * 3, [1.0] * 3], "take_along_axis": [[2.0, 0.0, 1.0]] * 3}
    expected |= {"take": expected["repeated"], "two axes": np.diag([2.0, 0.0, 1.0])}
    assert_close(found, xp.asarray(expected[key], "float64"))


def test_a_boolean_mask(xp):
    if xp.name == "array-api-strict":
        pytest.skip("boolean indexing is switched off, as it stops a GPU's queue")
    x = xp.asarray([1.0, -2.0, 3.0], "float64")
    assert_close(gradient(lambda x: x[x > 0] ** 2, x), (xp.asarray([2.0, 0.0, 6.0], "float64"),))


def test_remainder_counts_as_the_library_divides(xp):
    # 1.0 / 0.1 is rounded to 10, but 0.1 is a little more than a tenth.
    x, y = xp.asarray([1.0, -0.4], "float64"), xp.asarray([0.1, 1.0], "float64")
    found = gradient(lambda x, y: x % y, x, y)
    assert_close(found, (xp.asarray([1.0, 1.0], "float64"), xp.asarray([-9.0, 1.0], "float64")))


class TestMatrices:
    @pytest.mark.parametrize(
        ("matrix", "expected"),
        [
            ([[1.0, 2.0], [2.0, 4.0]], [[4.0, -2.0], [-2.0, 1.0]]),
            ([[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [-1.0, 0.0]]),
            ([[0.0]], [[1.0]]),
            (np.zeros((3, 3)), np.zeros((3, 3))),
            (np.diag([2.0, 3.0, 0.0]), np.diag([0.0, 0.0, 6.0])),
            (np.diag([2.0, 0.0, 0.0]), np.zeros((3, 3))),
            (
                [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]],
                [[-3.0, 6.0, -3.0], [6.0, -12.0, 6.0], [-3.0, 6.0, -3.0]],
            ),
        ],
        ids=["rank one", "nilpotent", "number", "zero", "rank two", "rank one of three", "by rounding"],
    )
    def test_singular_determinant(self, xp, matrix, expected):
        (found,) = gradient(lambda x: nnx.namespace(x).linalg.det(x), xp.asarray(matrix, "float64"))
        np.testing.assert_allclose(xp.to_numpy(found), expected, atol=1e-12)

    @pytest.mark.parametrize("diagonal", [[1.0, 1.0, 1.0], [2.0, 3.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    def test_second_derivatives_of_a_determinant(self, diagonal):
        # Of equal singular values, and at singular matrices.
        x, direction = np.diag(diagonal), np.random.default_rng(0).normal(size=(3, 3))
        slope = lambda x: gradient(lambda x: nnx.namespace(x).linalg.det(x), x)[0]  # noqa: E731
        (expected,) = difference(slope, [x], [direction], step=1e-2)
        for function in (lambda x: nnx.jvp(slope, (x,), (direction,))[1], lambda x: nnx.vjp(slope, x)[1](direction)[0]):
            np.testing.assert_allclose(function(x), expected, atol=1e-12)

    @pytest.mark.parametrize("rank", [0, 1, 3, 4])
    @pytest.mark.parametrize("dtype", ["float64", "complex128"])
    def test_all_derivatives_of_a_determinant(self, xp, dtype, rank):
        rng = np.random.default_rng(rank)
        matrices = rng.normal(size=(6, 4, 4)) + (1j * rng.normal(size=(6, 4, 4)) if dtype == "complex128" else 0.0)
        matrices[0] = matrices[0, :, :rank] @ matrices[1, :rank, :]
        x, *directions = (xp.asarray(matrix, dtype) for matrix in matrices)

        def by_permutations(x):
            signs = ((p, round(np.linalg.det(np.eye(4)[list(p)]))) for p in itertools.permutations(range(4)))
            return sum(sign * math.prod((x[i, j] for i, j in enumerate(p)), start=1.0) for p, sign in signs)

        def along(function, direction, mode):
            if mode == "forward":
                return lambda x: nnx.jvp(function, (x,), (direction,))[1]

            def backward(x):
                value, pullback = nnx.vjp(function, x)
                ns = nnx.namespace(x)
                return ns.sum(pullback(ns.ones_like(value))[0] * direction)

            return backward

        exact = by_permutations
        found = [lambda x: nnx.namespace(x).linalg.det(x)] * 2
        for direction in directions[:4]:
            exact = along(exact, direction, "forward")
            found = [along(f, direction, mode) for f, mode in zip(found, ("forward", "reverse"), strict=True)]
            if xp.name == "jax" and rank != 1:
                continue  # which compiles each by itself
            for function in found:
                assert_close(function(x), exact(x), rtol=1e-10, atol=1e-10)

    @pytest.mark.parametrize("name", ["eigvalsh", "svdvals"])
    def test_repeated_values(self, xp, name):
        x = xp.asarray(np.diag([2.0, 2.0, 3.0]), "float64")
        (found,) = gradient(lambda x: getattr(nnx.namespace(x).linalg, name)(x) ** 2, x)
        np.testing.assert_allclose(xp.to_numpy(found), 2.0 * xp.to_numpy(x), atol=1e-12)

    @pytest.mark.parametrize("matrix", [np.diag([2.0, 2.0, 3.0]), np.zeros((3, 2)), np.ones((2, 3))])
    def test_singular_vectors_of_repeated_and_zero_values_are_finite(self, xp, matrix):
        def product(x):
            u, values, vh = nnx.namespace(x).linalg.svd(x, full_matrices=False)
            return (u * values) @ vh

        (found,) = gradient(product, xp.asarray(matrix, "float64"))
        assert np.isfinite(xp.to_numpy(found)).all()

    def test_space_of_repeated_eigenvectors(self, xp):
        # The projector on it has a derivative, though the vectors have none.
        def projector(x):
            _, vectors = nnx.namespace(x).linalg.eigh(x)
            return vectors[:, :2] @ vectors[:, :2].T

        x = xp.asarray(np.diag([2.0, 2.0, 3.0]), "float64")
        direction = xp.asarray([[1.0, 2.0, 3.0], [2.0, 4.0, 5.0], [3.0, 5.0, 6.0]], "float64")
        _, tangent = nnx.jvp(projector, (x,), (direction,))
        expected = [[0.0, 0.0, -3.0], [0.0, 0.0, -5.0], [-3.0, -5.0, 0.0]]
        np.testing.assert_allclose(xp.to_numpy(tangent), expected, atol=1e-12)

    def test_an_unknown_norm(self):
        with pytest.raises(ArgumentError, match="expected ord to be 'fro'"):
            nnx.grad(lambda x: nnx.namespace(x).linalg.matrix_norm(x, ord=3))(np.eye(2))


class TestSecondDerivativesAtKinks:
    """What docs/autodiff.md warns of, and what it says to write instead."""

    @pytest.mark.parametrize(
        ("through", "instead"),
        [
            (lambda ns, x: ns.linalg.vector_norm(x) ** 2, lambda ns, x: ns.sum(x * x)),
            (lambda ns, x: ns.sum(abs(x) ** 2), lambda ns, x: ns.sum(x * x)),
            (lambda ns, x: ns.std(x) ** 2, lambda ns, x: ns.var(x)),
        ],
        ids=["norm", "abs", "std"],
    )
    def test_of_a_square_at_0(self, through, instead):
        zero, x = np.zeros(2), np.asarray([1.0, -2.0])
        of_both = [nnx.hessian(lambda x, f=f: f(nnx.namespace(x), x)) for f in (through, instead)]
        assert not of_both[0](zero).any()
        np.testing.assert_allclose(of_both[0](x), of_both[1](zero), atol=1e-12)

    @pytest.mark.parametrize("name", ["eigvalsh", "cholesky"])
    def test_the_derivative_of_a_hermitian_argument_is_hermitian(self, xp, name):
        x = xp.asarray([[2.0, 0.5], [0.4, 3.0]], "float64")  # which libraries read by a triangle
        (found,) = gradient(lambda x: getattr(nnx.namespace(x).linalg, name)(x) ** 3, x)
        assert_close(found, found.T)


class TestReductionsAtTheirEdges:
    @pytest.mark.parametrize("name", ["var", "std"])
    def test_half_precision_does_not_overflow(self, name):
        x = np.random.default_rng(0).normal(size=1000).astype(np.float16)
        wide = x.astype(np.float64)

        def reduce(x):
            return getattr(nnx.namespace(x), name)(x)

        _, tangent = nnx.jvp(reduce, (x,), (100 * x,))
        _, expected = nnx.jvp(reduce, (wide,), (100 * wide,))
        assert float(tangent) == pytest.approx(float(expected), rel=1e-2)
        found, expected = (nnx.vjp(reduce, array)[1](array.dtype.type(1.0))[0] for array in (x, wide))
        assert np.linalg.norm(found - expected) < 0.01 * np.linalg.norm(expected)

    def test_a_variance_without_a_degree_of_freedom(self):
        with np.errstate(all="ignore"), pytest.warns(RuntimeWarning):
            slopes = nnx.vjp(lambda x: nnx.namespace(x).var(x, correction=2), np.asarray([1.0, 3.0]))[1](
                np.asarray(1.0)
            )
        assert slopes[0].tolist() == [-np.inf, np.inf]

    @pytest.mark.parametrize("order", [-1, -2.5])
    @pytest.mark.filterwarnings("ignore")
    def test_a_norm_of_negative_order_is_0_beside_a_zero(self, xp, order):
        x = xp.asarray([[0.0, 2.0, 3.0], [0.0, 1e-300, 0.5], [1.0, 2.0, 2.0]], "float64")
        function = lambda x: nnx.namespace(x).linalg.vector_norm(x, axis=1, ord=order)  # noqa: E731
        (found,) = gradient(function, x)
        size = np.asarray([1.0, 2.0, 2.0])
        expected = (size / np.sum(size**order) ** (1 / order)) ** (order - 1)
        np.testing.assert_allclose(xp.to_numpy(found), [[0.0] * 3, [0.0] * 3, expected])
        assert_close(nnx.jvp(function, (x,), (x,))[1], function(x))

    @pytest.mark.parametrize("order", [0, 1, 2, 3, np.inf])
    def test_the_norm_of_nothing(self, order):
        x = np.ones((2, 0))
        value, tangent = nnx.jvp(lambda x: nnx.namespace(x).linalg.vector_norm(x, axis=1, ord=order), (x,), (x,))
        assert value.tolist() == tangent.tolist() == [0.0, 0.0]

    @pytest.mark.parametrize("name", ["max", "min", "std", "var", "prod", "linalg.vector_norm"])
    def test_a_tangent_is_of_the_type_of_its_output(self, name):
        x = np.asarray([1.0, 2.0, 4.0])

        def reduce(x):
            found = nnx.namespace(x)
            for part in name.split("."):
                found = getattr(found, part)
            return found(x)

        value, tangent = nnx.jvp(reduce, (x,), (x,))
        assert type(tangent) is type(value)

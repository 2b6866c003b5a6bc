import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, DTypeError, ShapeError, TraceError
from nnx.testing import assert_close


def cubes(x):
    return nnx.namespace(x).sum(x**3)


def quadratic(tree):
    return tree["a"] ** 2 * tree["b"]


class TestJvp:
    def test_output_and_tangent(self, xp):
        x, t = xp.asarray([1.0, 2.0], "float64"), xp.asarray([3.0, -1.0], "float64")
        assert_close(nnx.jvp(lambda x: x**2, (x,), (t,)), (x**2, 2.0 * x * t))

    def test_is_the_transpose_of_vjp(self, xp):
        rng = np.random.default_rng(0)
        x, t, g = (xp.asarray(rng.normal(size=(2, 3)), "float64") for _ in range(3))
        f = nnx.functional.softmax
        moved, carried = nnx.jvp(f, (x,), (t,))[1], nnx.vjp(f, x)[1](g)[0]
        assert_close(xp.namespace.sum(moved * g), xp.namespace.sum(carried * t))

    def test_trees_and_modules(self):
        layer, x = nnx.Linear(2, 1, rng=0), np.ones((1, 2), np.float32)
        tangent = {"weight": np.ones((2, 1), np.float32), "bias": np.ones(1, np.float32)}
        _, moved = nnx.jvp(lambda tree, x: tree["layer"](x), ({"layer": layer}, x), ({"layer": tangent}, 0.0 * x))
        assert_close(moved, np.asarray([[3.0]], np.float32))

    def test_a_constant_output_has_the_tangent_zero(self, xp):
        x = xp.asarray([1.0])
        assert_close(nnx.jvp(lambda x: (nnx.stop_gradient(x), x), (x,), (x,))[1], (0.0 * x, x))

    def test_modes_nest(self, xp):
        x = xp.asarray(1.3, "float64")
        one = xp.asarray(1.0, "float64")

        def forward(f):
            return lambda x: nnx.jvp(f, (x,), (one,))[1]

        expected = xp.asarray(-np.cos(1.3), "float64")
        sine = lambda x: nnx.namespace(x).sin(x)  # noqa: E731
        for first in (forward, nnx.grad):
            for second in (forward, nnx.grad):
                for third in (forward, nnx.grad):
                    assert_close(first(second(third(sine)))(x), expected)

    def test_linearize(self, xp):
        x, t = xp.asarray([1.0, 2.0], "float64"), xp.asarray([3.0, -1.0], "float64")
        value, derivative = nnx.linearize(lambda x: x**2, x)
        assert_close((value, derivative(t), derivative(2.0 * t)), (x**2, 2.0 * x * t, 4.0 * x * t))

    def test_errors(self):
        x = np.ones(2)
        with pytest.raises(ShapeError, match="expected a tangent for each of 2 primals, got 1"):
            nnx.jvp(lambda x, y: x, (x, x), (x,))
        with pytest.raises(ShapeError, match="expected tangent 0 with 2 arrays, as its primal, got 1"):
            nnx.jvp(lambda x: x, ([x, x],), ([x],))
        with pytest.raises(ShapeError, match=r"tangent 0 at 'a': expected shape \(2,\), as the primal, got \(1,\)"):
            nnx.jvp(lambda x: x, ({"a": x},), ({"a": np.ones(1)},))
        with pytest.raises(ShapeError, match=r"tangent 1: expected shape \(2,\), as the primal, got str"):
            nnx.jvp(lambda x, y: x, (x, x), (x, "t"))
        with pytest.raises(DTypeError, match="tangent 0: expected dtype float64, as the primal, got float32"):
            nnx.jvp(lambda x: x, (x,), (x.astype("float32"),))
        with pytest.raises(DTypeError, match="argument 0: expected a floating-point dtype, got int64"):
            nnx.jvp(lambda x: x, (np.ones(2, np.int64),), (x,))

    def test_a_traced_value_that_escapes(self):
        kept = []
        nnx.jvp(lambda x: (kept.append(x), x)[1], (np.ones(1),), (np.ones(1),))
        with pytest.raises(TraceError, match="met a traced array of a transform that has ended"):
            kept[0] * 2.0


class TestMatrices:
    @pytest.mark.parametrize("mode", [None, "forward", "reverse"])
    def test_jacobian(self, xp, mode):
        x = xp.asarray([1.0, 2.0, 3.0], "float64")
        a = xp.asarray(np.arange(6.0).reshape(2, 3), "float64")
        assert_close(nnx.jacobian(lambda x: a @ (x * x), mode=mode)(x), 2.0 * a * x)

    def test_jacobian_of_an_unknown_mode(self):
        with pytest.raises(ArgumentError, match="expected mode to be 'forward', 'reverse' or None, got 'both'"):
            nnx.jacobian(abs, mode="both")

    def test_hessian_and_its_product(self, xp):
        x, v = xp.asarray([1.0, 2.0], "float64"), xp.asarray([3.0, -1.0], "float64")
        assert_close(nnx.hessian(cubes)(x), xp.asarray([[6.0, 0.0], [0.0, 12.0]], "float64"))
        assert_close(nnx.hvp(cubes, x, v), 6.0 * x * v)

    def test_hessian_of_a_tree(self):
        found = nnx.hessian(quadratic)({"a": np.asarray(3.0), "b": np.asarray(5.0)})
        expected = {"a": {"a": 10.0, "b": 6.0}, "b": {"a": 6.0, "b": 0.0}}
        assert_close(found, expected)

"""The checker is worth something only if it fails on every kind of wrong rule."""

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, DTypeError
from nnx.testing import check_gradients


def points(library, *shapes):
    rng = np.random.default_rng(0)
    return [library.asarray(rng.uniform(0.5, 1.5, shape), "float64") for shape in shapes]


def with_rule(plain, rule):
    """Return a primitive with this rule: rule(*args) returns the pullback."""
    function = nnx.primitive(plain)
    function.with_pullback(lambda wanted, *args: (plain(*args), rule(*args)))
    return function


def column_sum(g):
    return nnx.namespace(g).sum(g, axis=0)


class TestPasses:
    def test_right_rules(self, xp):
        x, b = points(xp, (4, 3), (3,))
        check_gradients(with_rule(lambda x, b: x * b, lambda x, b: lambda g: (g * b, column_sum(g * x))), x, b, order=3)

    def test_scalars_and_any_output_shape(self, xp):
        (x,) = points(xp, (2, 3))
        check_gradients(lambda x: nnx.namespace(x).sum(x**3), x)
        check_gradients(lambda x: x[None, ...] * x, x)

    def test_trees_and_modules(self, xp):
        with nnx.use_backend(xp.spec):
            model = nnx.Linear(3, 2, rng=0, dtype="float64")
        x, y = points(xp, (4, 3), (4, 2))
        check_gradients(lambda model, data: (model(data["x"]), data["y"][0] ** 2), model, {"x": x, "y": (y,)})

    def test_a_constant_function(self, xp):
        (x,) = points(xp, (3,))
        check_gradients(lambda x: nnx.stop_gradient(x) * 0.0 + 1.0, x, order=1)

    def test_a_function_that_is_linear_or_of_large_numbers(self, xp):
        (x,) = points(xp, (3,))
        check_gradients(lambda x: 1e6 * x + 1e8, x)
        check_gradients(lambda x: 1e-9 * x**2, x)

    def test_leaves_model_and_arguments_alone(self):
        model = nnx.Linear(3, 2, rng=0, dtype="float64")
        weight, x = model.weight, np.ones((4, 3))
        check_gradients(lambda model, x: model(x), model, x)
        assert model.weight is weight
        assert weight.flags.writeable
        assert x.flags.writeable


class TestFails:
    def test_wrong_sign(self, xp):
        wrong = with_rule(lambda x: x**2, lambda x: lambda g: (-2.0 * x * g,))
        with pytest.raises(AssertionError, match=r"wrong derivative of order 1 for argument 0: .* -1 times"):
            check_gradients(wrong, *points(xp, (3,)))

    def test_wrong_factor(self, xp):
        wrong = with_rule(lambda x: x**2, lambda x: lambda g: (4.0 * x * g,))
        with pytest.raises(AssertionError, match=r"wrong derivative of order 1 for argument 0: .* 2 times"):
            check_gradients(wrong, *points(xp, (3,)))

    def test_one_wrong_element_among_a_thousand(self, xp):
        spoiled = xp.asarray(np.r_[1.001, np.ones(999)], "float64")
        wrong = with_rule(lambda x: x * 1.0, lambda x: lambda g: (g * spoiled,))
        with pytest.raises(AssertionError, match="wrong derivative"):
            check_gradients(wrong, *points(xp, (1000,)))

    def test_names_the_argument_and_the_leaf(self, xp):
        wrong = with_rule(lambda x, y: x * y, lambda x, y: lambda g: (g * y, 3.0 * g * x))
        with pytest.raises(AssertionError, match="for argument 1: "):
            check_gradients(wrong, *points(xp, (3,), (3,)))
        with pytest.raises(AssertionError, match=r"for argument 0 at 'b.0': "):
            check_gradients(
                lambda tree: wrong(tree["a"], tree["b"][0]),
                {"a": points(xp, (3,))[0], "b": points(xp, (3,))},
            )

    def test_missing_sum_over_a_broadcast_axis(self, xp):
        wrong = with_rule(lambda x, b: x + b, lambda x, b: lambda g: (g, g))
        with pytest.raises(AssertionError, match=r"the cotangent of argument 1: expected shape \(3,\), got \(4, 3\)"):
            check_gradients(wrong, *points(xp, (4, 3), (3,)))

    def test_sum_over_the_wrong_axis(self, xp):
        wrong = with_rule(lambda x, b: x + b, lambda x, b: lambda g: (g, nnx.namespace(g).sum(g, axis=1)))
        with pytest.raises(AssertionError, match="for argument 1"):
            check_gradients(wrong, *points(xp, (3, 3), (3,)))

    def test_a_missing_cotangent(self, xp):
        wrong = with_rule(lambda x, y: x * y, lambda x, y: lambda g: (g * y, None))
        with pytest.raises(AssertionError, match="for argument 1: the pullback gives 0 "):
            check_gradients(wrong, *points(xp, (3,), (3,)))

    def test_second_derivative_alone(self, xp):
        # The first derivative is right at every point, but half of it is hidden from a trace.
        wrong = with_rule(lambda x: x**3, lambda x: lambda g: (3.0 * x * nnx.stop_gradient(x) * g,))
        check_gradients(wrong, *points(xp, (3,)), order=1)
        with pytest.raises(AssertionError, match=r"wrong derivative of order 2 for argument 0: .* 0.5 times"):
            check_gradients(wrong, *points(xp, (3,)))

    def test_derivative_for_the_cotangent(self, xp):
        wrong = with_rule(lambda x: x**3, lambda x: lambda g: (3.0 * x**2 * nnx.stop_gradient(g),))
        with pytest.raises(AssertionError, match=r"wrong derivative of order 2 for the cotangent: .* gives 0 "):
            check_gradients(wrong, *points(xp, (3,)))

    @pytest.mark.parametrize("library", ["numpy", "torch"])
    def test_changed_cotangent(self, library):
        if library == "torch":
            pytest.importorskip("torch", reason="torch is not installed")
        (x,) = nnx.to_device([np.ones(3)], library)

        def rule(x):
            def pullback(g):
                g *= 2.0
                return (g,)

            return pullback

        with pytest.raises(
            AssertionError, match=r"writes to its cotangent|which the pullback of order 1 must not change"
        ):
            check_gradients(with_rule(lambda x: 2.0 * x, rule), x)

    @pytest.mark.parametrize("library", ["numpy", "torch"])
    def test_changed_argument(self, library):
        if library == "torch":
            pytest.importorskip("torch", reason="torch is not installed")
        (x,) = nnx.to_device([np.ones(3)], library)

        def rule(x):
            def pullback(g):
                x[...] = 0.0
                return (2.0 * g,)

            return pullback

        with pytest.raises(AssertionError, match=r"or to an argument|argument 0, which nothing may change"):
            check_gradients(with_rule(lambda x: 2.0 * x, rule), x)

    def test_a_pullback_that_works_once(self, xp):
        def rule(x):
            calls = []

            def pullback(g):
                calls.append(0)
                return (g * float(len(calls)),)

            return pullback

        with pytest.raises(AssertionError, match="a second call of the pullback of order 1"):
            check_gradients(with_rule(lambda x: x * 1.0, rule), *points(xp, (3,)))

    def test_wrong_dtype(self, xp):
        def rule(x):
            return lambda g: (nnx.namespace(g).astype(g, xp.namespace.float32),)

        with pytest.raises(AssertionError, match="the cotangent of argument 0: expected dtype float64, got float32"):
            check_gradients(with_rule(lambda x: x * 1.0, rule), *points(xp, (3,)))

    def test_another_value_under_a_trace(self, xp):
        wrong = nnx.primitive(lambda x: 2.0 * x)
        wrong.with_pullback(lambda wanted, x: (3.0 * x, lambda g: (2.0 * g,)))
        with pytest.raises(AssertionError, match="the output, traced for order 1: 3 of 3 elements differ"):
            check_gradients(wrong, *points(xp, (3,)))


class TestForwardMode:
    def test_right_rules(self, xp):
        with nnx.use_backend(xp.spec):
            model = nnx.Model([nnx.Linear(3, 2, rng=0, dtype="float64"), nnx.Sigmoid()])
        (x,) = points(xp, (4, 3))
        order = 1 if xp.name == "jax" else 2  # JAX compiles each operation
        check_gradients(lambda model, x: (model(x), x * x), model, x, order=order, modes=("forward", "reverse"))

    @pytest.mark.parametrize("modes", [("forward",), ("reverse", "forward")])
    def test_a_wrong_tangent(self, modes):
        @nnx.custom_jvp
        def cube(x):
            return x**3

        @cube.with_tangent
        def _(primals, tangents):
            (x,), (t,) = primals, tangents
            return cube(x), 6.0 * x**2 * t

        with pytest.raises(AssertionError, match=r"wrong derivative of order 1 .* 2 times the central difference"):
            check_gradients(cube, np.ones(3), modes=modes)

    def test_kinks(self):
        with pytest.raises(ArgumentError, match="kink near the point"):
            check_gradients(abs, np.zeros(1), order=1, modes=("forward",))


KINK = "kink near the point, not a wrong derivative"


class TestKinks:
    @pytest.mark.parametrize("function", [nnx.functional.relu, abs])
    def test_at_the_point(self, xp, function):
        with pytest.raises(ArgumentError, match=KINK):
            check_gradients(function, xp.asarray([1.0, 0.0], "float64"), order=1)

    @pytest.mark.parametrize("distance", [1e-4, 5e-5, 2e-5, 1e-5, 1e-6, 1e-8])
    def test_near_the_point(self, distance):
        # Whatever the direction, the checker passes or says kink: it never says wrong.
        for seed in range(20):
            try:
                check_gradients(nnx.functional.relu, np.asarray([1.0, distance, -2.0]), rng=seed)
            except ArgumentError as error:
                assert KINK in str(error)  # noqa: PT017

    def test_is_seen_within_a_step(self):
        with pytest.raises(ArgumentError, match=KINK):
            check_gradients(lambda x: abs(x), np.asarray([1e-5]), rng=1)

    def test_a_wrong_derivative_beside_a_kink_is_wrong(self):
        wrong = with_rule(lambda x: abs(x), lambda x: lambda g: (2.0 * g,))
        with pytest.raises(AssertionError, match="wrong derivative"):
            check_gradients(wrong, np.asarray([1e-3]))

    def test_a_jump(self):
        jump = with_rule(lambda x: nnx.namespace(x).where(x > 0, x + 1.0, x), lambda x: lambda g: (g,))
        with pytest.raises(ArgumentError, match=KINK):
            check_gradients(jump, np.asarray([0.0]), order=1)


class TestArguments:
    def test_unknown_mode(self):
        with pytest.raises(ArgumentError, match="expected modes out of 'reverse', 'forward', got 'backwards'"):
            check_gradients(lambda x: x, np.ones(2), modes=("reverse", "backwards"))

    def test_no_mode(self):
        with pytest.raises(ArgumentError, match="expected at least one mode, got none"):
            check_gradients(lambda x: x, np.ones(2), modes=())

    @pytest.mark.parametrize("order", [0, -1, 1.0, True])
    def test_order(self, order):
        with pytest.raises(ArgumentError, match="expected order to be an integer of at least 1"):
            check_gradients(lambda x: x, np.ones(2), order=order)

    def test_eps(self):
        with pytest.raises(ArgumentError, match="expected eps > 0, got 0"):
            check_gradients(lambda x: x, np.ones(2), eps=0)

    def test_float64_only(self, xp):
        with pytest.raises(DTypeError, match=r"argument 1: expected float64, because .* got float32; convert it"):
            check_gradients(lambda x, y: x, xp.asarray([1.0], "float64"), xp.asarray([1.0]))
        with pytest.raises(DTypeError, match=r"argument 0 at 'n': expected float64, .* got int"):
            check_gradients(lambda x: x, {"n": 3})
        with pytest.raises(DTypeError, match="argument 0 at 'weight': expected float64"):
            check_gradients(lambda model: model.weight, nnx.Linear(2, 2))
        with pytest.raises(DTypeError, match=r"the output: expected float64, .* got float32"):
            check_gradients(lambda x: nnx.namespace(x).astype(x, xp.namespace.float32), xp.asarray([1.0], "float64"))

    def test_random_functions(self):
        rng = np.random.default_rng(0)
        with pytest.raises(ArgumentError, match="gives the same value at the same point, got two"):
            check_gradients(lambda x: x * rng.normal(), np.ones(2))
        layer = nnx.Reparameterization(seed=0)
        with pytest.raises(ArgumentError, match=r"call model\.eval\(\) first"):
            check_gradients(lambda x: layer(x, x), np.ones((2, 2)))

    def test_not_finite(self):
        with pytest.raises(ArgumentError, match=r"expected a function that is finite within 0.0001 of the point"):
            check_gradients(lambda x: nnx.namespace(x).where(x > 1.0, np.full(1, np.inf), x), np.ones(1))

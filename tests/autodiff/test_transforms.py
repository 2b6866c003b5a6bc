import threading
from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, BackendError, DTypeError, ShapeError, TraceError
from nnx.testing import assert_close


def total(x):
    return nnx.namespace(x).sum(x)


class TestGrad:
    def test_of_a_polynomial_at_every_order(self, xp):
        f = lambda x: x**5  # noqa: E731
        x = xp.asarray(2.0, "float64")
        for expected in (80.0, 160.0, 240.0, 240.0, 120.0, 0.0):
            f = nnx.grad(f)
            assert_close(f(x), xp.asarray(expected, "float64"))

    def test_of_a_transcendental_function_at_order_three(self, xp):
        x = xp.asarray(0.7, "float64")
        third = nnx.grad(nnx.grad(nnx.grad(lambda x: nnx.namespace(x).sin(x))))
        assert_close(third(x), xp.asarray(-np.cos(0.7), "float64"))

    def test_value_and_gradient(self, xp):
        value, gradient = nnx.value_and_grad(lambda x: (x - 2.0) ** 2 + 1.0)(xp.asarray(5.0, "float64"))
        assert_close((value, gradient), (xp.asarray(10.0, "float64"), xp.asarray(6.0, "float64")))

    def test_gradient_descent_of_the_post(self, xp):
        x = xp.asarray(5.0, "float64")
        for n in range(1, 20):
            x = x - 0.1 * nnx.grad(lambda x: (x - 2.0) ** 2 + 1.0)(x)
            assert_close(x, xp.asarray(2.0 + 3.0 * 0.8**n, "float64"))

    def test_argnums(self, xp):
        x, y = xp.asarray(2.0, "float64"), xp.asarray(3.0, "float64")
        f = lambda x, y: x * x * y  # noqa: E731
        assert_close(nnx.grad(f)(x, y), xp.asarray(12.0, "float64"))
        assert_close(nnx.grad(f, argnums=1)(x, y), xp.asarray(4.0, "float64"))
        assert_close(nnx.grad(f, argnums=-1)(x, y), xp.asarray(4.0, "float64"))
        both = nnx.grad(f, argnums=(1, 0))(x, y)
        assert_close(both, (xp.asarray(4.0, "float64"), xp.asarray(12.0, "float64")))

    def test_keywords_are_handed_through(self):
        assert float(nnx.grad(lambda x, *, power: x**power)(np.asarray(2.0), power=3)) == 12.0

    def test_has_aux(self, xp):
        def f(x):
            return x**2, {"seen": 3.0 * x, "text": "kept", "nothing": None}

        x = xp.asarray(2.0, "float64")
        (value, aux), gradient = nnx.value_and_grad(f, has_aux=True)(x)
        expected = {"seen": 3.0 * x, "text": "kept", "nothing": None}
        assert_close((value, gradient, aux), (x**2, 2.0 * x, expected))
        assert_close(nnx.grad(f, has_aux=True)(x), (2.0 * x, expected))
        value, pullback, aux = nnx.vjp(f, x, has_aux=True)
        assert_close((value, pullback(x), aux), (x**2, (2.0 * x * x,), expected))

    def test_trees_keep_their_form(self, xp):
        Pair = namedtuple("Pair", "left right")
        one = xp.asarray([1.0], "float64")
        tree = OrderedDict(z=Pair(one, [2.0 * one]), a=(3.0 * one, None))
        found = nnx.grad(lambda t: total(t["z"].left * t["z"].right[0] * t["a"][0]))(tree)
        assert isinstance(found["z"], Pair)
        assert list(found) == ["z", "a"]
        assert found["a"][1] is None
        assert_close(found, OrderedDict(z=Pair(6.0 * one, [3.0 * one]), a=(2.0 * one, None)))

    def test_python_floats_are_float32_of_the_selected_backend(self, xp):
        with nnx.use_backend(xp.spec):
            gradient = nnx.grad(lambda x: x**3)(2.0)
        assert_close(gradient, xp.asarray(12.0, "float32"))

    def test_unreached_arguments_get_zeros(self, xp):
        x = xp.asarray([1.0, 2.0], "float32")
        found = nnx.grad(lambda tree: total(tree["used"]))({"used": x, "unused": x})
        assert_close(found, {"used": xp.asarray([1.0, 1.0]), "unused": xp.asarray([0.0, 0.0])})
        assert_close(nnx.grad(lambda x: total(nnx.stop_gradient(x)))(x), xp.asarray([0.0, 0.0]))

    def test_a_value_used_twice_adds_up(self, xp):
        x = xp.asarray([2.0], "float64")

        def f(x):
            y = x * x
            return total(y * y + y + x)

        assert_close(nnx.grad(f)(x), xp.asarray([4.0 * 8 + 4.0 + 1.0], "float64"))

    def test_an_outer_traced_value_in_a_closure(self, xp):
        def outer(x):
            return nnx.grad(lambda y: y * y * x * nnx.namespace(x).sin(x))(x) + x

        x = 1.3
        expected = 4 * x * np.sin(x) + 2 * x**2 * np.cos(x) + 1.0
        assert_close(nnx.grad(outer)(xp.asarray(x, "float64")), xp.asarray(expected, "float64"))

    def test_an_inner_constant_is_an_outer_variable(self, xp):
        # d/dw of d/dx sin(w x) at x = 1: the cotangent is plain where the inner tape starts.
        gradient = nnx.grad(lambda w: nnx.grad(lambda x: nnx.namespace(x, w).sin(w * x))(xp.asarray(1.0, "float64")))
        w = 0.8
        assert_close(gradient(xp.asarray(w, "float64")), xp.asarray(np.cos(w) - w * np.sin(w), "float64"))

    def test_perturbations_are_not_confused(self, xp):
        # d/dx of x * (d/dy (x + y)) is 1: the inner derivative is 1 whatever x is.
        f = nnx.grad(lambda x: x * nnx.grad(lambda y: x + y)(xp.asarray(1.0, "float64")))
        assert_close(f(xp.asarray(3.0, "float64")), xp.asarray(1.0, "float64"))

    def test_gradient_of_a_penalty_on_a_gradient_of_a_model(self, xp):
        with nnx.use_backend(xp.spec):
            model = nnx.Model([nnx.Linear(2, 3, rng=0, dtype="float64"), nnx.Sigmoid()])
        x = xp.asarray([[0.3, -0.2]], "float64")

        def penalty(model):
            return total(nnx.grad(lambda x: total(model(x)))(x) ** 2)

        nnx.testing.check_gradients(penalty, model, order=1)


class TestModules:
    def test_gradients_are_a_dict_of_paths(self):
        model = nnx.Model([nnx.Linear(2, 3, rng=0), nnx.ReLU(), nnx.Linear(3, 1, rng=1)])
        gradients = nnx.grad(lambda model, x: total(model(x)))(model, np.ones((1, 2), np.float32))
        assert list(gradients) == ["0.weight", "0.bias", "2.weight", "2.bias"]
        assert_close(0.0 * gradients["0.weight"], 0.0 * model.parameters()["0.weight"])

    def test_in_a_tree_too(self):
        tree = {"model": nnx.Linear(2, 3, rng=0), "x": np.ones((1, 2), np.float32)}
        found = nnx.grad(lambda tree: total(tree["model"](tree["x"])))(tree)
        assert list(found["model"]) == ["weight", "bias"]
        assert found["x"].shape == (1, 2)

    def test_a_shared_module_adds_up(self, xp):
        with nnx.use_backend(xp.spec):
            shared = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(3.0), dtype="float64")
        model = nnx.Sequential([shared, shared])
        gradients = nnx.grad(lambda model: total(model(xp.asarray([[1.0]], "float64"))))(model)
        assert_close(gradients, {"0.weight": xp.asarray([[6.0]], "float64")})

    def test_the_model_is_not_touched(self):
        model = nnx.Model([nnx.Linear(2, 3, rng=0), nnx.Linear(3, 1, rng=1)])
        before, weights = dict(vars(model)), {p: (w, w.copy()) for p, w in model.parameters().items()}
        inside = []

        def objective(model, x):
            inside.append(model)
            return total(model(x))

        nnx.value_and_grad(objective)(model, np.ones((1, 2), np.float32))
        assert inside[0] is not model
        assert vars(model) == before
        for path, w in model.parameters().items():
            assert w is weights[path][0]
            np.testing.assert_array_equal(w, weights[path][1])
        with pytest.raises(nnx.errors.UsageError, match="backward needs a forward pass"):
            model.backward(np.ones((1, 1), np.float32))

    def test_buffers_are_shared_with_the_copy(self):
        layer = nnx.Reparameterization(seed=0)
        x = np.ones((1, 2))
        nnx.grad(lambda layer, x: total(layer(x, x)), argnums=1)(layer, x)
        assert layer.calls.value == 1

    def test_two_threads_differentiate_one_model(self):
        model = nnx.Model([nnx.Linear(3, 4, rng=0), nnx.Sigmoid(), nnx.Linear(4, 1, rng=1)])
        gradient = nnx.grad(lambda model, x: total(model(x)))
        inputs = [np.random.default_rng(i).normal(size=(2, 3)).astype(np.float32) for i in range(2)]
        expected = [gradient(model, x) for x in inputs]
        start, errors = threading.Barrier(2), []

        def work(i):
            start.wait()
            try:
                for _ in range(50):
                    assert_close(gradient(model, inputs[i]), expected[i], rtol=0.0)
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors


class TestVjp:
    def test_output_of_any_form(self, xp):
        x = xp.asarray([1.0, 2.0], "float64")
        value, pullback = nnx.vjp(lambda x: {"a": x * x, "b": (3.0 * x, None)}, x)
        assert_close(value, {"a": x * x, "b": (3.0 * x, None)})
        assert_close(pullback({"a": x, "b": (x, None)}), (2.0 * x * x + 3.0 * x,))

    def test_the_pullback_can_be_called_again(self, xp):
        x = xp.asarray([1.0, 2.0], "float64")
        _, pullback = nnx.vjp(lambda x: nnx.namespace(x).exp(x) * x, x)
        assert_close(pullback(x), pullback(x), rtol=0.0)
        assert_close(pullback(2.0 * x)[0], 2.0 * pullback(x)[0])

    def test_an_output_that_is_an_input_or_a_constant(self, xp):
        x = xp.asarray([1.0], "float64")
        value, pullback = nnx.vjp(lambda x: (x, x, xp.asarray([7.0], "float64")), x)
        assert_close(value[2], xp.asarray([7.0], "float64"))
        assert_close(pullback((x, x, x)), (2.0 * x,))

    def test_nothing_is_changed(self):
        x, g = np.ones(3), np.ones(3)
        for array in (x, g):
            array.flags.writeable = False
        nnx.vjp(lambda x: (x, x * 2.0, x), x)[1]((g, g, g))

    def test_a_cotangent_of_the_wrong_shape(self, xp):
        _, pullback = nnx.vjp(lambda x: x, xp.asarray([1.0, 2.0]))
        with pytest.raises(ShapeError, match=r"expected a cotangent of shape \(2,\), as the output, got \(1,\)"):
            pullback(xp.asarray([1.0]))

    def test_a_cotangent_of_the_wrong_dtype(self, xp):
        _, pullback = nnx.vjp(lambda x: x, xp.asarray([1.0, 2.0]))
        with pytest.raises(DTypeError, match="expected a cotangent of dtype float32, as the output, got float64"):
            pullback(xp.asarray([1.0, 2.0], "float64"))

    def test_a_cotangent_of_the_wrong_form(self):
        _, pullback = nnx.vjp(lambda x: (x, x), np.ones(2))
        with pytest.raises(ShapeError, match="expected a cotangent with 2 arrays, as the output, got 1"):
            pullback(np.ones(2))

    def test_a_cotangent_of_another_library(self):
        strict = pytest.importorskip("array_api_strict")
        _, pullback = nnx.vjp(lambda x: x, np.ones(2))
        with pytest.raises(BackendError, match="expected arrays of one library"):
            pullback(strict.ones(2))

    def test_a_cotangent_that_is_no_array(self):
        _, pullback = nnx.vjp(lambda x: x, np.asarray(1.0))
        with pytest.raises(DTypeError, match="expected a cotangent"):
            pullback("one")


class TestErrors:
    def test_integers_cannot_be_differentiated(self, xp):
        with pytest.raises(DTypeError, match=r"argument 0: expected a floating-point dtype, got int64; convert it"):
            nnx.grad(total)(xp.asarray([1, 2], "int64"))
        with pytest.raises(DTypeError, match=r"argument 0 at 'a\.1': expected a floating-point dtype, got int32"):
            nnx.grad(lambda t: t)({"a": [xp.asarray(1.0), xp.asarray(1, "int32")]})
        with pytest.raises(DTypeError, match="argument 0: expected an array of floating-point numbers, got int"):
            nnx.grad(lambda x: x)(3)
        with pytest.raises(DTypeError, match=r"argument 0 at 'name': expected an array .*, got str"):
            nnx.grad(lambda x: x)({"name": "text"})

    def test_the_value_must_be_one_number(self, xp):
        x = xp.asarray([1.0, 2.0])
        with pytest.raises(ShapeError, match=r"one number, an array of shape \(\), got shape \(2,\); take a mean"):
            nnx.grad(lambda x: x)(x)
        with pytest.raises(ShapeError, match="got tuple"):
            nnx.grad(lambda x: (x, x))(x)
        with pytest.raises(ShapeError, match="got NoneType"):
            nnx.grad(lambda x: None)(x)

    def test_the_value_must_be_real_and_floating(self, xp):
        with pytest.raises(DTypeError, match="returns a real floating-point number, got int"):
            nnx.grad(lambda x: nnx.namespace(x).argmax(x))(xp.asarray([1.0, 2.0]))
        with pytest.raises(DTypeError, match="returns a real floating-point number, got complex128"):
            nnx.grad(total)(xp.asarray([1j], "complex128"))

    @pytest.mark.parametrize("argnums", [1, -1, (0, 1)])
    def test_an_argument_has_its_own_number(self, argnums):
        with pytest.raises(DTypeError, match="argument 1: expected a floating-point dtype, got int64"):
            nnx.grad(lambda x, n: x * n, argnums=argnums)(np.asarray(1.0), np.asarray(2))

    @pytest.mark.parametrize("argnums", [2, -3, (0, 2)])
    def test_argnums_out_of_range(self, argnums):
        with pytest.raises(ArgumentError, match=r"argnums has -?\d, but the function was called with 2 arguments"):
            nnx.grad(lambda x, y: x, argnums=argnums)(1.0, 2.0)

    def test_aux_must_be_a_pair(self):
        with pytest.raises(ArgumentError, match=r"with has_aux expected .*\(output, aux\), got ndarray"):
            nnx.grad(lambda x: nnx.stop_gradient(x), has_aux=True)(np.asarray(1.0))
        with pytest.raises(ArgumentError, match=r"with has_aux expected .*\(output, aux\), got tuple"):
            nnx.grad(lambda x: (x, x, x), has_aux=True)(1.0)

    def test_a_traced_value_that_escapes(self, xp):
        kept = []
        nnx.grad(lambda x: (kept.append(x), x)[1])(xp.asarray(1.0))
        with pytest.raises(TraceError, match="met a traced array of a transform that has ended; return what you need"):
            kept[0] * 2.0

    def test_an_exception_in_the_function_ends_the_trace(self):
        kept = []

        def f(x):
            kept.append(x)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            nnx.grad(f)(1.0)
        with pytest.raises(TraceError, match="has ended"):
            kept[0] + 1.0


PRIMAL = {"a": np.asarray(2.0), "b": np.asarray(3.0)}
OTHER_ORDER = {"b": np.asarray(0.0), "a": np.asarray(1.0)}


class TestTreesAreMatchedByPath:
    """The keys of a cotangent or tangent may stand in another order than those of what it belongs to."""

    @staticmethod
    def product(p):
        return p["a"] * p["b"] ** 2

    def test_tangent(self):
        assert nnx.jvp(self.product, (PRIMAL,), (OTHER_ORDER,))[1] == 9.0

    def test_cotangent(self):
        _, pullback = nnx.vjp(lambda p: {"a": 2.0 * p["a"], "b": 5.0 * p["b"]}, PRIMAL)
        (found,) = pullback(OTHER_ORDER)
        assert (found["a"], found["b"]) == (2.0, 0.0)

    def test_cotangents_of_a_custom_pullback(self):
        function = nnx.custom_vjp(self.product)

        @function.with_pullback
        def _(p):
            return function(p), lambda g: ({"b": 2.0 * p["a"] * p["b"] * g, "a": p["b"] ** 2 * g},)

        assert nnx.grad(function)(PRIMAL) == {"a": 9.0, "b": 12.0}

    def test_tangents_of_a_custom_rule(self):
        function = nnx.custom_jvp(lambda p: {"x": p["a"], "y": 7.0 * p["b"]})

        @function.with_tangent
        def _(primals, tangents):
            (t,) = tangents
            return function(*primals), {"y": 7.0 * t["b"], "x": t["a"]}

        tangent = nnx.jvp(function, (PRIMAL,), (OTHER_ORDER,))[1]
        assert (tangent["x"], tangent["y"]) == (1.0, 0.0)

    def test_other_names(self):
        wrong = {"a": np.asarray(1.0), "c": np.asarray(1.0)}
        with pytest.raises(
            ShapeError, match=r"expected tangent 0 with the arrays of its primal; missing \['b'\], not in it \['c'\]"
        ):
            nnx.jvp(self.product, (PRIMAL,), (wrong,))

    def test_a_custom_cotangent_of_the_wrong_shape(self):
        total = nnx.custom_vjp(lambda x: nnx.namespace(x).sum(x))
        total.with_pullback(lambda x: (total(x), lambda g: (g,)))
        expected = r"argument 0: expected a cotangent of shape \(2,\) of float64, got \(\) of float64"
        with pytest.raises(ShapeError, match=expected):
            nnx.grad(total)(np.ones(2))


class TestWhatAUserMightDo:
    """Things that once gave a wrong result, or none, in silence."""

    def test_options_by_position_are_refused(self):
        x = np.ones((2, 2))
        for call in (
            lambda xp, x: xp.flip(x, 0),
            lambda xp, x: xp.roll(x, 1, 0),
            lambda xp, x: xp.tril(x, 1),
            lambda xp, x: xp.sum(x, 0),
            lambda xp, x: xp.std(x, 0),
            lambda xp, x: xp.cumulative_sum(x, 0),
        ):
            with pytest.raises(ArgumentError, match=r"by position, as in the standard, got \d; pass options by name"):
                nnx.vjp(lambda x, call=call: call(nnx.namespace(x), x), x)
            with pytest.raises(ArgumentError, match=r"by position, as in the standard, got \d; pass options by name"):
                nnx.jvp(lambda x, call=call: call(nnx.namespace(x), x), (x,), (x,))

    def test_plain_and_traced_cotangents_meet(self, xp):
        a, b = xp.asarray([2.0, 3.0], "float64"), xp.asarray([3.0, 4.0], "float64")

        def outer(x):
            inner = lambda w: total(w * x) + total(w * a) + total(w * b)  # noqa: E731
            return total(nnx.grad(inner)(xp.asarray([1.0, 2.0], "float64")) ** 2)

        x = xp.asarray([2.0, 1.0], "float64")
        assert_close(nnx.grad(outer)(x), 2.0 * (x + a + b))

    def test_stop_gradient_of_a_tree_and_of_a_module(self):
        tree = {"a": np.asarray(3.0)}
        assert nnx.grad(lambda p: p["a"] * nnx.stop_gradient(p)["a"])(tree) == {"a": 3.0}
        model, x = nnx.Linear(2, 1, rng=0, dtype="float64"), np.ones((1, 2))
        frozen = nnx.grad(lambda m: total(nnx.stop_gradient(m)(x) * m(x)))(model)
        assert_close(frozen["bias"], model.eval()(x)[0])

    def test_an_argument_twice(self):
        with pytest.raises(ArgumentError, match=r"expected every argument once in argnums, got \(0, 0\)"):
            nnx.grad(lambda x, y: x * y, (0, 0))(np.asarray(2.0), np.asarray(3.0))
        with pytest.raises(ArgumentError, match="argnums has 3, but the function was called with 1 arguments"):
            nnx.jacobian(lambda x: x, argnum=3)(np.asarray(2.0))

    def test_keys_that_collide(self):
        with pytest.raises(ArgumentError, match="expected every leaf to have a path of its own, got keys that collide"):
            nnx.vjp(lambda p: p[1], {1: np.asarray(1.0), "1": np.asarray(2.0)})

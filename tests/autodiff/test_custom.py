import numpy as np
import pytest

import nnx
from nnx.errors import ShapeError, TraceError, UsageError
from nnx.testing import assert_close, check_gradients


def rooted(tree):
    return tree["x"] ** 0.5 * tree["scale"]


class TestCustomVjp:
    def test_takes_trees_and_modules(self):
        @nnx.custom_vjp
        def f(layer, tree):
            return {"y": layer(tree["x"])}

        @f.with_pullback
        def _(layer, tree):
            y, back = nnx.vjp(lambda layer, x: layer(x), layer, tree["x"])

            def pullback(cotangent):
                to_layer, to_x = back(cotangent["y"])
                return to_layer, {"x": to_x}

            return {"y": y}, pullback

        check_gradients(
            f, nnx.Linear(3, 2, rng=0, dtype="float64"), {"x": np.ones((4, 3))}, modes=("reverse", "forward")
        )

    def test_none_stands_for_zeros(self):
        f = nnx.custom_vjp(lambda x, y: x * y)
        f.with_pullback(lambda x, y: (x * y, lambda g: (g * y, None)))
        found = nnx.grad(f, argnums=(0, 1))(np.asarray(2.0), np.asarray(3.0))
        assert_close(found, (np.asarray(3.0), np.asarray(0.0)))

    def test_errors(self):
        f = nnx.custom_vjp(rooted)
        with pytest.raises(UsageError, match=r"rooted has no pullback yet; register one with @rooted\.with_pullback"):
            f({"x": np.ones(1), "scale": np.ones(1)})
        g = nnx.custom_vjp(lambda x, y: x * y)
        g.with_pullback(lambda x, y: (x * y, lambda c: (c,)))
        with pytest.raises(ShapeError, match="expected the pullback of <lambda> to return 2 cotangents, got 1"):
            nnx.grad(g)(np.asarray(2.0), np.asarray(3.0))
        f.with_pullback(lambda tree: (rooted(tree), lambda c: (c,)))
        with pytest.raises(
            ShapeError,
            match="expected from the pullback of rooted, argument 0, a cotangent with 2 arrays, as the argument, got 1",
        ):
            nnx.grad(f)({"x": np.asarray(2.0), "scale": np.asarray(3.0)})


class TestCustomJvp:
    def test_reverse_mode_transposes_it(self):
        @nnx.custom_jvp
        def f(x, y):
            return x**2 * y

        @f.with_tangent
        def _(primals, tangents):
            (x, y), (s, t) = primals, tangents
            return f(x, y), 2.0 * x * y * s + x**2 * t

        check_gradients(f, np.asarray([1.0, 2.0]), np.asarray([3.0, 4.0]), modes=("reverse", "forward"))

    def test_without_a_tangent(self):
        with pytest.raises(UsageError, match=r"rooted has no tangent yet; register one with @rooted\.with_tangent"):
            nnx.custom_jvp(rooted)(np.ones(1))


class TestRematOfAModule:
    def test_its_parameters_are_trained(self, xp):
        with nnx.use_backend(xp.spec):
            rng = nnx.generator(0)
            inner = nnx.Model([nnx.Linear(3, 4, rng=rng), nnx.Sigmoid()])
        x = xp.asarray(np.random.default_rng(1).normal(size=(2, 3)))
        block = nnx.remat(inner)
        total = lambda model, x: nnx.namespace(x).sum(model(x) ** 2)  # noqa: E731
        expected, to_x = nnx.grad(total, argnums=(0, 1))(inner, x)
        found, again = nnx.grad(total, argnums=(0, 1))(block, x)
        assert list(found) == ["inner.0.weight", "inner.0.bias"]
        assert_close(list(found.values()), list(expected.values()), rtol=1e-6)
        assert_close(again, to_x, rtol=1e-6)

    def test_in_the_words_of_the_post(self):
        inner = nnx.Linear(3, 2, rng=0)
        x = np.ones((4, 3), np.float32)
        y, z = inner(x), nnx.remat(inner)(x)
        assert_close(z, y)
        block = nnx.remat(inner)
        assert_close(block.backward(block(x)), inner.backward(y))
        assert_close(block.gradients()["inner.weight"], inner.gradients()["weight"])

    def test_it_keeps_its_arguments_alone(self):
        seen = []

        class Counted(nnx.Module):
            def __init__(self):
                self.scale = nnx.Parameter(np.asarray([2.0]))

            def forward(self, x):
                seen.append(0)
                return x * self.scale

        block = nnx.Model([nnx.remat(Counted())])
        nnx.grad(lambda m: nnx.namespace(m(np.ones(1))).sum(m(np.ones(1))))(block)
        assert len(seen) == 2 + 1  # of two calls one was differentiated


class TestRemat:
    @pytest.mark.parametrize("transform", ["grad", "jvp", "hessian"])
    def test_what_it_runs_again_may_not_write_into_its_arguments(self, xp, transform):
        if not (xp.name.startswith("numpy") or xp.name == "torch"):
            pytest.skip("writes are not seen, or there are none")

        def block(h):
            h += 1.0
            return h * h

        def loss(x):
            h = x * 2.0
            return nnx.namespace(x).sum(nnx.remat(block)(h) * h)

        x = xp.asarray([1.0, 2.0])
        transforms = {"grad": nnx.grad(loss), "jvp": lambda x: nnx.jvp(loss, (x,), (x,)), "hessian": nnx.hessian(loss)}
        with pytest.raises(TraceError, match=r"remat\(block\).* wrote into one of its arguments.* write x = x \+ "):
            transforms[transform](x)

    def test_which_may_write_into_what_it_makes(self, xp):
        def block(h):
            h = h * 1.0
            h += 1.0
            return h * h

        x = xp.asarray([1.0, 2.0])
        found = nnx.grad(lambda x: nnx.namespace(x).sum(nnx.remat(block)(x)))(x)
        assert_close(found, xp.asarray([4.0, 6.0]))

    def test_gives_the_same_derivatives(self):
        rng = nnx.generator(0)
        model = nnx.Model([nnx.Linear(3, 4, rng=rng, dtype="float64"), nnx.Sigmoid()])
        x = rng.normal(size=(2, 3))
        block = nnx.remat(lambda model, x: model(x))
        whole = lambda f: lambda model, x: nnx.namespace(f(model, x)).sum(f(model, x) ** 2)  # noqa: E731
        expected = nnx.grad(whole(lambda model, x: model(x)), argnums=(0, 1))(model, x)
        assert_close(nnx.grad(whole(block), argnums=(0, 1))(model, x), expected, rtol=1e-14)
        check_gradients(block, model, x, modes=("reverse", "forward"))

    def test_runs_the_function_again_in_the_backward_pass(self):
        calls = []
        block = nnx.remat(lambda x: (calls.append(0), x * x)[1])
        nnx.grad(block)(np.asarray(3.0))
        assert len(calls) == 2

    def test_refuses_a_traced_value_that_is_no_argument(self):
        with pytest.raises(TraceError, match=r"remat\(.*\).* uses a traced array that is not among its arguments"):
            nnx.grad(lambda w: nnx.remat(lambda x: x * w)(w * 2.0))(np.asarray(3.0))


def test_what_is_computed_again_draws_the_same_noise_again():
    class Noisy(nnx.Module):
        def __init__(self):
            self.scale = nnx.Parameter(np.asarray(2.0))
            self.draw = nnx.Reparameterization(seed=0)

        def forward(self, x):
            return nnx.namespace(x, self.scale).sum(self.draw(x * self.scale, x * x * self.scale) ** 2)

    x, plain, again = np.asarray([[1.0, 2.0]]), Noisy(), Noisy()
    expected = nnx.grad(lambda m: m(x))(plain)
    found = nnx.grad(lambda m: nnx.remat(lambda m, x: m(x))(m, x))(again)
    assert found == expected
    assert plain.draw.calls.value == again.draw.calls.value == 1

"""What a transform returns belongs to the caller: it may be written, and nothing else changes with it."""

import numpy as np
import pytest

import nnx
from nnx.testing import assert_close


def total(x):
    return nnx.namespace(x).sum(x)


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape) for shape in shapes]


def test_gradients_share_no_memory():
    x, y = arrays((3,), (3,))
    gx, gy = nnx.grad(lambda x, y: total(x + y), (0, 1))(x, y)
    gx *= 10.0
    assert gy.tolist() == [1.0, 1.0, 1.0]


def test_a_gradient_that_is_a_broadcast_may_be_written():
    gradient = nnx.grad(total)(np.ones((2, 3)))
    gradient += 1.0
    assert gradient.tolist() == [[2.0] * 3] * 2


def test_two_parameters_of_one_output():
    class Both(nnx.Module):
        def __init__(self):
            self.a, self.b = nnx.Parameter(np.ones(3)), nnx.Parameter(np.ones(3))

        def forward(self, x):
            return self.a + self.b + x

    gradients = nnx.grad(lambda m: total(m(np.ones(3))))(Both())
    gradients["a"] *= 0.0
    assert gradients["b"].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "function", [lambda x: x, lambda x: +x, lambda x: x + 1.0, lambda x: nnx.namespace(x).reshape(x, (3, 1))]
)
def test_the_cotangent_of_the_caller_is_not_handed_back(function):
    (x,) = arrays((3,))
    output, pullback = nnx.vjp(function, x)
    cotangent = np.ones(output.shape)
    (found,) = pullback(cotangent)
    found += 1.0
    assert cotangent.tolist() == np.ones(output.shape).tolist()
    assert pullback(cotangent)[0].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "function",
    [
        lambda x: nnx.namespace(x).exp(x),
        lambda x: nnx.namespace(x).reshape(nnx.namespace(x).tanh(x), (3, 1)),  # a view of what is kept
        lambda x: nnx.functional.softmax(x * x),
        lambda x: {"y": nnx.functional.sigmoid(x), "x": x * x},
        lambda x: nnx.namespace(x).reshape(x, (3, 1)),
    ],
)
def test_the_output_may_be_written_before_the_pullback_is_called(xp, function):
    x = xp.asarray([1.0, 2.0, 3.0])
    cotangent = nnx.tree.tree_map(lambda y: y * 0.0 + 3.0, function(x))
    (expected,) = nnx.vjp(function, x)[1](cotangent)
    output, pullback = nnx.vjp(function, x)
    auxiliary, again, aux = nnx.vjp(lambda x: (nnx.namespace(x).exp(x), function(x)), x, has_aux=True)
    for y in nnx.tree.tree_leaves((output, auxiliary, aux)):
        y *= 0.0
    assert_close(pullback(cotangent)[0], expected)
    assert_close(again(x)[0], x * nnx.namespace(x).exp(x))
    assert xp.to_numpy(x).tolist() == [1.0, 2.0, 3.0]


def test_an_output_that_nobody_keeps_is_not_copied():
    made = []  # the id alone: to hold the array would be to keep it

    def function(x):
        y = 2.0 * x + 1.0
        made.append(id(y.value))
        return y

    output, _ = nnx.vjp(function, np.ones(3))
    assert [id(output)] == made


def test_an_argument_that_is_returned_is_the_argument():
    x = np.ones(3)
    assert nnx.vjp(lambda x: x, x)[0] is x


def test_the_output_of_a_model_may_become_the_gradient():
    model = nnx.Model([nnx.Linear(2, 3, rng=0), nnx.Softmax()])
    x, target = np.ones((4, 2), np.float32), np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    model.backward(model(x) - target)
    expected = model.gradients()
    output = model(x)
    output -= target
    model.backward(output)
    assert_close(model.gradients(), expected)


def test_an_output_of_a_nested_transform_may_be_written():
    def outer(x):
        y, pullback = nnx.vjp(lambda x: nnx.namespace(x).exp(x), x)
        y *= 0.0
        return total(pullback(x)[0])

    x = np.asarray([1.0, 2.0])
    assert_close(nnx.grad(outer)(x), np.exp(x) * (1.0 + x))


@pytest.mark.parametrize("function", [lambda x: (x + 1.0, x + 2.0), lambda x: (x, x), lambda x: (x[:2], x)])
def test_tangents_share_no_memory(function):
    (x,) = arrays((3,))
    tangent = np.ones(3)
    _, (first, second) = nnx.jvp(function, (x,), (tangent,))
    first += 5.0
    assert second.tolist() == [1.0, 1.0, 1.0]
    assert tangent.tolist() == [1.0, 1.0, 1.0]


def test_gradients_of_a_nested_transform_are_arrays_of_their_own():
    def outer(x):
        gx, gy = nnx.grad(lambda a, b: total(a + b), (0, 1))(x, x)
        gx *= 3.0
        return total(gy * x)

    assert nnx.grad(outer)(np.ones(2)).tolist() == [1.0, 1.0]


def test_on_each_library(xp):
    x, y = xp.asarray([1.0, 2.0]), xp.asarray([3.0, 4.0])
    gx, gy = nnx.grad(lambda x, y: total(x + y), (0, 1))(x, y)
    gx *= 10.0
    assert xp.to_numpy(gx).tolist() == [10.0, 10.0]
    assert xp.to_numpy(gy).tolist() == [1.0, 1.0]


class TestOnLeaf:
    def test_each_leaf_is_told_once_when_it_is_final(self):
        rng = nnx.generator(0)
        model = nnx.Model([nnx.Linear(3, 4, rng=rng), nnx.ReLU(), nnx.Linear(4, 2, rng=rng)])
        x = rng.normal(size=(5, 3)).astype(np.float32)
        told = []
        function = nnx.value_and_grad(
            lambda m: total(m(x) ** 2), on_leaf=lambda path, gradient: told.append((path, np.array(gradient)))
        )
        _, gradients = function(model)
        assert [path for path, _ in told] == ["2.bias", "2.weight", "0.bias", "0.weight"]  # the last layer first
        for path, gradient in told:
            np.testing.assert_array_equal(gradient, gradients[path])

    def test_a_leaf_that_is_used_twice_is_final_after_its_first_use(self):
        told = []
        function = nnx.grad(lambda x, y: total((x * y) * x + y), (0, 1))
        both = nnx.value_and_grad(
            lambda x, y: total((x * y) * x + y), (0, 1), on_leaf=lambda path, g: told.append((path, g.tolist()))
        )
        x, y = np.asarray([2.0]), np.asarray([3.0])
        both(x, y)
        assert sorted(told) == [("0", [12.0]), ("1", [5.0])]
        assert [g.tolist() for g in function(x, y)] == [[12.0], [5.0]]

    def test_a_leaf_without_a_gradient_is_told_too(self):
        told = {}
        nnx.value_and_grad(lambda x, y: total(x), (0, 1), on_leaf=told.__setitem__)(np.ones(1), np.ones(2))
        assert told["1"].tolist() == [0.0, 0.0]
        told = {}
        nnx.value_and_grad(lambda x: x, on_leaf=told.__setitem__)(np.asarray(2.0))
        assert told[""] == 1.0


class TestWanted:
    """What nobody wants is not computed."""

    def test_a_cotangent_that_is_not_wanted(self):
        rng = nnx.generator(0)
        x, w = rng.normal(size=(4, 3)), rng.normal(size=(3, 2))
        seen = []

        @nnx.primitive
        def watched(x):
            return x * 1.0

        @watched.with_pullback(fresh=True)
        def _(wanted, x):
            def pullback(g):
                seen.append(1)
                return (g * 1.0,)

            return watched.function(x), pullback

        _, pullback = nnx.vjp(lambda x, w: nnx.functional.linear(watched(x), w), x, w)
        to_x, to_w = pullback(np.ones((4, 2)), consume=True, wanted=(False, True))
        assert to_x is None
        assert seen == []
        np.testing.assert_allclose(to_w, x.T @ np.ones((4, 2)))

    def test_a_consumed_pullback_is_called_once(self):
        from nnx.errors import UsageError

        _, pullback = nnx.vjp(lambda x: x * 2.0, np.ones(2))
        pullback(np.ones(2), consume=True)
        with pytest.raises(UsageError, match="already freed what it needs; run the function again"):
            pullback(np.ones(2))

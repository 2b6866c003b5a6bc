"""The walk writes into memory that is its own: values that are used again and again still get the right derivative."""

import numpy as np
import pytest

import nnx
from nnx.testing import assert_close

UNARY = {
    "negative": lambda xp, x: -x,
    "positive": lambda xp, x: +x,
    "tanh": lambda xp, x: xp.tanh(x),
    "exp": lambda xp, x: xp.exp(-x * x),
    "plus a number": lambda xp, x: x + 1.0,
    "times a number": lambda xp, x: 0.5 * x,
    "square": lambda xp, x: x * x,
    "twice": lambda xp, x: x + x,
    "nothing": lambda xp, x: x - x + x,
    "reshape": lambda xp, x: xp.reshape(xp.reshape(x, (-1,)), x.shape),
    "flip": lambda xp, x: xp.flip(x),
    "centered": lambda xp, x: x - xp.mean(x, axis=-1, keepdims=True),
    "row": lambda xp, x: x[..., :1, :] + 0.0,
    "column": lambda xp, x: x[..., :, :1] * 1.0,
    "remat": lambda xp, x: nnx.remat(lambda x: x * xp.tanh(x))(x),
}
BINARY = {
    "add": lambda xp, x, y: x + y,
    "subtract": lambda xp, x, y: x - y,
    "multiply": lambda xp, x, y: x * y,
    "divide": lambda xp, x, y: x / (1.0 + y * y),
    "hypot": lambda xp, x, y: xp.hypot(x, y),
    "where": lambda xp, x, y: xp.where(nnx.stop_gradient(x) > 0.0, x, y),
    "stack": lambda xp, x, y: xp.sum(xp.stack(xp.broadcast_arrays(x, y)), axis=0),
}


def program(seed):
    """Return a function that uses its two arguments, and what it made of them, in an order drawn at random."""

    def run(x, y):
        xp = nnx.namespace(x, y)
        rng = np.random.default_rng(seed)
        pool = [x, y]
        for _ in range(12):
            if rng.random() < 0.5:
                made = UNARY[rng.choice(list(UNARY))](xp, pool[rng.integers(len(pool))])
            else:
                first, second = rng.integers(len(pool), size=2)
                made = BINARY[rng.choice(list(BINARY))](xp, pool[first], pool[second])
            pool.append(xp.tanh(made) if rng.random() < 0.3 else made)
        chosen = rng.permutation(len(pool))[:5]
        return tuple(pool[i] for i in chosen)

    return run


@pytest.mark.parametrize("seed", range(60))
def test_a_random_program(seed):
    rng = np.random.default_rng(seed)
    x, y, v, w = (rng.normal(size=(3, 4)) for _ in range(4))
    y = y[:1] if seed % 3 == 0 else y
    w = w[: y.shape[0]]
    run = program(seed)
    outputs, pullback = nnx.vjp(run, x, y)
    cotangents = tuple(rng.normal(size=output.shape) for output in outputs)
    found = pullback(cotangents)
    np.testing.assert_array_equal(found[0], pullback(cotangents)[0])
    _, moved = nnx.jvp(run, (x, y), (v, w))
    forward = sum(np.sum(a * b) for a, b in zip(moved, cotangents, strict=True))
    assert_close(np.sum(found[0] * v) + np.sum(found[1] * w), forward, rtol=1e-9)

    def contracted(x, y):
        xp = nnx.namespace(x, y)
        return sum(xp.sum(a * b) for a, b in zip(run(x, y), cotangents, strict=True))

    value, gradients = nnx.value_and_grad(contracted, argnums=(0, 1))(x, y)
    assert_close(value, np.asarray(sum(np.sum(a * b) for a, b in zip(outputs, cotangents, strict=True))), rtol=1e-9)
    for gradient, expected in zip(gradients, found, strict=True):
        assert_close(gradient, expected, rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_random_program_on_each_library(xp, seed):
    rng = np.random.default_rng(seed)
    x, y = (rng.normal(size=(3, 4)) for _ in range(2))
    outputs, pullback = nnx.vjp(program(seed), x, y)
    cotangents = tuple(rng.normal(size=output.shape) for output in outputs)
    _, again = nnx.vjp(program(seed), xp.asarray(x, "float64"), xp.asarray(y, "float64"))
    found = again(tuple(xp.asarray(c, "float64") for c in cotangents))
    for part, expected in zip(found, pullback(cotangents), strict=True):
        np.testing.assert_allclose(xp.to_numpy(part), expected, rtol=1e-9, atol=1e-12)


LINEAR = ("negative", "positive", "plus a number", "times a number", "twice", "nothing", "reshape", "row", "centered")


def product_program(seed):
    """Return a function that multiplies, and is linear in the products: then the cotangents of them are plain."""

    def run(x, y):
        xp = nnx.namespace(x, y)
        rng = np.random.default_rng(seed)
        total = 0.0
        for _ in range(3):
            made = x * y if rng.random() < 0.7 else x / y
            for _ in range(rng.integers(3)):
                made = UNARY[rng.choice(LINEAR)](xp, made)
            total = total + made
        return xp.sum(total)

    return run


@pytest.mark.parametrize("seed", range(40))
def test_a_derivative_of_a_derivative(seed):
    rng = np.random.default_rng(seed)
    x, y, v = (rng.uniform(0.5, 2.0, size=(3, 4)) for _ in range(3))
    run = product_program(seed)

    def slopes(y):
        by_x, by_y = nnx.grad(run, argnums=(0, 1))(x, y)
        return nnx.namespace(by_x, by_y).sum(by_x * by_x + by_y)

    by_reverse = np.sum(nnx.grad(slopes)(y) * v)
    _, by_forward = nnx.jvp(slopes, (y,), (v,))
    assert_close(by_reverse, by_forward, rtol=1e-9)
    h = 1e-5
    assert_close(by_reverse, (slopes(y + h * v) - slopes(y - h * v)) / (2 * h), rtol=1e-6)


def test_a_cotangent_that_an_outer_transform_has_kept_is_not_written_into():
    a, b = np.asarray([3.0, 5.0]), np.asarray([7.0, 11.0])

    def outer(b):
        by_a, _ = nnx.grad(lambda a, b: nnx.namespace(a, b).sum(-(a * b)), argnums=(0, 1))(a, b)
        return nnx.namespace(by_a).sum(by_a)

    assert nnx.grad(outer)(b).tolist() == [-1.0, -1.0]


def test_a_cotangent_that_is_handed_on_twice_is_not_written_into():
    x, y = np.asarray([1.0, 2.0]), np.asarray([3.0, 4.0])

    def both(x, y):
        total = x + y  # one cotangent for both
        return nnx.namespace(x).sum((total * 1.0 + x * 3.0) * x + y * total)

    by_x, by_y = nnx.grad(both, argnums=(0, 1))(x, y)
    assert by_x.tolist() == (8.0 * x + 2.0 * y).tolist()
    assert by_y.tolist() == (2.0 * x + 2.0 * y).tolist()


def test_a_cotangent_of_the_caller_is_not_written_into():
    x, cotangent = np.asarray([1.0, 2.0]), np.asarray([1.0, 1.0])
    _, pullback = nnx.vjp(lambda x: (x + 1.0) * 2.0 - 3.0, x)
    found = pullback(cotangent)[0]
    found += 1.0
    assert cotangent.tolist() == [1.0, 1.0]
    assert nnx.vjp(lambda x: +(x + 1.0), x)[1](cotangent)[0].tolist() == [1.0, 1.0]

import gc
import weakref

import numpy as np
import pytest

import nnx
from nnx.errors import TraceError
from nnx.testing import assert_close


def test_a_hundred_thousand_operations():
    # The walk is a loop: depth costs no recursion.
    def f(x):
        for _ in range(100_000):
            x = x + 1.0
        return x

    assert_close(nnx.grad(f)(np.asarray(1.0)), np.asarray(1.0))


class Watched:
    """Arrays made by a primitive, and how many of them are alive."""

    def __init__(self):
        self.alive = []
        self.seen = []

        @nnx.primitive
        def keep(x):
            return x * 2.0

        @keep.with_pullback
        def _(wanted, x):
            held = np.array(x)
            self.alive.append(weakref.ref(held))

            def pullback(cotangent):
                self.seen.append(sum(ref() is not None for ref in self.alive))
                return (2.0 * cotangent + 0.0 * held,)

            return keep(x), pullback

        self.function = keep


def chain(function, n):
    def f(x):
        for _ in range(n):
            x = function(x)
        return x

    return f


def test_grad_frees_what_the_walk_has_passed():
    watched = Watched()
    nnx.grad(chain(watched.function, 5))(np.asarray(1.0))
    assert watched.seen == [5, 4, 3, 2, 1]
    gc.collect()
    assert not any(ref() is not None for ref in watched.alive)


def test_vjp_keeps_it_until_the_pullback_goes():
    watched = Watched()
    _, pullback = nnx.vjp(chain(watched.function, 3), np.asarray(1.0))
    pullback(np.asarray(1.0))
    assert watched.seen == [3, 3, 3]
    del pullback
    gc.collect()
    assert not any(ref() is not None for ref in watched.alive)


def test_branches_that_do_not_reach_the_output_are_not_walked():
    watched = Watched()
    nnx.grad(lambda x: (watched.function(x), x * 3.0)[1])(np.asarray(1.0))
    assert watched.seen == []


def test_only_what_is_wanted_is_asked_for():
    asked = []

    @nnx.primitive
    def product(x, y):
        return x * y

    @product.with_pullback
    def _(wanted, x, y):
        asked.append([bool(w) for w in wanted])
        return product(x, y), lambda g: (g * y if wanted[0] else None, g * x if wanted[1] else None)

    two = np.asarray(2.0)
    nnx.grad(lambda x: product(x, two))(two)
    nnx.grad(lambda x: product(two, x))(two)
    nnx.grad(product, argnums=(0, 1))(two, two)
    assert asked == [[True, False], [False, True], [True, True]]


def test_a_function_of_several_outputs():
    @nnx.primitive
    def both(x):
        return x * 2.0, x * 3.0

    @both.with_pullback
    def _(wanted, x):
        def pullback(cotangents):
            a, b = cotangents
            return (sum(c * k for c, k in ((a, 2.0), (b, 3.0)) if c is not None),)

        return both(x), pullback

    one = np.asarray(1.0)
    assert_close(nnx.grad(lambda x: both(x)[0] * both(x)[1])(one), np.asarray(12.0))
    assert_close(nnx.grad(lambda x: both(x)[1])(one), np.asarray(3.0))


def test_too_few_cotangents():
    @nnx.primitive
    def product(x, y):
        return x * y

    product.with_pullback(lambda wanted, x, y: (x * y, lambda g: (g * y,)))
    with pytest.raises(TraceError, match="expected a pullback that returns 2 cotangents, one per argument, got 1"):
        nnx.grad(product)(np.asarray(1.0), np.asarray(2.0))

"""Arithmetic into memory of one's own: the same numbers everywhere, written in place where that is safe."""

import operator

import numpy as np
import pytest

import nnx
from nnx.backend import add_into, divide_into, multiply_into
from nnx.testing import assert_close

BOTH = [(add_into, operator.add), (multiply_into, operator.mul), (divide_into, operator.truediv)]
each = pytest.mark.parametrize(("into", "plain"), BOTH, ids=lambda f: f.__name__)
WRITES = {"numpy": True, "array-api-strict": True, "cupy": True, "torch": False, "jax": False}


def numbers(xp, shape, dtype="float64"):
    return xp.asarray(np.arange(1.0, 1.0 + np.prod(shape)).reshape(shape), dtype) + 0.0  # writable everywhere


@each
def test_the_same_numbers(xp, into, plain):
    own, other = numbers(xp, (2, 3)), numbers(xp, (2, 3))
    expected = plain(own, other)
    found = into(own, other)
    assert_close(found, expected)
    assert (found is own) == WRITES[xp.name.removesuffix("-readonly")]


@each
@pytest.mark.parametrize("shape", [(3,), (1, 3), (2, 1), (1, 1), ()])
def test_what_is_broadcast_to_it(xp, into, plain, shape):
    own, other = numbers(xp, (2, 3)), numbers(xp, shape)
    expected = plain(own, other)
    assert_close(into(own, other), expected)


@each
@pytest.mark.parametrize("shape", [(4, 2, 3), (2, 3)])
def test_what_it_would_be_broadcast_to(xp, into, plain, shape):
    own, other = numbers(xp, (1, 3)), numbers(xp, shape)
    kept = own + 0.0
    assert_close(into(own, other), plain(kept, other))
    assert_close(own, kept)


@each
def test_a_wider_dtype_is_not_cut(into, plain):
    own, other = np.ones(2, np.float32), np.full(2, 1e-12)
    assert into(own, other).dtype == np.float64
    assert own.tolist() == [1.0, 1.0]


@each
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64"])
def test_a_number(xp, into, plain, dtype):
    if dtype not in {str(name) for name in xp.namespace.__array_namespace_info__().dtypes()}:
        pytest.skip(f"{xp.name} has no {dtype}")
    own = numbers(xp, (2, 3), dtype)
    expected = plain(own, 2.5)
    assert_close(into(own, 2.5), expected)


@each
def test_a_number_and_integers(into, plain):
    own = np.asarray([1, 2])
    assert into(own, 2.5).tolist() == plain(np.asarray([1, 2]), 2.5).tolist()
    assert own.tolist() == [1, 2]


@each
def test_a_traced_array(into, plain):
    own = np.ones(2)
    assert nnx.grad(lambda x: nnx.namespace(x).sum(into(own, x)))(np.full(2, 2.0)).shape == (2,)
    assert own.tolist() == [1.0, 1.0]

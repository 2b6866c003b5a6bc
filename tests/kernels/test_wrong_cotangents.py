"""A pullback of a user may return a cotangent of another shape: a loop must not read what lies behind it."""

import importlib.util

import numpy as np
import pytest

import nnx
from nnx import functional as F

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="Numba is not installed")
X = np.random.default_rng(0).normal(size=(2, 3, 6, 8))
WEIGHT = np.ones((4, 3, 3, 3))
STATE, ROWS = np.ones((2, 5)), np.ones((60, 50))


def lstm(part):
    args = np.ones((2, 4, 3)), np.ones((3, 20)), np.ones((5, 20)), np.ones(20), None
    return lambda h: F.lstm(*args, h, STATE)[part]


CALLS = {
    **{f.function.__name__: (f, ROWS) for f in (F.relu, F.gelu, F.sigmoid, F.silu, F.mish, F.leaky_relu)},
    **{f.function.__name__: (f, ROWS) for f in (F.softmax, F.layer_norm, F.rms_norm)},
    "small relu": (F.relu, STATE),
    "max_pool": (lambda x: F.max_pool(x, kernel_size=2), X),
    "convolution": (lambda x: F.convolution(x, WEIGHT), X),
    "weight of a convolution": (lambda w: F.convolution(X, w), WEIGHT),
    "transposed_convolution": (lambda x: F.transposed_convolution(x, WEIGHT[:3]), X),
    "batch_norm_training": (lambda x: F.batch_norm_training(x)[0], X),
    "hidden state": (lstm(1), STATE),
    "cell state": (lstm(2), STATE),
}


def misled(y, to_y):
    """Return the sum of an array, whose pullback gives the cotangent ``to_y`` instead of the right one."""

    @nnx.primitive
    def total(y):
        return nnx.namespace(y).sum(y)

    @total.with_pullback(fresh=True)
    def _(wanted, y):
        return y.sum(), lambda g: (np.array(to_y),)

    return total(y)


@pytest.mark.parametrize("name", CALLS)
def test_it_raises(name):
    function, x = CALLS[name]
    y = function(x)
    part = y[:1] if len(y) > 1 else y[..., :1]
    with pytest.raises((ValueError, nnx.errors.ShapeError)):
        nnx.grad(lambda x: misled(function(x), part))(x)


@pytest.mark.parametrize("tier", ["compiled", "native"])
def test_that_of_a_linear_map_with_fewer_columns(tier):
    x, weight = np.ones((6, 3)), np.ones((3, 4))
    with nnx.use_kernels(tier), pytest.raises(nnx.errors.TraceError, match=r"expected shape \(4,\), got \(2,\)"):
        nnx.grad(lambda bias: misled(F.linear(x, weight, bias), x[:, :2]))(np.ones(4))

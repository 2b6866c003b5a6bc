"""NumPy's elementwise kernels work block by block; the battery has small arrays only."""

import importlib.util
from functools import partial

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.testing import assert_close

KERNELS = [
    F.leaky_relu,
    F.hardswish,
    F.gelu,
    F.sigmoid,
    F.tanh,
    F.log_sigmoid,
    F.softplus,
    F.silu,
    F.mish,
    F.elu,
    F.selu,
    F.celu,
]
OPTIONS = [
    (F.leaky_relu, {"slope": 0.3}),
    (F.hardtanh, {"low": -0.5}),
    (F.hardtanh, {}),
    (F.relu6, {}),
    (F.gelu, {"approximate": "tanh"}),
    (F.softplus, {"beta": 2.0}),
    (F.elu, {"alpha": -0.5}),
    (F.celu, {"alpha": 0.5}),
]
CASES = [*((f, {}) for f in KERNELS), *OPTIONS]
HAS_NUMBA = importlib.util.find_spec("numba") is not None
COMPILED = {F.leaky_relu, F.gelu, F.sigmoid, F.silu, F.mish} if HAS_NUMBA else set()
each = pytest.mark.parametrize(("function", "options"), CASES, ids=str)


def value_and_gradient(function, options, x, g):
    value, pullback = nnx.vjp(partial(function, **options), x)
    return value, pullback(g)[0]


@each
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["rows", "transposed", "strided"])
@pytest.mark.parametrize("tier", ["native", "compiled"])
def test_kernels_give_what_the_portable_body_gives(function, options, dtype, layout, tier):
    x, g = 3.0 * np.random.default_rng(0).standard_normal((2, 300, 150)).astype(dtype)
    if layout == "transposed":
        x, g = x.T, g.T
    elif layout == "strided":
        x, g = x[::2, ::-1], g[::2, 1::3].repeat(3, 1)
    with nnx.use_kernels(tier):
        has_loop = tier == "compiled" and function in COMPILED and layout == "rows"
        choice = nnx.kernels.explain(function, x, **options)
        assert choice.chosen == ("numpy, compiled" if has_loop else "numpy, native")
        found = value_and_gradient(function, options, x, g)
    with nnx.use_kernels("portable"):
        expected = value_and_gradient(function, options, x, g)
    rtol = {"float32": 2e-6, "float64": 1e-14}[dtype]
    assert_close(found, expected, rtol=rtol, atol=rtol)


@each
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0)])
def test_shapes_without_much_in_them(function, options, shape):
    x, g = np.full(shape, -0.5), np.full(shape, 2.0)
    with nnx.use_kernels("portable"):
        expected = value_and_gradient(function, options, x, g)
    found = value_and_gradient(function, options, x, g)
    assert_close(found, expected, rtol=1e-14)
    assert type(found[0]) is np.ndarray


@pytest.mark.parametrize("function", KERNELS)
def test_other_dtypes_are_declined(function):
    for dtype in ("float16", ">f4", ">f8"):
        x = np.ones(2, dtype)
        if dtype == "float16":
            declined = nnx.kernels.explain(function, x).declined
            assert declined["numpy, native"] == "x is not an array of float32 or float64"
        else:
            with pytest.raises(nnx.errors.DTypeError, match="byte order of this machine"):
                function(x)


def test_options_that_are_wrong_are_left_to_the_portable_body():
    with pytest.raises(nnx.errors.ArgumentError, match="expected beta > 0"):
        F.softplus(np.ones(2), beta=-1.0)

"""NumPy's dropout masks by bits; the battery has small arrays in one layout only."""

from functools import partial

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.testing import assert_close


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("axes", [None, (0, 1), (0,)])
@pytest.mark.parametrize("layout", ["rows", "transposed", "strided", "empty"])
def test_kernel_gives_what_the_portable_body_gives(dtype, axes, layout):
    x, g = np.random.default_rng(0).standard_normal((2, 6, 5, 40)).astype(dtype)
    views = {"transposed": lambda x: x.T, "strided": lambda x: x[::2, :, ::-3], "empty": lambda x: x[:0]}
    x, g = (views.get(layout, lambda x: x)(array) for array in (x, g))
    before = x.copy()
    drop = partial(F.dropout, probability=0.4, seed=3, axes=axes)
    assert nnx.kernels.explain(F.dropout, x, probability=0.4, seed=3, axes=axes).chosen == "numpy, native"
    y, pullback = nnx.vjp(drop, x)
    with nnx.use_kernels("portable"):
        expected, portable = nnx.vjp(drop, x)
    assert_close((y, pullback(g)), (expected, portable(g)), rtol=0.0, atol=0.0)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("value", [np.inf, np.nan])
def test_what_is_dropped_is_zero_whatever_it_was(value):
    x = np.full(64, value, np.float32)
    y, pullback = nnx.vjp(partial(F.dropout, probability=0.5, seed=3), x)
    keep = nnx.backend.keep_mask((64,), 0.5, like=x, seed=3, stream="dropout", step=0)
    for result in (y, pullback(x)[0]):
        np.testing.assert_array_equal(result, np.where(keep, x, 0.0))


def test_second_derivatives_and_the_reason_for_the_portable_body():
    def cubed(x):
        y = F.dropout(x, probability=0.5, seed=3)
        return nnx.namespace(y).sum(y * y * y)

    x = np.arange(1.0, 9.0)
    second = nnx.grad(lambda x: nnx.namespace(x).sum(nnx.grad(cubed)(x)))(x)
    keep = nnx.backend.keep_mask((8,), 0.5, like=x, seed=3, stream="dropout", step=0)
    np.testing.assert_allclose(second, np.where(keep, 6.0 * 8.0 * x, 0.0))
    choice = nnx.kernels.explain(F.dropout, x, probability=0.0, seed=3)
    assert choice.declined == {"numpy, native": "nothing is dropped"}

"""Batch normalization as loops: channel by channel, with sums side by side."""

import importlib.util

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.testing import assert_close

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="Numba is not installed")


def results(tier, argnums, arrays, layout):
    """Return the normalized input, the statistics, and cotangents of some arguments."""
    with nnx.use_kernels(tier):
        held = F.batch_norm_training(*arrays)
        chosen = nnx.kernels.explain(F.batch_norm_training, *arrays).chosen

        def normalized(*some):
            full = list(arrays)
            for place, array in zip(argnums, some, strict=True):
                full[place] = array
            return F.batch_norm_training(*full)[0]

        y, pullback = nnx.vjp(normalized, *(arrays[place] for place in argnums))
        g = layout(np.random.default_rng(1).normal(size=y.shape).astype(y.dtype))
        return chosen, (held, y, pullback(g))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 4, 6, 7), (2, 3, 200), (5, 2, 4, 4, 4), (2, 1, 64)])
@pytest.mark.parametrize("given", ["both", "neither", "weight"])
@pytest.mark.parametrize("layout", [np.asarray, lambda g: np.asarray(g, order="F")], ids=["rows", "columns"])
def test_it_is_what_the_portable_body_gives(dtype, shape, given, layout):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=shape) * 3 + 20).astype(dtype)
    weight, bias = rng.normal(size=(2, shape[1])).astype(dtype)
    arrays = {"both": (x, weight, bias), "neither": (x,), "weight": (x, weight)}[given]
    rtol = 1e-10 if dtype == "float64" else 2e-4
    for argnums in {tuple(range(len(arrays))), (0,), (len(arrays) - 1,)}:
        chosen, found = results("compiled", argnums, arrays, layout)
        assert chosen == "numpy, compiled"
        _, expected = results("portable", argnums, arrays, layout)
        assert_close(found, expected, rtol=rtol, atol=rtol)


def test_a_channel_with_nan_or_infinity_spoils_no_other():
    x = np.random.default_rng(0).normal(size=(2, 3, 64))
    x[0, 1, 5], x[1, 2, 63] = np.nan, np.inf
    for tier in ("compiled", "portable"):
        with nnx.use_kernels(tier), np.errstate(invalid="ignore"):
            y, *statistics = F.batch_norm_training(x)
            assert np.isfinite(y[:, 0]).all()
            assert not np.isfinite(y[:, 1:]).any()
            assert np.isfinite([part[0] for part in statistics]).all()


def test_short_rows_and_others_are_left_to_numpy():
    x = np.ones((2, 3, 4, 4))
    assert "fewer than 32" in nnx.kernels.explain(F.batch_norm_training, x).declined["numpy, compiled"]
    assert "contiguous" in nnx.kernels.explain(F.batch_norm_training, x.T).declined["numpy, compiled"]

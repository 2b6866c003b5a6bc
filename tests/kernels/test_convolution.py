"""The kernel for NumPy, whose blocks are too large for the arrays of other tests to need more than one."""

import importlib.util
import math

import numpy as np
import pytest
from fitting import convolutions
from hypothesis import given, settings
from hypothesis import strategies as st

import nnx
from nnx import functional as F
from nnx.functional.spatial import windows
from nnx.kernels.numpy import columns
from nnx.testing import assert_close

TIERS = ["native"]
if importlib.util.find_spec("numba") is not None:
    TIERS.append("compiled")


@pytest.mark.parametrize("tier", TIERS)
@settings(max_examples=40, deadline=None)
@given(convolutions(), st.sampled_from([1, 40, 300]), st.booleans())
def test_in_many_blocks(tier, case, elements, transposed):
    rng = np.random.default_rng(0)
    shape = (2 * max(case.x[0], 1), *case.x[1:])  # an empty batch is left to the portable body
    if transposed:
        shape = (shape[0], case.weight[0], *windows(shape[2:], case.weight[2:], case.stride, case.padding).output)
    function = F.transposed_convolution if transposed else F.convolution
    args = [rng.normal(size=shape), rng.normal(size=case.weight)]
    try:
        with nnx.use_kernels("portable"):
            expected, pullback = nnx.vjp(lambda *args: function(*args, **case.options), *args)
    except nnx.errors.ShapeError:  # nothing left without output padding
        return
    g = rng.normal(size=expected.shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "_ELEMENTS", elements)
        if tier == "compiled":
            patch.setattr("nnx.kernels.numba.convolutions._ELEMENTS", elements)
        with nnx.use_kernels(tier):
            choice = nnx.kernels.explain(function, *args, **case.options)
            has_loop = tier == "compiled" and len(shape) < 5 and math.prod(case.weight[2:]) > 1
            assert choice.chosen == ("numpy, compiled" if has_loop else "numpy, native")
            found, native = nnx.vjp(lambda *args: function(*args, **case.options), *args)
        assert_close((found, native(g)), (expected, pullback(g)), rtol=1e-10, atol=1e-12)


def test_blocks_cover_everything_once():
    for batch, elements in ((5, 10), (5, 10**9), (1, 1), (7, 300)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(columns, "_ELEMENTS", elements)
            counts = np.zeros((batch, 6), int)
            for examples, chunks in columns.blocks(windows((6, 4), 3, padding=1), 2, batch):
                for chunk in chunks:
                    counts[examples, chunk] += 1
        assert (counts == 1).all()


@pytest.mark.skipif(TIERS == ["native"], reason="Numba is not installed")
def test_when_loops_fill_the_columns():
    x, weight = np.ones((2, 3, 5, 4)), np.ones((4, 3, 3, 3))
    sequence = x[..., 0].copy(), weight[..., 0]
    explain = nnx.kernels.explain
    assert explain(F.convolution, x, weight).chosen == "numpy, compiled"
    assert explain(F.convolution, *sequence).chosen == "numpy, compiled"
    assert explain(F.transposed_convolution, x, weight[:3]).chosen == "numpy, compiled"
    many = np.ones((2000, 3, 3, 3))  # more channels than windows
    for args in ((x.swapaxes(2, 3), weight), (x, many), (x, weight[..., :1, :1]), (x[..., None], weight[..., None])):
        assert explain(F.convolution, *args).chosen == "numpy, native"


def test_what_it_leaves_to_the_portable_body():
    x, weight = np.ones((1, 1, 4), np.float16), np.ones((1, 1, 2), np.float16)
    for function in (F.convolution, F.transposed_convolution):
        choice = nnx.kernels.explain(function, x, weight)
        assert choice.chosen == "portable"
        assert "of at least 32 bits" in choice.declined["numpy, native"]

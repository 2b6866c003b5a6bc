"""The kernel for NumPy, whose blocks are too large for the arrays of other tests to need more than one."""

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


@settings(max_examples=40, deadline=None)
@given(convolutions(), st.sampled_from([1, 40, 300]), st.booleans())
def test_in_many_blocks(case, elements, transposed):
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
        assert nnx.kernels.explain(function, *args, **case.options).chosen == "numpy, native"
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


def test_what_it_leaves_to_the_portable_body():
    x, weight = np.ones((1, 1, 4), np.float16), np.ones((1, 1, 2), np.float16)
    for function in (F.convolution, F.transposed_convolution):
        choice = nnx.kernels.explain(function, x, weight)
        assert choice.chosen == "portable"
        assert "of at least 32 bits" in choice.declined["numpy, native"]

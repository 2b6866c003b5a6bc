"""Which body pooling takes on each library, and what the kernels leave to the portable body."""

import importlib.util
import re

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.autodiff.primitives import as_wanted
from nnx.testing import assert_close

X = np.random.default_rng(0).normal(size=(2, 3, 6, 9))


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
@pytest.mark.parametrize(
    ("function", "options"),
    [(F.max_pool, {"kernel_size": 3, "stride": 2, "padding": 1}), (F.adaptive_max_pool, {"output_size": 3})],
)
def test_the_maximum_has_a_kernel(library, function, options):
    pytest.importorskip(library, reason=f"{library} is not installed")
    with nnx.use_backend(library):
        x = nnx.backend.asarray(X, dtype="float32")
    with nnx.use_kernels("native"):
        assert nnx.kernels.explain(function, x, **options).chosen == f"{library}, native"


@pytest.mark.parametrize(
    ("x", "options", "reason"),
    [
        (X, {"kernel_size": (6, 50), "padding": ((0, 0), (20, 21))}, "more than 256 elements"),
        (np.where(X > 0, np.nan, X), {"kernel_size": 2}, "a maximum is NaN"),
        (np.where(X > -9, -np.inf, X), {"kernel_size": 2}, "a maximum is .* the largest of infinities"),
    ],
)
def test_what_numpy_leaves_to_the_portable_body(x, options, reason):
    kernel = F.max_pool.kernels_for(x)[-1]
    assert re.search(reason, kernel[-1].rule(as_wanted((1,)), x, **options).reason)
    with nnx.use_kernels("native"):
        found = nnx.vjp(lambda x: F.max_pool(x, **options), x)
    with nnx.use_kernels("portable"):
        expected = nnx.vjp(lambda x: F.max_pool(x, **options), x)
    assert_close(found[0], expected[0], equal_nan=True)
    g = np.ones(expected[0].shape)
    assert_close(found[1](g), expected[1](g))


def test_adaptive_windows_of_several_sizes_are_left_to_the_portable_body():
    choice = nnx.kernels.explain(F.adaptive_max_pool, X, output_size=4)
    assert choice.declined["numpy, native"] == "the windows are not of one size"


TRAPS = (-np.inf, np.inf, np.nan, -0.0, 0.0, 1.0)
WINDOWS = [
    *((F.max_pool, options) for options in ({"kernel_size": 2}, {"kernel_size": 2, "stride": 1, "padding": 1})),
    (F.max_pool, {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}),
    (F.max_pool, {"kernel_size": 2, "dilation": 2, "stride": 3, "padding": 1}),
    (F.max_pool, {"kernel_size": 2, "ceil_mode": True}),  # over the edge of odd sizes
    (F.max_pool, {"kernel_size": 2, "dilation": 2}),
    (F.max_pool, {"kernel_size": 4, "stride": 1}),
    (F.adaptive_max_pool, {"output_size": 2}),
    (F.adaptive_max_pool, {"output_size": 3}),
    (F.adaptive_max_pool, {"output_size": 1}),
]


@pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="Numba is not installed")
@pytest.mark.parametrize("sizes", [(7,), (6, 5), (4, 4), (4, 5, 6)])
@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(("function", "options"), WINDOWS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loop_gives_what_the_portable_body_gives(sizes, layout, function, options, dtype):
    """Ties, NaN, infinities and zeros of both signs are frequent here; sums of cotangents are exact."""
    rng = np.random.default_rng(len(sizes))
    shape = (3, 9, *sizes) if layout == "NCHW" else (3, *sizes, 9)
    x = np.where(rng.random(shape) < 0.5, rng.choice(TRAPS, shape), rng.integers(0, 3, shape)).astype(dtype)
    results = []
    for tier in ("compiled", "portable"):
        with nnx.use_kernels(tier):
            y, pullback = nnx.vjp(lambda x: function(x, **options, layout=layout), x)
            g = np.arange(y.size, dtype=dtype).reshape(y.shape)
            results.append(
                (y, *pullback(g), *pullback(np.asarray(g, order="F")), function(x, **options, layout=layout))
            )
    for found, expected in zip(*results, strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="Numba is not installed")
def test_when_there_is_a_loop():
    last = np.ascontiguousarray(X.transpose(0, 2, 3, 1).repeat(3, -1))
    explain = nnx.kernels.explain
    assert explain(F.max_pool, X, kernel_size=2).chosen == "numpy, compiled"
    assert explain(F.max_pool, last, kernel_size=3, stride=2, padding=1, layout="NHWC").chosen == "numpy, compiled"
    assert explain(F.adaptive_max_pool, last, output_size=4, layout="NHWC").chosen == "numpy, compiled"
    assert "contiguous" in explain(F.max_pool, X.transpose(0, 1, 3, 2), kernel_size=2).declined["numpy, compiled"]
    many = np.zeros((1, 1, 2**17 + 1))
    assert "more than 65,536 windows" in explain(F.max_pool, many, kernel_size=2, stride=1).declined["numpy, compiled"]


def test_torch_pads_both_sides_by_half_a_window_at_most():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = torch.asarray(X)
    for padding in (((0, 1), (0, 0)), 2):
        choice = nnx.kernels.explain(F.max_pool, x, kernel_size=3, padding=padding)
        assert choice.declined == {
            "torch, native": "torch pads by the same on both sides, and by half a window at most"
        }
    choice = nnx.kernels.explain(F.average_pool, x, kernel_size=(8, 2), padding=(4, 0))
    assert "a window that is larger than the input" in choice.declined["torch, native"]
    choice = nnx.kernels.explain(F.adaptive_max_pool, x[:, :0], output_size=2)
    assert choice.declined == {"torch, native": "torch takes no input without channels"}

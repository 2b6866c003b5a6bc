"""Which body pooling takes on each library, and what the kernels leave to the portable body."""

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
    (kernel,) = F.max_pool.kernels_for(x)
    assert re.search(reason, kernel[-1].rule(as_wanted((1,)), x, **options).reason)
    found = nnx.vjp(lambda x: F.max_pool(x, **options), x)
    with nnx.use_kernels("portable"):
        expected = nnx.vjp(lambda x: F.max_pool(x, **options), x)
    assert_close(found[0], expected[0], equal_nan=True)
    g = np.ones(expected[0].shape)
    assert_close(found[1](g), expected[1](g))


def test_adaptive_windows_of_several_sizes_are_left_to_the_portable_body():
    choice = nnx.kernels.explain(F.adaptive_max_pool, X, output_size=4)
    assert choice.declined == {"numpy, native": "the windows are not of one size"}


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

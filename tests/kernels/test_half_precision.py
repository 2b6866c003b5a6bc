"""Sums of 16-bit numbers, such as the gradients of what many examples share, are in float32 on every library."""

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.testing import assert_close

RNG = np.random.default_rng(0)


def positive(*shape):
    return RNG.uniform(0.5, 1.5, shape)


CASES = {
    "linear": (F.linear, positive(8192, 2), positive(2, 2), positive(2)),
    "convolution": (F.convolution, positive(512, 2, 16), positive(2, 2, 3), positive(2)),
    "transposed convolution": (F.transposed_convolution, positive(512, 2, 16), positive(2, 2, 3), positive(2)),
    "layer_norm": (F.layer_norm, RNG.normal(size=(8192, 4)), positive(4), positive(4)),
    "rms_norm": (F.rms_norm, positive(8192, 4), positive(4)),
    "group_norm": (lambda *args: F.group_norm(*args, groups=2), positive(512, 4, 16), positive(4), positive(4)),
    "logsumexp": (F.logsumexp, positive(8192)),
    "average_pool": (lambda x: F.average_pool(x, kernel_size=64), positive(1, 1, 64, 64)),
    "adaptive_average_pool": (lambda x: F.adaptive_average_pool(x, output_size=1), positive(1, 1, 64, 64)),
    "upsample": (lambda x: F.upsample(x, size=4096), positive(1, 1, 2)),  # in the pullback
    "lstm": (lambda *args: F.lstm(*args)[0], positive(2048, 2, 1), positive(1, 8), positive(2, 8), positive(8)),
}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_sums_are_in_float32(xp, name, dtype):
    if not hasattr(xp.namespace, dtype):
        pytest.skip(f"{xp.name} has no {dtype}")
    function, *arrays = CASES[name]
    narrow = [xp.asarray(x, dtype) for x in arrays]
    wide = [xp.namespace.astype(x, xp.namespace.float32) for x in narrow]
    y, pullback = nnx.vjp(function, *narrow)
    expected, of_wide = nnx.vjp(function, *wide)
    g = xp.asarray(np.random.default_rng(1).uniform(0.0, 1.0, tuple(y.shape)), dtype)
    found = (y, *pullback(g))
    for part, other in zip(found, (expected, *of_wide(xp.namespace.astype(g, wide[0].dtype))), strict=True):
        largest = float(np.abs(nnx.to_numpy(other)).max())
        rounded = 2.0**-11 if dtype == "float16" else 2.0**-8
        assert_close(xp.namespace.astype(part, wide[0].dtype), other, rtol=2 * rounded, atol=2 * rounded * largest)

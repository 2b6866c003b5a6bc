"""Arrays without elements: every kernel takes what the portable body takes, and returns what that returns."""

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.testing import assert_close

SPATIAL = [(0, 2, 3), (2, 2, 0), (2, 0, 3)]
CASES = [
    *((function, [shape]) for function in (F.softmax, F.log_softmax, F.layer_norm) for shape in ((0, 3), (2, 0))),
    *((lambda x: F.group_norm(x, groups=2), [shape]) for shape in SPATIAL),
    *((F.instance_norm, [shape]) for shape in SPATIAL),
    (F.batch_norm_training, [(2, 0, 3)]),
    *((lambda x: F.max_pool(x, kernel_size=3, padding=1), [shape]) for shape in ((0, 2, 3), (2, 0, 3))),
    *((lambda x: F.average_pool(x, kernel_size=3, padding=1), [shape]) for shape in ((0, 2, 3), (2, 0, 3))),
    *((lambda x, w: F.convolution(x, w, padding=1), [shape, (4, 2, 2)]) for shape in SPATIAL[:2]),
    *((lambda q, k, v: F.attention(q, k, v), [(1, 2, 3), (1, n, 3), (1, n, 2)]) for n in (0, 1)),
    (F.gru, [(0, 2, 3), (3, 6), (2, 6)]),
    (F.gru, [(2, 2, 3), (3, 0), (0, 0)]),
]


@pytest.mark.parametrize(("function", "shapes"), CASES)
def test_kernels_take_what_the_portable_body_takes(xp, function, shapes):
    rng = np.random.default_rng(0)
    arrays = [xp.asarray(rng.normal(size=shape), "float64") for shape in shapes]
    with nnx.use_kernels("portable"):
        expected, portable = nnx.vjp(function, *arrays)
    found, pullback = nnx.vjp(function, *arrays)
    assert_close((found, pullback(found)), (expected, portable(found)), rtol=1e-12)

"""Statistics of a batch by torch do not depend on what memory held before."""

import numpy as np
import pytest

import nnx
from nnx.testing import assert_close

torch = pytest.importorskip("torch", reason="torch is not installed")


def test_with_memory_full_of_nan():
    x = torch.asarray(np.random.default_rng(0).normal(size=(4, 3)))
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)  # which fills new memory with NaN
    try:
        found = nnx.functional.batch_norm_training(x)
    finally:
        torch.use_deterministic_algorithms(before)
    with nnx.use_kernels("portable"):
        assert_close(found, nnx.functional.batch_norm_training(x), rtol=1e-12, atol=1e-14)

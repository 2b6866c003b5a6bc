"""Convolution by 3 x 3 with fewer multiplications, in tiles."""

import importlib.util

import numpy as np
import pytest

import nnx
from nnx import functional as F

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="Numba is not installed")


def images(shape=(3, 33, 18, 20), out=34):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, dtype=np.float32)
    return x, rng.standard_normal((out, shape[1], 3, 3), dtype=np.float32), rng.standard_normal(out, dtype=np.float32)


def in_double(function, *arrays, **options):
    """Return what the portable body gives in float64, and its cotangents for a cotangent of ones and twos."""
    with nnx.use_kernels("portable"):
        y, pullback = nnx.vjp(lambda *arrays: function(*arrays, **options), *(a.astype(np.float64) for a in arrays))
        return (y, *pullback(cotangent(y)))


def cotangent(y):
    return np.random.default_rng(1).integers(1, 3, y.shape).astype(y.dtype)


@pytest.mark.parametrize("padding", [0, 1, 2, ((1, 0), (0, 3)), ((3, 4), (5, 0)), "same"])
@pytest.mark.parametrize("function", [F.convolution, F.transposed_convolution])
def test_it_is_as_exact_as_another_method(padding, function, monkeypatch):
    x, weight, bias = images()
    if function is F.transposed_convolution:
        weight = weight.swapaxes(0, 1)
    called = []
    module = pytest.importorskip("nnx.kernels.numba.convolutions")
    real = module.correlate_in_tiles
    monkeypatch.setattr(module, "correlate_in_tiles", lambda *args: called.append(1) or real(*args))
    y, pullback = nnx.vjp(lambda *arrays: function(*arrays, padding=padding), x, weight, bias)
    found = (y, *pullback(cotangent(y)))
    assert called or any(size % 2 for size in y.shape[2:])
    for one, other in zip(found, in_double(function, x, weight, bias, padding=padding), strict=True):
        assert one.dtype == np.float32
        assert np.abs(one - other).max() < 3e-6 * np.abs(other).max()


def test_a_number_that_is_not_finite_spoils_its_windows_alone():
    x, weight, _ = images()
    for value in (np.nan, np.inf):
        x[0, 3, 5, 5] = value
        with np.errstate(invalid="ignore"):
            y = F.convolution(x, weight, padding=1)
        spoiled = ~np.isfinite(y)
        assert spoiled[0, :, 4:7, 4:7].all()
        assert spoiled.sum() == 34 * 9


def test_whole_numbers_stay_exact():
    x, weight, _ = (np.rint(3 * part) for part in images())
    expected = in_double(F.convolution, x, weight, padding=1)[0]
    np.testing.assert_array_equal(F.convolution(x, weight, padding=1), expected)

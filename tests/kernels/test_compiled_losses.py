"""Cross-entropy as one loop, and the exponential function in loops."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

import nnx
from nnx import functional as F

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="Numba is not installed")


def exponentials(x):
    from nnx.kernels.numba.compiling import compiled
    from nnx.kernels.numba.exponential import exp

    def loop(x, out):
        for i in range(x.size):
            out[i] = exp(x[i])

    out = np.empty_like(x)
    compiled(loop)(x, out)
    return out


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exponentials_are_right_to_one_unit_in_the_last_place(dtype):
    info = np.finfo(dtype)
    low, high = np.log(float(info.smallest_normal)), np.log(float(info.max))
    x = np.random.default_rng(0).uniform(low, high, 20_000).astype(dtype)
    x = np.concatenate([x, x / 100, np.linspace(-1, 1, 999, dtype=dtype)])
    expected = np.exp(x.astype(np.longdouble))
    assert np.max(np.abs(exponentials(x) - expected) / np.spacing(expected.astype(dtype))) < 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exponentials_at_the_edges(dtype):
    info = np.finfo(dtype)
    x = np.asarray([0.0, -0.0, np.inf, -np.inf, np.nan, info.max, -info.max], dtype)
    np.testing.assert_array_equal(exponentials(x), np.asarray([1, 1, np.inf, 0, np.nan, np.inf, 0], dtype))
    last = np.log(np.asarray([info.max], dtype))
    around = np.asarray([np.nextafter(last, 0), last * dtype_of(dtype)(1.0001)], dtype)[:, 0]
    assert np.isfinite(exponentials(around)).tolist() == [True, False]
    tiny = np.log(np.asarray([3, 100, 10_000]) * float(info.smallest_subnormal)).astype(dtype)
    np.testing.assert_allclose(exponentials(tiny), np.exp(tiny), rtol=0, atol=info.smallest_subnormal)


def dtype_of(name):
    return np.dtype(name).type


TRAPS = {
    "NaN": [np.nan, 0.0, 1.0],
    "NaN later": [0.0, 1.0, np.nan],
    "infinity": [np.inf, 0.0, 1.0],
    "minus infinity": [-np.inf, 0.0, 1.0],
    "nothing but minus infinity": [-np.inf] * 3,
    "the class itself": [0.0, -np.inf, 1.0],
    "large": [1e30, -1e30, 0.0],
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("trap", TRAPS)
@pytest.mark.parametrize("classes", [3, 50])
def test_logits_that_are_traps(trap, dtype, classes):
    x = np.ones((4, classes), dtype)
    x[0, :3] = x[2, -3:] = TRAPS[trap]
    for first in (1, -100):
        target = np.asarray([first, 0, classes - 1, -100])
        with np.errstate(all="ignore"):
            found, expected = (loss_and_gradient(x, target, tier) for tier in ("compiled", "native"))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-6 if dtype == "float32" else 1e-14)


def loss_and_gradient(x, target, tier):
    with nnx.use_kernels(tier):
        return nnx.value_and_grad(lambda x: F.cross_entropy(x, target))(x)


@pytest.mark.parametrize("shape", [(1, 1), (3, 9000), (9000, 3), (70, 17), (2, 3, 5), (4,)])
def test_shapes(shape):
    draw = np.random.default_rng(0)
    x, target = draw.normal(size=shape), draw.integers(0, shape[-1], shape[:-1])
    assert nnx.kernels.explain(F.cross_entropy, x, target, axis=-1).chosen == "numpy, compiled"
    found = []
    for tier in ("compiled", "native"):
        with nnx.use_kernels(tier):
            found.append(nnx.value_and_grad(lambda x: F.cross_entropy(x, target, axis=-1, reduction="sum"))(x))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_each_call_of_a_pullback_returns_memory_of_its_own():
    x, target = np.random.default_rng(0).normal(size=(5, 4)), np.arange(5) % 4
    _, pullback = nnx.vjp(lambda x: F.cross_entropy(x, target), x)
    first = pullback(np.asarray(1.0))[0]
    kept = first.copy()
    first[...] = np.nan
    np.testing.assert_array_equal(pullback(np.asarray(1.0))[0], kept)
    np.testing.assert_array_equal(pullback(np.asarray(2.0))[0], 2 * kept)


@pytest.mark.parametrize("wrong", [3, -1, 2**40])
def test_a_class_out_of_range_is_the_error_of_the_portable_body(wrong):
    with pytest.raises(nnx.errors.ArgumentError, match=r"class"):
        F.cross_entropy(np.zeros((2, 3)), np.asarray([0, wrong]))


CODE = """
import nnx, numpy as np
call = nnx.functional.cross_entropy, np.zeros((2, 3)), np.zeros(2, int)
with nnx.use_kernels("native"):
    print(nnx.kernels.explain(*call).chosen)
print(nnx.kernels.explain(*call).chosen)
"""


def test_a_lower_tier_for_a_while_does_not_keep_the_loops_away():
    run = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n") == ["numpy, native", "numpy, compiled", ""]


@pytest.mark.parametrize("index", [2**70, -(2**63) - 1, 0.5, True])
def test_an_index_to_ignore_that_no_loop_can_be_given(index):
    logits, target = np.random.default_rng(0).normal(size=(3, 4)), np.asarray([0, 1, 2])
    choice = nnx.kernels.explain(F.cross_entropy, logits, target, ignore_index=index)
    assert choice.declined["numpy, compiled"] == "the index to ignore is not an integer of 64 bits"
    with nnx.use_kernels("native"):
        expected = F.cross_entropy(logits, target, ignore_index=index)
    assert F.cross_entropy(logits, target, ignore_index=index) == expected


def test_no_index_to_ignore_is_the_error_of_the_native_body():
    with pytest.raises(TypeError, match="not supported between"):
        F.cross_entropy(np.ones((3, 4)), np.asarray([0, 1, 2]), ignore_index=None)

"""Layers as loops."""

import importlib.util

import numpy as np
import pytest

import nnx
from nnx import functional as F

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="Numba is not installed")
SPECIAL = [-0.0, 0.0, np.nan, np.inf, -np.inf, -1.0, 2.0, -np.nan]


def of_tier(tier, function, x, g):
    with nnx.use_kernels(tier):
        y, pullback = nnx.vjp(function, x)
        kept = np.array(y)
        if isinstance(y, np.ndarray):
            y[...] = 7.0  # the output is the caller's
        return [kept, pullback(g)[0], pullback(g)[0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(8,), (4, 16), (0, 3), (), (40, 10, 8), (2, 3, 4, 5, 64)])
def test_relu_has_the_bits_of_its_native_kernel(shape, dtype):
    draw = np.random.default_rng(0)
    x, g = (draw.normal(size=shape).astype(dtype) for _ in range(2))
    if x.size >= 8:
        x.reshape(-1)[-8:], g.reshape(-1)[:8] = SPECIAL, SPECIAL[::-1]
    found, expected = (of_tier(tier, F.relu, x, g) for tier in ("compiled", "native"))
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("shape", [(4, 5), (100, 50)])
def test_relu_in_a_chain_changes_no_cotangent_of_the_caller(shape):
    x, g = np.random.default_rng(0).normal(size=(2, *shape))
    before = g.copy()
    _, pullback = nnx.vjp(lambda x: F.relu(2.0 * F.relu(x - 0.1)), x)
    expected = np.where(x > 0.1, 2 * g, 0)
    for _ in range(2):
        np.testing.assert_array_equal(pullback(g)[0], expected)
    np.testing.assert_array_equal(g, before)


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda x: np.repeat(x, 2, axis=1)[:, ::2]])
def test_a_cotangent_of_any_layout(layout):
    x = np.random.default_rng(0).normal(size=(100, 50))
    _, pullback = nnx.vjp(F.relu, x)
    np.testing.assert_array_equal(pullback(layout(x))[0], np.maximum(x, 0))


def test_what_relu_leaves_to_numpy():
    x = np.ones((100, 50))
    for y in (x.T, x[:, ::2], x[:2], x.astype(np.float16)):
        assert nnx.kernels.explain(F.relu, y).chosen == "numpy, native"
    assert nnx.kernels.explain(F.relu, x).chosen == "numpy, compiled"


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "longdouble"])
@pytest.mark.parametrize("shape", [(5, 3), (9, 3), (0, 3), (3,), (2, 3, 4, 3)])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_bias_of_a_linear_map(shape, dtype, stride):
    draw = np.random.default_rng(0)
    x, weight, bias = (draw.normal(size=size).astype(dtype) for size in (shape, (3, 4), (4 * stride,)))
    found = []
    for tier in ("compiled", "native"):
        with nnx.use_kernels(tier):
            y, pullback = nnx.vjp(F.linear, x, weight, bias[::stride])
            found.append((y, *pullback(y), *pullback(np.repeat(y, 2, -1)[..., ::2])))
    for a, b in zip(*found, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


ELEMENTWISE = {
    "gelu": (F.gelu, {}),
    "gelu, tanh": (F.gelu, {"approximate": "tanh"}),
    "sigmoid": (F.sigmoid, {}),
    "silu": (F.silu, {}),
    "mish": (F.mish, {}),
    "leaky_relu": (F.leaky_relu, {}),
    "leaky_relu, steep": (F.leaky_relu, {"slope": 0.3}),
}
EDGES = [*SPECIAL, 1e-30, -1e-30, 3e-3, -5e-3, 50.0, -50.0, 200.0, -200.0, 1e30, -1e30]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_functions_at_the_edges(name, dtype):
    function, options = ELEMENTWISE[name]
    x = np.asarray(EDGES + list(np.linspace(-9, 9, 103)), dtype)
    assert nnx.kernels.explain(function, x, **options).chosen == "numpy, compiled"
    with np.errstate(all="ignore"):
        call = lambda x: function(x, **options)  # noqa: E731
        found, expected = (of_tier(tier, call, x, np.full_like(x, 2)) for tier in ("compiled", "native"))
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        # Next to a zero of the derivative nearly all digits cancel.
        np.testing.assert_allclose(a, b, rtol=1e-5 if dtype == "float32" else 1e-13, atol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("shape", [(), (3,), (4, 5), (2, 3, 4)])
def test_elementwise_functions_of_any_shape(name, shape):
    function, options = ELEMENTWISE[name]
    x, g = np.random.default_rng(0).normal(size=(2, *shape))
    before = np.array(g)
    found, expected = (of_tier(tier, lambda x: function(x, **options), x, g) for tier in ("compiled", "native"))
    for a, b in zip(found, expected, strict=True):
        assert np.shape(a) == np.shape(b) == shape
        np.testing.assert_allclose(a, b, rtol=1e-12)
    np.testing.assert_array_equal(g, before)


def test_an_option_that_the_loops_do_not_know_is_the_error_of_the_portable_body():
    with pytest.raises(nnx.errors.ArgumentError, match="approximate"):
        F.gelu(np.ones(3), approximate="sigmoid")


@pytest.mark.parametrize("given", [None, "0.1"])
@pytest.mark.parametrize(
    ("function", "option"),
    [(F.leaky_relu, "slope"), (F.layer_norm, "eps"), (F.rms_norm, "eps"), (F.batch_norm_training, "eps")],
)
def test_an_option_that_is_no_number_is_the_error_of_the_native_body(function, option, given):
    x = np.ones((2, 3, 64))
    for tier in ("native", "compiled"):
        with nnx.use_kernels(tier), pytest.raises(TypeError):
            function(x, **{option: given})


NORMS = {
    "layer": (F.layer_norm, 2),
    "without parameters": (F.layer_norm, 0),
    "weight": (F.layer_norm, 1),
    "root mean square": (F.rms_norm, 1),
    "nothing": (F.rms_norm, 0),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(4, 8), (7, 1), (70,), (2, 3, 50), (3, 1001)])
@pytest.mark.parametrize("name", NORMS)
def test_normalizations(name, shape, dtype):
    function, count = NORMS[name]
    draw = np.random.default_rng(0)
    x, g = (3 + draw.normal(size=shape).astype(dtype) for _ in range(2))
    parameters = draw.normal(size=(count, shape[-1])).astype(dtype)
    assert nnx.kernels.explain(function, x, *parameters).chosen == "numpy, compiled"
    found, before = [], g.copy()
    for tier in ("compiled", "native"):
        with nnx.use_kernels(tier):
            y, pullback = nnx.vjp(function, x, *parameters)
            _, chain = nnx.vjp(lambda *args: 2.0 * function(*args), x, *parameters)  # which may overwrite a cotangent
            found.append([y, *pullback(g), *pullback(g), *chain(g), *chain(g)])
    rtol = 2e-5 if dtype == "float32" else 1e-13
    for a, b in zip(*found, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * float(np.max(np.abs(b), initial=1)))
    np.testing.assert_array_equal(g, before)


def test_normalizations_of_what_is_not_a_number_touch_one_row_only():
    x = np.ones((3, 20)) * np.arange(20)
    x[1, 4] = np.nan
    y, pullback = nnx.vjp(F.layer_norm, x)
    (to_x,) = pullback(np.ones_like(x))
    for array in (y, to_x):
        assert np.isnan(array).all(1).tolist() == [False, True, False]
        assert np.isfinite(array[::2]).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1,), (5, 3), (2, 3, 40), (3, 5000), (600, 17)])
def test_softmax(shape, dtype):
    draw = np.random.default_rng(0)
    x, g = (draw.normal(size=shape).astype(dtype) for _ in range(2))
    before = g.copy()
    x[..., 0] = -np.inf if shape[-1] > 1 else 0
    assert nnx.kernels.explain(F.softmax, x).chosen == "numpy, compiled"
    found = []
    for tier in ("compiled", "native"):
        with nnx.use_kernels(tier):
            y, pullback = nnx.vjp(F.softmax, x)
            _, chain = nnx.vjp(lambda x: 2.0 * F.softmax(x), x)  # which may overwrite a cotangent
            found.append([y, *pullback(g), *pullback(np.asfortranarray(g)), *chain(g), *chain(g)])
    for a, b in zip(*found, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5 if dtype == "float32" else 1e-12, atol=4 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(g, before)


def test_softmax_of_what_is_not_a_number():
    x = np.asarray([[np.nan, 0, 1], [0, 1, np.nan], [np.inf, 0, 1], [-np.inf] * 3, [0, 1, 2]])
    with np.errstate(all="ignore"):
        found, expected = (of_tier(tier, lambda x: F.softmax(x) + 0.0, x, x) for tier in ("compiled", "native"))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-14)


def test_softmax_along_another_axis_is_left_to_numpy():
    assert nnx.kernels.explain(F.softmax, np.ones((3, 4)), axis=0).chosen == "numpy, native"

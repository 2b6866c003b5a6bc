"""Limits, tails, kinks and errors of activations; the battery has their derivatives between the kinks."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rows.activations import ELEMENTWISE

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, DTypeError, NnxError, ShapeError
from nnx.testing import assert_close

INF, NAN = math.inf, math.nan
SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772
LIMITS = {  # of the value and of the derivative, at minus and at plus infinity
    "relu": (0, INF, 0, 1),
    "leaky_relu": (-INF, INF, 0.01, 1),
    "hardtanh": (-1, 1, 0, 0),
    "relu6": (0, 6, 0, 0),
    "hardsigmoid": (0, 1, 0, 0),
    "exponential": (0, INF, 0, INF),
    "elu": (-1, INF, 0, 1),
    "selu": (-SCALE * ALPHA, INF, 0, SCALE),
    "celu": (-1, INF, 0, 1),
    "sigmoid": (0, 1, 0, 0),
    "log_sigmoid": (-INF, 0, 1, 0),
    "softplus": (0, INF, 0, 1),
    "tanh": (-1, 1, 0, 0),
    "softsign": (-1, 1, 0, 0),
    "gelu": (0, INF, 0, 1),
    "silu": (0, INF, 0, 1),
    "mish": (0, INF, 0, 1),
    "hardswish": (0, INF, 0, 1),
}
CASES = {name: getattr(F, name) for name in LIMITS} | {"gelu tanh": partial(F.gelu, approximate="tanh")}
each = pytest.mark.parametrize("name", CASES)


def total_of(function):
    return lambda x: nnx.namespace(x).sum(function(x))


def test_every_elementwise_function_is_here():
    assert {entry[0] for entry in ELEMENTWISE} == set(LIMITS)


@each
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.filterwarnings("error")
def test_limits(xp, name, dtype):
    if not hasattr(xp.namespace, dtype):
        pytest.skip(f"{xp.name} has no {dtype}")
    function, (low, high, low_slope, high_slope) = CASES[name], LIMITS[name.split()[0]]
    x = xp.asarray([-INF, INF, NAN, -1e4, 1e4], dtype)
    if name == "exponential":  # it overflows, and NumPy says so
        x = xp.asarray([-INF, INF, NAN], dtype)
    value = nnx.to_numpy(function(x)).astype("float64")
    slope = nnx.to_numpy(nnx.vjp(function, x)[1](xp.namespace.ones_like(x))[0]).astype("float64")
    tolerance = {"float16": 1e-3, "float32": 1e-6, "float64": 1e-15}[dtype]
    np.testing.assert_allclose(value[:2], [low, high], rtol=tolerance)
    np.testing.assert_allclose(slope[:2], [low_slope, high_slope], rtol=tolerance, atol=1e-30)
    assert np.isnan(value[2])
    near = 1e-3 if name == "softsign" else tolerance
    for i, end, bound, rate in ((3, -1e4, low, low_slope), (4, 1e4, high, high_slope)):
        if name != "exponential":
            np.testing.assert_allclose(value[i], end * rate if math.isinf(bound) else bound, rtol=near)
            np.testing.assert_allclose(slope[i], rate, rtol=near, atol=2e-8)


@each
def test_forward_mode_has_the_same_derivative_at_all_kinks(name):
    x = np.asarray([-6.0, -3.0, -1.0, -0.0, 0.0, 1.0, 3.0, 6.0])
    _, tangent = nnx.jvp(CASES[name], (x,), (np.ones_like(x),))
    assert_close(tangent, nnx.grad(total_of(CASES[name]))(x), rtol=1e-15)


@pytest.mark.parametrize("entry", ELEMENTWISE, ids=lambda entry: entry[0])
def test_derivatives_at_kinks_are_those_of_pytorch(entry):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    reference = torch
    for part in entry[2].split("."):
        reference = getattr(reference, part)
    x = np.asarray([-6.0, -3.0, -1.0, -0.0, 0.0, 1.0, 3.0, 6.0])
    theirs = torch.tensor(x, requires_grad=True)
    reference(theirs).sum().backward()
    np.testing.assert_allclose(nnx.grad(total_of(getattr(F, entry[0])))(x), theirs.grad.numpy(), rtol=1e-7)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tails_keep_their_digits(xp, dtype):
    rtol = {"float32": 4e-6, "float64": 1e-14}[dtype]
    tail = math.exp(-40.0)
    x, minus = xp.asarray([40.0], dtype), xp.asarray([-40.0], dtype)
    expected = [
        (F.sigmoid(minus), tail),
        (F.softplus(minus), tail),
        (F.softplus(minus / 4.0, beta=4.0), tail / 4.0),
        (F.log_sigmoid(x), -tail),
        (F.log_sigmoid(minus), -40.0),
        (F.silu(minus), -40.0 * tail),
        (F.mish(minus), -40.0 * tail),
        (F.elu(minus / 1e8), math.expm1(-4e-7)),
        (nnx.grad(total_of(F.sigmoid))(minus), tail),
        (nnx.grad(total_of(F.softplus))(minus), tail),
        (nnx.grad(total_of(F.log_sigmoid))(x), tail),
        (nnx.grad(total_of(F.elu))(minus), tail),
    ]
    for found, value in expected:
        np.testing.assert_allclose(nnx.to_numpy(found), [value], rtol=rtol)


@each
def test_half_precision_is_float32_rounded_once(xp, name):
    if not hasattr(xp.namespace, "float16"):
        pytest.skip(f"{xp.name} has no float16")
    values = np.random.default_rng(0).normal(size=64).astype("float16")
    small, wide = xp.asarray(values, "float16"), xp.asarray(values, "float32")
    function = CASES[name]
    for of in (function, nnx.grad(total_of(function))):
        expected = nnx.to_numpy(of(wide)).astype("float16")
        np.testing.assert_allclose(nnx.to_numpy(of(small)), expected, rtol=2e-3, atol=1e-3)


@st.composite
def calls(draw):
    name, _, in_torch, *options = draw(st.sampled_from(ELEMENTWISE))
    chosen = {key: draw(st.sampled_from(_VALUES[key])) for key in (options[0] if options else ())}
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    return name, in_torch, chosen, tuple(shape), draw(st.integers(0, 2**31))


_VALUES = {"slope": [0.0, 0.3], "alpha": [0.5, 1.7], "beta": [0.5, 3.0], "approximate": ["none", "tanh"]}
_VALUES |= {"low": [-2.5, -0.5], "high": [0.5, 2.5]}
_IN_TORCH = {"slope": "negative_slope", "low": "min_val", "high": "max_val"}


@settings(deadline=None, max_examples=25)
@given(calls())
def test_any_shape_and_options_as_in_pytorch(call):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    name, in_torch, options, shape, seed = call
    x, g = np.random.default_rng(seed).normal(0.0, 3.0, (2, *shape))
    reference = torch
    for part in in_torch.split("."):
        reference = getattr(reference, part)
    theirs = torch.tensor(x, requires_grad=True)
    expected = reference(theirs, **{_IN_TORCH.get(key, key): value for key, value in options.items()})
    expected.backward(torch.tensor(g))
    value, pullback = nnx.vjp(partial(getattr(F, name), **options), np.asarray(x))
    assert_close(value, expected.detach().numpy(), rtol=1e-7, atol=1e-8)  # torch's softplus has a threshold
    assert_close(pullback(np.asarray(g))[0], theirs.grad.numpy(), rtol=1e-7, atol=1e-8)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.data())
def test_axes_of_any_length_as_in_pytorch(shape, data):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    shape[axis] *= 2
    x = np.random.default_rng(0).normal(size=shape)
    theirs = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.glu(theirs, axis)
    g = np.random.default_rng(1).normal(size=expected.shape)
    expected.backward(torch.tensor(g))
    value, pullback = nnx.vjp(lambda x: F.glu(x, axis=axis), x)
    assert_close(value, expected.detach().numpy())
    assert_close(pullback(g)[0], theirs.grad.numpy())
    a, b = np.split(x, 2, axis)
    assert_close(F.swiglu(x, axis=axis), F.silu(a) * b)


def test_what_is_kept_for_a_piecewise_function_is_a_mask():
    x = np.zeros(1024)
    for function in (F.relu, F.leaky_relu, F.hardtanh, F.relu6, F.hardsigmoid):
        with nnx.use_kernels("portable"):
            _, pullback = function.rule((True,), x)
        assert [a.dtype for a in pullback.args if hasattr(a, "dtype")] == [np.dtype(bool)]


def test_softmax_of_half_precision_adds_up_in_float32():
    x = np.zeros((1, 4096), np.float16)
    assert_close(F.softmax(x), np.full_like(x, 1 / 4096))
    assert_close(F.log_softmax(x), np.full_like(x, -math.log(4096)))


@pytest.mark.parametrize(("name", "options"), [("softplus", {"beta": 0.0}), ("celu", {"alpha": -1.0})])
def test_error_for_an_option_that_is_not_positive(name, options):
    (key, value), *_ = options.items()
    with pytest.raises(ArgumentError, match=f"expected {key} > 0, got {value}"):
        getattr(F, name)(np.ones(2), **options)


def test_errors_for_other_options():
    with pytest.raises(ArgumentError, match=r"expected low < high, got low=1\.0 and high=1\.0"):
        F.hardtanh(np.ones(2), low=1.0)
    with pytest.raises(ArgumentError, match="expected approximate to be one of 'none', 'tanh', got 'erf'"):
        nnx.GELU(approximate="erf")(np.ones(2))


@each
def test_errors_for_dtypes(xp, name):
    with pytest.raises(DTypeError, match="expected input of a floating-point dtype, got int64"):
        CASES[name](xp.asarray([1], "int64"))
    if name != "exponential":
        with pytest.raises(DTypeError, match="expected input of a real dtype, got complex64"):
            CASES[name](xp.asarray([1.0], "complex64"))


@pytest.mark.parametrize("function", [F.glu, F.swiglu])
def test_error_for_an_axis_that_cannot_be_halved(function):
    with pytest.raises(ShapeError, match="expected an even length of axis -1, which is split in two, got 3"):
        function(np.ones((2, 3)))


def test_errors_of_prelu():
    with pytest.raises(ShapeError, match="expected an array that has axis 1, got one with 1 axis"):
        F.prelu(np.ones(3), np.ones(3))
    with pytest.raises(
        ShapeError, match=r"expected weight of shape \(1,\) or \(2,\), as axis 1 of the input, got \(\)"
    ):
        F.prelu(np.ones((3, 2)), np.asarray(0.5), axis=-1)
    with pytest.raises(DTypeError, match="expected input of dtype float32, as weight, got float64"):
        F.prelu(np.ones((3, 2)), np.ones(1, np.float32))
    with pytest.raises(NnxError, match="expected num_parameters to be an integer of at least 1, got 0"):
        nnx.PReLU(0)


def test_prelu_differentiates_what_is_wanted_alone():
    x, weight = np.asarray([[-1.0, 2.0], [3.0, -4.0]]), np.asarray([0.25, 0.5])
    total = lambda x, w: nnx.namespace(x, w).sum(F.prelu(x, w))  # noqa: E731
    assert_close(nnx.grad(total)(x, weight), np.asarray([[0.25, 1.0], [1.0, 0.5]]))
    assert_close(nnx.grad(total, argnums=1)(x, weight), np.asarray([-1.0, -4.0]))
    assert_close(nnx.grad(total, argnums=1)(x, weight[:1]), np.asarray([-5.0]))

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.functional.standardization import layout_of_batch, layout_of_groups, layout_of_last_axes
from nnx.testing import assert_close

SIZES = st.integers(1, 5)


@pytest.mark.parametrize(
    "layout",
    [
        layout_of_last_axes((4, 3, 2), 2),
        layout_of_last_axes((3, 2), 2),
        layout_of_batch((2, 3, 4), 1),
        layout_of_batch((2, 3, 4), -1),
        layout_of_groups((2, 6, 3), 1, 3),
        layout_of_groups((2, 5, 6), -1, 2),
        layout_of_groups((2, 3, 4), 1, None),
    ],
)
def test_an_axis_is_averaged_or_not_and_shared_or_not(layout):
    assert math.prod(layout.own) == math.prod(layout.parameters)
    assert [i for i, n in enumerate(layout.parameters) if i in layout.shared and n != 1] == []
    assert [n for i, n in enumerate(layout.view) if i not in layout.shared] == [
        n for i, n in enumerate(layout.parameters) if i not in layout.shared
    ]


def test_layouts_of_known_cases():
    assert layout_of_last_axes((3, 2), 2) == ((1, 3, 2), (1, 2), (1, 3, 2), (0,), (3, 2))
    assert layout_of_groups((2, 6, 5), 1, 3) == ((2, 3, 2, 5), (2, 3), (1, 3, 2, 1), (0, 3), (6,))
    assert layout_of_groups((2, 5, 6), -1, 3) == ((2, 5, 3, 2), (1, 3), (1, 1, 3, 2), (0, 1), (6,))
    assert layout_of_batch((2, 5, 6), 2) == ((2, 5, 6), (0, 1), (1, 1, 6), (0, 1), (6,))


@st.composite
def cases(draw):
    """Return a name, an input, whether there are a weight and a bias, and options."""
    name = draw(st.sampled_from(["layer", "rms", "group", "instance", "training", "given"]))
    if name in ("layer", "rms"):
        shape = (draw(st.integers(0, 3)), *draw(st.lists(SIZES, min_size=1, max_size=3)))
        options = {"num_axes": draw(st.integers(1, len(shape) - 1))}
    else:
        groups = draw(st.integers(1, 3))
        least = 2 if name in ("instance", "training") else 1
        shape = (draw(st.integers(least, 4)), groups * draw(st.integers(1, 3)), draw(st.integers(2, 5)), draw(SIZES))
        options = {"axis": draw(st.sampled_from([1, -1]))} | ({"groups": groups} if name == "group" else {})
    return name, shape, draw(st.booleans()), options, draw(st.sampled_from([1e-5, 0.1]))


def reference(torch, name, x, weight, bias, mean, variance, options, eps):
    n = torch.nn.functional
    if name in ("layer", "rms"):
        shape = x.shape[-options["num_axes"] :]
        return n.layer_norm(x, shape, weight, bias, eps) if name == "layer" else n.rms_norm(x, shape, weight, eps)
    if name == "group":
        return n.group_norm(x, options["groups"], weight, bias, eps)
    if name == "instance":
        return n.instance_norm(x, weight=weight, bias=bias, eps=eps)
    statistics = (None, None) if name == "training" else (mean, variance)
    return n.batch_norm(x, *statistics, weight, bias, name == "training", eps=eps)


@settings(max_examples=40)
@given(cases())
def test_values_and_gradients_are_those_of_pytorch(case):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    name, shape, has_parameters, options, eps = case
    rng = np.random.default_rng(0)
    own = shape[-options["num_axes"] :] if "num_axes" in options else (shape[1],)
    x, g = rng.normal(3.0, 2.0, (2, *shape))
    parameters = [rng.normal(size=own) for _ in range(2 if name != "rms" else 1)] if has_parameters else []
    mean, variance = rng.normal(size=own), rng.uniform(0.5, 2.0, own)
    moved = options.get("axis") == -1
    move = (lambda a: np.moveaxis(a, 1, -1)) if moved else (lambda a: a)
    function = {
        "layer": F.layer_norm,
        "rms": F.rms_norm,
        "group": F.group_norm,
        "instance": F.instance_norm,
        "training": lambda *args, **options: F.batch_norm_training(*args, **options)[0],
        "given": lambda x, *rest, **options: F.batch_norm(x, mean, variance, *rest, **options),
    }[name]
    found, pullback = nnx.vjp(lambda *args: function(*args, eps=eps, **options), move(x), *parameters)
    gradients = list(pullback(move(g)))
    leaves = [torch.as_tensor(a).requires_grad_() for a in (x, *parameters)]
    weight, bias = [*leaves[1:], None, None][:2]
    statistics = torch.as_tensor(mean), torch.as_tensor(variance)
    expected = reference(torch, name, leaves[0], weight, bias, *statistics, options, eps)
    wanted = torch.autograd.grad(expected, leaves, torch.as_tensor(g))
    assert_close(found, move(expected.detach().numpy()), rtol=1e-10, atol=1e-11)
    assert_close(gradients[0], move(wanted[0].numpy()), rtol=1e-10, atol=1e-10)
    assert_close(gradients[1:], [w.numpy() for w in wanted[1:]], rtol=1e-10, atol=1e-10)


def test_a_large_mean_costs_no_accuracy(xp):
    x = np.random.default_rng(0).normal(size=(4, 64)) + 1e4
    expected = F.layer_norm(x.astype(np.float32).astype(np.float64))
    assert_close(F.layer_norm(xp.asarray(x)), xp.asarray(expected), rtol=0.0, atol=2e-3)


def test_16_bits_are_computed_in_float32():
    x = np.full((2, 4096), 300.0, np.float16)
    x[:, ::2] = -300.0  # the sum of the squares is beyond float16
    np.testing.assert_array_equal(F.layer_norm(x), np.sign(x))
    np.testing.assert_array_equal(F.rms_norm(x), np.sign(x))
    y, mean, variance = F.batch_norm_training(x.T)
    np.testing.assert_array_equal(y, np.sign(x.T))
    assert mean.dtype == variance.dtype == np.float32
    assert variance.tolist() == [90000.0, 90000.0]
    given = F.batch_norm(x.T, mean, variance)
    assert given.dtype == np.float16
    np.testing.assert_array_equal(given, np.sign(x.T))


def test_constant_input_and_empty_batch(xp):
    x = xp.asarray(np.full((3, 4), 7.0))
    y, pullback = nnx.vjp(F.layer_norm, x)
    assert not np.any(nnx.to_numpy(y))
    assert np.all(np.isfinite(nnx.to_numpy(pullback(x)[0])))
    for function, shape in ((F.layer_norm, (0, 4)), (lambda x: F.group_norm(x, groups=2), (0, 4, 3))):
        y, pullback = nnx.vjp(function, xp.asarray(np.ones(shape)))
        assert tuple(y.shape) == tuple(pullback(y)[0].shape) == shape


def test_the_pullback_keeps_the_input_and_its_statistics():
    x, weight = np.ones((8, 4, 16)), np.ones(4)
    for function, args in ((F.instance_norm, (x, weight, weight)), (F.batch_norm_training, (x, weight, weight))):
        with nnx.use_kernels("portable"):
            _, pullback = function.rule([1, 1, 1], *args)
        assert sum(a.size for a in held_by(pullback) if a is not x) <= 2 * 8 * 4 + 4


def held_by(function):
    """Return the arrays that a closure keeps, at any depth."""
    found = {}
    for cell in function.__closure__ or ():
        value = cell.cell_contents
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(part, np.ndarray):
                found[id(part)] = part
        if hasattr(value, "__closure__"):
            found |= {id(a): a for a in held_by(value)}
    return list(found.values())


def test_errors():
    x = np.ones((2, 4, 3))
    with pytest.raises(ShapeError, match=r"expected input with at least 4 axes, got \(2, 4, 3\)"):
        F.layer_norm(x, num_axes=4)
    with pytest.raises(ArgumentError, match="expected num_axes to be an integer of at least 1, got 0"):
        F.layer_norm(x, num_axes=0)
    with pytest.raises(ArgumentError, match="expected groups to be an integer of at least 1, got 0"):
        F.group_norm(x, groups=0)
    for axis in (0, 3, -3):
        with pytest.raises(ShapeError, match=rf"\(batch, channels, \.\.\.\) with channels at axis {axis}, got"):
            F.instance_norm(x, axis=axis)
    with pytest.raises(DTypeError, match="expected input of dtype float32, as weight, got float64"):
        F.layer_norm(x, np.ones(3, np.float32))
    with pytest.raises(DTypeError, match="expected input of dtype float32, as mean, got float64"):
        F.batch_norm(x, np.ones(4, np.float32), np.ones(4))
    with pytest.raises(ShapeError, match=r"more than one value a channel in training, .* use evaluation mode"):
        F.batch_norm_training(np.ones((1, 3)))


@pytest.mark.parametrize(
    "function",
    [
        F.layer_norm,
        F.instance_norm,
        lambda *args: F.group_norm(*args, groups=3),
        lambda *args: F.batch_norm_training(*args)[0],
    ],
)
def test_a_bias_without_a_weight(xp, function):
    rng = np.random.default_rng(0)
    x, g = (xp.asarray(rng.normal(size=(2, 3, 3)), "float64") for _ in range(2))
    bias, ones = xp.asarray([1.0, 2.0, 3.0], "float64"), xp.asarray(np.ones(3), "float64")
    y, pullback = nnx.vjp(lambda x, b: function(x, None, b), x, bias)
    expected, of_ones = nnx.vjp(lambda x, b: function(x, ones, b), x, bias)
    assert_close((y, pullback(g)), (expected, of_ones(g)), rtol=1e-12, atol=1e-13)

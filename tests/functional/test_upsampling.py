"""Interpolation and pixel shuffling: known answers, messages, and PyTorch on drawn shapes and options."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.interpolation_maps import linear, nearest
from nnx.testing import assert_close


@st.composite
def problems(draw):
    sizes = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    options = {"mode": draw(st.sampled_from(["nearest", "linear"]))}
    if draw(st.booleans()):
        options["size"] = tuple(draw(st.integers(1, 7)) for _ in sizes)
    else:
        options["scale"] = tuple(draw(st.sampled_from([1, 1.5, 2, 2.7, 3])) for _ in sizes)
    if options["mode"] == "linear":
        options["align_corners"] = draw(st.booleans())
    return (draw(st.integers(1, 2)), draw(st.integers(1, 2)), *sizes), options, draw(st.booleans())


@settings(max_examples=25, deadline=None)
@given(problems())
def test_interpolation_as_in_pytorch(problem):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    shape, options, last = problem
    count = len(shape) - 2
    theirs = {{"scale": "scale_factor"}.get(name, name): value for name, value in options.items()}
    if options["mode"] == "linear":
        theirs["mode"] = ("linear", "bilinear", "trilinear")[count - 1]
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape)
    leaf = torch.asarray(x).requires_grad_()
    expected = torch.nn.functional.interpolate(leaf, **theirs)
    g = rng.normal(size=tuple(expected.shape))
    (gradient,) = torch.autograd.grad(expected, leaf, torch.asarray(g))

    def moved(a):
        return np.moveaxis(a, 1, -1) if last else a

    y, pullback = nnx.vjp(lambda x: F.upsample(x, **options, layout="NHWC" if last else "NCHW"), moved(x))
    assert_close(y, moved(expected.detach().numpy()), rtol=1e-10, atol=1e-12)
    assert_close(pullback(moved(g))[0], moved(gradient.numpy()), rtol=1e-10, atol=1e-12)


def test_maps_against_the_formulas():
    for size in range(1, 8):
        for count in range(1, 12):
            near = nearest(size, count)
            assert [list(tap) for tap in near.indices] == [[i * size // count for i in range(count)]]
            for corners in (False, True):
                along = linear(size, count, None, corners)
                for i in range(count):
                    at = (i + 0.5) * size / count - 0.5 if not corners else i * (size - 1) / max(count - 1, 1)
                    taps = zip(along.indices, along.weights, strict=True)
                    mean = sum(indices[i] * weights[i] for indices, weights in taps)
                    assert abs(mean - min(max(at, 0.0), size - 1)) < 1e-12  # a line is reproduced
                    assert abs(sum(weights[i] for weights in along.weights) - 1.0) < 1e-12


def test_half_precision_is_interpolated_in_float32():
    x = np.asarray([[[2048.0, 2050.0]]], np.float16)
    expected = F.upsample(x.astype(np.float32), size=5, mode="linear").astype(np.float16)
    assert_close(F.upsample(x, size=5, mode="linear"), expected, rtol=0.0)


def test_infinities_stay_where_they_are():
    x = np.asarray([[[1.0, np.inf, 2.0]]])
    expected = np.asarray([[[1.0, np.inf, np.inf, np.inf, 2.0]]])
    assert_close(F.upsample(x, size=5, mode="linear", align_corners=True), expected)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, ArgumentError, "expected either size or scale, got size=None and scale=None"),
        ({"size": 2, "scale": 2}, ArgumentError, "expected either size or scale, got size=2 and scale=2"),
        ({"size": 0}, ArgumentError, "expected size to be an integer of at least 1, got 0"),
        ({"size": (2, 2)}, ArgumentError, "expected size to be one integer or 1"),
        ({"scale": 0.0}, ArgumentError, "expected scale to be one positive number or 1, .*, got 0.0"),
        ({"scale": (2, 2)}, ArgumentError, r"expected scale to be one positive number or 1, .*, got \(2, 2\)"),
        ({"scale": 0.2}, ShapeError, r"expected spatial axes that are not empty, got \(4,\), which become \(0,\)"),
        ({"scale": 2, "mode": "cubic"}, ArgumentError, "expected mode to be one of 'nearest', 'linear', got 'cubic'"),
        ({"scale": 2, "align_corners": True}, ArgumentError, "expected align_corners=True with mode 'linear' alone"),
    ],
)
def test_options_that_do_not_fit(options, error, message):
    with pytest.raises(error, match=message):
        F.upsample(np.ones((1, 1, 4)), **options)
    if message.startswith(("expected either", "expected mode")):
        with pytest.raises(error, match=message):
            nnx.Upsample(**options)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 8, 3, 8), (1, 8, 2, 1, 8), (0, 8, 8)])
def test_shuffling_and_back(shape, layout):
    x = np.random.default_rng(0).normal(size=shape)
    y = F.pixel_shuffle(x, factor=2, layout=layout)
    assert y.size == x.size
    assert_close(F.pixel_unshuffle(y, factor=2, layout=layout), x, rtol=0.0)


def test_factors_that_are_none():
    with pytest.raises(ArgumentError, match="expected factor to be an integer of at least 1, got 0"):
        nnx.PixelShuffle(0)
    with pytest.raises(ArgumentError, match="expected factor to be an integer of at least 1, got 1"):
        F.pixel_unshuffle(np.ones((1, 1, 2)), factor=1.5)


@pytest.mark.parametrize("options", [{"scale": 1.1}, {"scale": 4.9}, {"scale": 0.7}, {"size": 41}])
def test_the_nearest_element_is_the_same_on_every_library(xp, options):
    for length in (31, 32, 33):
        x = np.arange(float(length)).reshape(1, 1, length)
        assert_close(F.upsample(xp.asarray(x, "float64"), **options), xp.asarray(F.upsample(x, **options), "float64"))

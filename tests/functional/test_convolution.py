import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.functional.spatial import windows
from nnx.testing import assert_close


def test_a_kernel_is_not_flipped(xp):
    x, weight = xp.asarray([[[1.0, 2.0, 4.0, 8.0]]]), xp.asarray([[[1.0, 10.0]]])
    assert_close(F.convolution(x, weight), xp.asarray([[[21.0, 42.0, 84.0]]]))
    assert_close(F.convolution(x, weight, stride=2, padding="same"), xp.asarray([[[21.0, 84.0]]]))
    assert_close(F.convolution(x, weight, padding=((0, 1),)), xp.asarray([[[21.0, 42.0, 84.0, 8.0]]]))
    assert_close(F.convolution(x, weight, dilation=3), xp.asarray([[[81.0]]]))


def test_the_transpose_enlarges(xp):
    x, weight = xp.asarray([[[1.0, 2.0]]]), xp.asarray([[[1.0, 10.0]]])
    assert_close(F.transposed_convolution(x, weight), xp.asarray([[[1.0, 12.0, 20.0]]]))
    assert_close(F.transposed_convolution(x, weight, stride=3), xp.asarray([[[1.0, 10.0, 0.0, 2.0, 20.0]]]))
    found = F.transposed_convolution(x, weight, stride=2, padding=((1, 0),), output_padding=1)
    assert_close(found, xp.asarray([[[10.0, 2.0, 20.0, 0.0]]]))


@st.composite
def problems(draw):
    """Draw options that fit together, and the shapes of x and weight."""
    count = draw(st.integers(1, 3))

    def axes(least, most):
        return tuple(draw(st.integers(least, most)) for _ in range(count))

    kernel, dilation, stride = axes(1, 3), axes(1, 2), axes(1, 4)
    same = draw(st.booleans())
    padding = "same" if same else tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(count))
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    least = [1] * count if same else [max(1, n - sum(pair)) for n, pair in zip(spans, padding, strict=True)]
    sizes = tuple(n + draw(st.integers(0, 4)) for n in least)
    groups, per_group, out = (draw(st.integers(1, 3)) for _ in range(3))
    batch = draw(st.integers(0, 2))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return (batch, groups * per_group, *sizes), (groups * out, per_group, *kernel), options, draw(st.booleans())


def by_torch(torch, x, weight, bias, *, padding, **options):
    count = x.ndim - 2
    if padding == "same":
        padding = windows(x.shape[2:], weight.shape[2:], options["stride"], "same", options["dilation"]).padding
    flat = [width for pair in reversed(padding) for width in pair]
    function = getattr(torch.nn.functional, f"conv{count}d")
    return function(torch.nn.functional.pad(x, flat), weight, bias, **options)


@settings(max_examples=40, deadline=None)
@given(problems())
def test_as_in_pytorch(problem):
    """The transpose is held to the same numbers: it is the derivative of the convolution."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x_shape, weight_shape, options, last = problem
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=x_shape), rng.normal(size=weight_shape), rng.normal(size=weight_shape[0])
    leaves = [torch.asarray(a).requires_grad_() for a in (x, weight, bias)]
    expected = by_torch(torch, *leaves, **options)
    g = rng.normal(size=tuple(expected.shape))
    gradients = [part.numpy() for part in torch.autograd.grad(expected, leaves, torch.asarray(g))]

    def moved(a):
        return np.moveaxis(a, 1, -1) if last else a

    layout = "NHWC" if last else "NCHW"
    y, pullback = nnx.vjp(lambda *args: F.convolution(*args, **options, layout=layout), moved(x), weight, bias)
    assert_close(y, moved(expected.detach().numpy()), rtol=1e-10, atol=1e-12)
    to_x, to_weight, to_bias = pullback(moved(g))
    assert_close((to_x, to_weight, to_bias), (moved(gradients[0]), *gradients[1:]), rtol=1e-10, atol=1e-12)

    if options["padding"] != "same":
        sizes, short = x_shape[2:], F.transposed_convolution
        options["output_padding"] = tuple(
            (n + sum(pair) - d * (k - 1) - 1) % s
            for n, pair, d, k, s in zip(
                sizes, options["padding"], options["dilation"], weight_shape[2:], options["stride"], strict=True
            )
        )
        back, pullback = nnx.vjp(lambda *args: short(*args, **options, layout=layout), moved(g), weight)
        assert_close(back, moved(gradients[0]), rtol=1e-10, atol=1e-12)
        to_g, to_weight = pullback(moved(x))
        without_bias = expected.detach().numpy() - bias.reshape(-1, *[1] * len(sizes))
        assert_close((to_g, to_weight), (moved(without_bias), gradients[1]), rtol=1e-10, atol=1e-12)


def test_shapes_that_do_not_fit(xp):
    def ones(*shape):
        return xp.asarray(np.ones(shape))

    x, weight = ones(1, 2, 4, 4), ones(4, 2, 3, 3)
    with pytest.raises(ShapeError, match=r"expected input of shape \(batch, 2, height, width\), got \(1, 3, 4, 4\)"):
        F.convolution(ones(1, 3, 4, 4), weight)
    with pytest.raises(ShapeError, match=r"expected input of shape \(batch, 2, width\), got \(1, 2, 4, 4\)"):
        F.convolution(x, ones(4, 2, 3))
    with pytest.raises(ShapeError, match=r"expected weight with two axes of channels and one to three of the kernel"):
        F.convolution(x, ones(4, 2))
    with pytest.raises(ShapeError, match=r"expected bias of shape \(4,\), got \(3,\)"):
        F.convolution(x, weight, ones(3))
    with pytest.raises(ShapeError, match=r"at least as large as the kernel, which spans \(5, 5\), got \(4, 4\)"):
        F.convolution(x, weight, dilation=2)
    with pytest.raises(ArgumentError, match="expected groups to divide the number of output channels, got 3 and 4"):
        F.convolution(x, weight, groups=3)
    with pytest.raises(ArgumentError, match="expected groups to divide the number of input channels, got 3 and 4"):
        F.transposed_convolution(x, weight, groups=3)
    with pytest.raises(ArgumentError, match="expected groups to be an integer of at least 1, got 0"):
        F.convolution(x, weight, groups=0)
    with pytest.raises(DTypeError, match="expected input of a floating-point dtype, got int64"):
        F.convolution(xp.asarray(np.ones((1, 2, 4, 4)), "int64"), weight)
    with pytest.raises(DTypeError, match="expected input of dtype float64, as weight, got float32"):
        F.convolution(xp.asarray(np.ones((1, 2, 4, 4)), "float32"), xp.asarray(np.ones((4, 2, 3, 3)), "float64"))


def test_half_precision_adds_up_in_single():
    x, weight = np.ones((1, 1, 4096), np.float16), np.full((1, 1, 4096), 0.25, np.float16)
    y, pullback = nnx.vjp(F.convolution, x, weight)
    assert y.dtype == np.float16
    assert y == 1024.0
    assert all(part.dtype == np.float16 for part in pullback(y))


def test_what_nobody_wants_is_not_computed():
    x, weight = np.ones((1, 1, 4)), np.ones((1, 1, 2))
    for function in (F.convolution, F.transposed_convolution):
        y, pullback = function.rule((False, True, False), x, weight, None)
        assert [part is None for part in pullback(y)] == [True, False, True]
        y, pullback = function.rule((True, False, False), x, weight, None)
        assert [part is None for part in pullback(y)] == [False, True, True]

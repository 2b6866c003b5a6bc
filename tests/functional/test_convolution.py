import weakref

import numpy as np
import pytest
from fitting import convolutions
from hypothesis import given, settings
from hypothesis import strategies as st

import nnx
from nnx import functional as F
from nnx.autodiff.primitives import as_wanted
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


def by_torch(torch, x, weight, bias, case):
    """Return PyTorch's output and gradients for one random cotangent, which comes first."""
    pads = windows(x.shape[2:], weight.shape[2:], case.stride, case.padding, case.dilation).padding
    convolve = getattr(torch.nn.functional, f"conv{x.ndim - 2}d")
    leaves = [torch.asarray(a).requires_grad_() for a in (x, weight, bias)]
    padded = torch.nn.functional.pad(leaves[0], [width for pair in reversed(pads) for width in pair])
    y = convolve(padded, *leaves[1:], stride=case.stride, dilation=case.dilation, groups=case.groups)
    g = np.random.default_rng(1).normal(size=tuple(y.shape))
    return g, y.detach().numpy(), *(part.numpy() for part in torch.autograd.grad(y, leaves, torch.asarray(g)))


@settings(max_examples=40, deadline=None)
@given(convolutions(), st.booleans())
def test_both_are_as_in_pytorch(case, last):
    """The transpose is held to the same numbers, since it is the derivative of the convolution."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rng = np.random.default_rng(0)
    x, weight, bias = rng.normal(size=case.x), rng.normal(size=case.weight), rng.normal(size=case.weight[0])
    g, y, to_x, to_weight, to_bias = by_torch(torch, x, weight, bias, case)
    without_bias = y - bias.reshape(-1, *[1] * (x.ndim - 2))
    if last:
        x, g, y, to_x, without_bias = (np.moveaxis(a, 1, -1) for a in (x, g, y, to_x, without_bias))
    options = {**case.options, "layout": "NHWC" if last else "NCHW"}
    close = {"rtol": 1e-10, "atol": 1e-12}

    found, pullback = nnx.vjp(lambda *args: F.convolution(*args, **options), x, weight, bias)
    assert_close((found, pullback(g)), (y, (to_x, to_weight, to_bias)), **close)
    if case.padding != "same":  # with "same" the transpose enlarges to size * stride, which may be more than x
        extra = {"output_padding": left_over(case)}
        found, pullback = nnx.vjp(lambda *args: F.transposed_convolution(*args, **options, **extra), g, weight)
        assert_close((found, pullback(x)), (to_x, (without_bias, to_weight)), **close)


def left_over(case):
    """Return how many elements at the end of each axis are in no window."""
    by_axis = zip(case.x[2:], case.padding, case.weight[2:], case.dilation, case.stride, strict=True)
    return tuple((size + sum(pair) - d * (k - 1) - 1) % s for size, pair, k, d, s in by_axis)


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
    with pytest.raises(ArgumentError, match=r"expected integers, got array\(\[1, 2\]\); write them as a tuple"):
        F.convolution(x, weight, stride=np.asarray([1, 2]))
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


@pytest.mark.parametrize("function", [F.convolution, F.transposed_convolution])
@pytest.mark.parametrize("tier", ["portable", "native"])
def test_what_nobody_wants_is_neither_computed_nor_kept(function, tier):
    for wanted in ((False, True, False), (True, False, False)):
        x, weight = np.ones((1, 1, 4)), np.ones((1, 1, 2))
        with nnx.use_kernels(tier):
            _, pullback, _ = function.run_rule(as_wanted(wanted), (x, weight, None), {})
        kept = [weakref.ref(x), weakref.ref(weight)]
        del x, weight
        assert [reference() is None for reference in kept] == list(wanted[:2])
        assert [part is not None for part in pullback(np.ones((1, 1, 3 if function is F.convolution else 5)))] == list(
            wanted
        )

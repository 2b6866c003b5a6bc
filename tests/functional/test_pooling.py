"""Pooling: ties, NaN, infinities, what is kept, messages, and PyTorch on drawn shapes and options."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.testing import assert_close

NAN, INF = float("nan"), float("inf")


@st.composite
def problems(draw):
    """Draw the shape of x and the options of max pooling; some windows overlap, some leave elements out."""
    count = draw(st.integers(1, 3))

    def axes(least, most):
        return tuple(draw(st.integers(least, most)) for _ in range(count))

    kernel, dilation = axes(1, 3), axes(1, 2)
    stride = draw(st.one_of(st.none(), st.just(axes(1, 4))))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    least = [max(d, n - 2 * p) for d, n, p in zip(dilation, spans, padding, strict=True)]
    sizes = tuple(n + draw(st.integers(0, 4)) for n in least)
    options = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": draw(st.booleans())}
    return (draw(st.integers(0, 2)), draw(st.integers(1, 2)), *sizes), options, dilation, draw(st.booleans())


def compare(function, by_torch, x, last, **options):
    """Hold a function and its gradient to those of PyTorch, with channels first or last."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    leaf = torch.asarray(x).requires_grad_()
    expected = getattr(torch.nn.functional, by_torch)(leaf, **options)
    g = np.random.default_rng(1).normal(size=tuple(expected.shape))
    (gradient,) = torch.autograd.grad(expected, leaf, torch.asarray(g))

    def moved(a):
        return np.moveaxis(a, 1, -1) if last else a

    layout = "NHWC" if last else "NCHW"
    for tier in ("portable", "native"):
        with nnx.use_kernels(tier):
            y, pullback = nnx.vjp(lambda x: function(x, **options, layout=layout), moved(x))
            assert_close(y, moved(expected.detach().numpy()), rtol=1e-10, atol=1e-12)
            assert_close(pullback(moved(g))[0], moved(gradient.numpy()), rtol=1e-10, atol=1e-12)


@settings(max_examples=25, deadline=None)
@given(problems(), st.booleans())
def test_windows_as_in_pytorch(problem, count_include_pad):
    shape, options, dilation, last = problem
    rng, count = np.random.default_rng(0), len(dilation)
    ties = rng.integers(0, 3, size=shape).astype(float)
    compare(F.max_pool, f"max_pool{count}d", ties, last, **options, dilation=dilation)
    if all(k <= n for k, n in zip(options["kernel_size"], shape[2:], strict=True)):  # PyTorch asks for it in 3d
        options["stride"] = options["stride"] or options["kernel_size"]
        x = rng.normal(size=shape)
        compare(F.average_pool, f"avg_pool{count}d", x, last, **options, count_include_pad=count_include_pad)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=3), st.data(), st.booleans())
def test_adaptive_windows_as_in_pytorch(sizes, data, last):
    counts = tuple(data.draw(st.integers(1, 7)) for _ in sizes)
    shape = (data.draw(st.integers(0, 2)), data.draw(st.integers(1, 2)), *sizes)
    x = np.random.default_rng(0).integers(0, 3, size=shape).astype(float)
    compare(F.adaptive_max_pool, f"adaptive_max_pool{len(sizes)}d", x, last, output_size=counts)
    compare(F.adaptive_average_pool, f"adaptive_avg_pool{len(sizes)}d", x, last, output_size=counts)


@pytest.mark.parametrize("tier", ["portable", "native"])
class TestMaximum:
    def gradient(self, xp, x, **options):
        y, pullback = nnx.vjp(lambda x: F.max_pool(x, **options), xp.asarray(x))
        return y, pullback(nnx.namespace(y).ones_like(y))[0]

    def test_a_tie_goes_to_the_first_of_the_window(self, xp, tier):
        x = [[[[0.0, 0.0, 5.0], [0.0, 5.0, 5.0]]]]
        with nnx.use_kernels(tier):
            y, gradient = self.gradient(xp, x, kernel_size=2, stride=1)
        assert_close(y, xp.asarray([[[[5.0, 5.0]]]]))
        assert_close(gradient, xp.asarray([[[[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]]]))

    def test_nan_is_passed_on(self, xp, tier):
        with nnx.use_kernels(tier):
            y, gradient = self.gradient(xp, [[[1.0, NAN, 2.0, 3.0, INF, NAN]]], kernel_size=2)
        assert_close(y, xp.asarray([[[NAN, 3.0, NAN]]]), equal_nan=True)
        assert_close(gradient, xp.asarray([[[0.0, 1.0, 0.0, 1.0, 0.0, 1.0]]]))

    def test_the_padding_is_never_the_maximum(self, xp, tier):
        with nnx.use_kernels(tier):
            y, gradient = self.gradient(xp, [[[-INF, -INF, -1.0]]], kernel_size=3, stride=1, padding=1)
        assert_close(y, xp.asarray([[[-INF, -1.0, -1.0]]]))
        assert_close(gradient, xp.asarray([[[1.0, 0.0, 2.0]]]))


def test_infinities_stay_in_their_windows(xp):
    x = xp.asarray([[[INF, 1.0, 2.0, 3.0, 4.0]]])
    assert_close(F.average_pool(x, kernel_size=3, stride=1, padding=1), xp.asarray([[[INF, INF, 2.0, 3.0, 7.0 / 3]]]))
    assert_close(F.adaptive_average_pool(x, output_size=3), xp.asarray([[[INF, 2.0, 3.5]]]))


def test_the_number_of_a_maximum_takes_a_byte():
    """What is kept for the pullback is nothing else."""
    x = np.random.default_rng(0).normal(size=(2, 3, 8, 8))
    with nnx.use_kernels("portable"):
        _, pullback = F.max_pool.rule((1,), x, kernel_size=2)
    kept = [cell.cell_contents for cell in pullback.__closure__ if isinstance(cell.cell_contents, np.ndarray)]
    assert [(a.dtype, a.shape) for a in kept] == [(np.dtype("uint8"), (2, 3, 4, 4))]


def test_a_window_of_one_element_is_a_copy():
    x = np.ones((1, 1, 3))
    for y in (F.max_pool(x, kernel_size=1), F.average_pool(x, kernel_size=1), F.adaptive_max_pool(x, output_size=None)):
        assert not np.shares_memory(x, y)
        assert_close(y, x)


def test_half_precision_is_added_up_in_float32():
    x = np.full((1, 1, 4096), 1.0, np.float16)
    assert_close(F.global_average_pool(x), np.ones((1, 1), np.float16))
    assert_close(F.average_pool(65504.0 * x[..., :4], kernel_size=4), np.full((1, 1, 1), 65504.0, np.float16))


@pytest.mark.parametrize("function", [F.max_pool, F.average_pool])
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"kernel_size": 0}, ArgumentError, "expected kernel_size to be an integer of at least 1, got 0"),
        ({"kernel_size": (2, 2, 2)}, ArgumentError, "expected kernel_size to be one integer or 2"),
        ({"kernel_size": 2, "stride": 0}, ArgumentError, "expected stride to be an integer of at least 1, got 0"),
        ({"kernel_size": 7}, ShapeError, "expected a padded input at least as large as the kernel"),
        ({"kernel_size": 2, "padding": 2}, ShapeError, "window to hold an element of the input.*less padding"),
        ({"kernel_size": 2, "layout": "NWC"}, ArgumentError, "expected layout to be 'NCHW' or 'NHWC', got 'NWC'"),
    ],
)
def test_options_that_do_not_fit(function, options, error, message):
    with pytest.raises(error, match=message):
        function(np.ones((1, 1, 4, 4)), **options)


@pytest.mark.parametrize("function", [F.adaptive_max_pool, F.adaptive_average_pool])
def test_output_sizes_that_do_not_fit(function):
    with pytest.raises(ArgumentError, match=r"output_size to be one integer or 2, .*, got \(1, 2, 3\)"):
        function(np.ones((1, 1, 4, 4)), output_size=(1, 2, 3))
    with pytest.raises(ArgumentError, match="expected output_size to be an integer of at least 1, got 0"):
        function(np.ones((1, 1, 4, 4)), output_size=0)
    with pytest.raises(
        ShapeError, match=r"expected spatial axes that are not empty, got an input of shape \(1, 1, 0\)"
    ):
        function(np.ones((1, 1, 0)), output_size=1)


@pytest.mark.parametrize("function", [F.global_max_pool, F.global_average_pool])
def test_integers_and_no_arrays(function):
    with pytest.raises(DTypeError, match="expected input of a floating-point dtype, got int64"):
        function(np.ones((1, 1, 4), np.int64))
    with pytest.raises(DTypeError, match="expected an array, got list"):
        function([[[1.0]]])

"""Shape arithmetic of windows against counting them one by one."""

import itertools

import numpy as np
import pytest

from nnx.errors import ArgumentError, ShapeError
from nnx.functional.spatial import Axes, axes_of, expect_spatial, per_axis, transposed_windows, windows

OPTIONS = list(itertools.product(range(1, 8), range(1, 4), range(1, 4), range(1, 3), range(3), range(3)))


def starts(size, kernel, stride, dilation, before, after, ceil_mode):
    """Count the windows one by one: those that fit and, with ceil_mode, one that only starts in time."""
    reach, end = dilation * (kernel - 1) + 1, size + before + after
    found = [start for start in range(0, end, stride) if start + reach <= end]
    start = found[-1] + stride if found else 0
    left_over = found[-1] + reach < end if found else reach - stride < end
    return [*found, start] if ceil_mode and left_over and start < size + before else found


@pytest.mark.parametrize("ceil_mode", [False, True])
def test_windows_are_those_that_brute_force_finds(ceil_mode):
    for size, kernel, stride, dilation, before, after in OPTIONS:
        expected = starts(size, kernel, stride, dilation, before, after, ceil_mode)
        arguments = ((size,), kernel, stride, [(before, after)], dilation)
        if not expected:
            with pytest.raises(ShapeError, match="expected a padded input at least as large as the kernel"):
                windows(*arguments, ceil_mode=ceil_mode)
            continue
        found = windows(*arguments, ceil_mode=ceil_mode)
        assert found.output == (len(expected),)
        (left, right) = found.cover[0]
        line = np.pad(np.arange(size), (left, max(right, 0)), constant_values=-1)[: size + left + right]
        for tap, (where,) in enumerate(found.taps()):
            assert line[where].tolist() == [
                position if 0 <= (position := start - before + tap * dilation) < size else -1 for start in expected
            ]


def test_same_gives_a_window_for_each_stride_and_pads_as_little_as_possible():
    for size, kernel, stride, dilation in itertools.product(range(1, 9), range(1, 6), range(1, 5), range(1, 3)):
        found = windows((size,), kernel, stride, "same", dilation)
        (before, after) = found.padding[0]
        assert found.output == (len(range(0, size, stride)),)
        assert after - before in (0, 1)
        if before + after:
            assert windows((size,), kernel, stride, [(before, after)], dilation).output == found.output
            last = (found.output[0] - 1) * stride + dilation * (kernel - 1) + 1
            assert last == size + before + after


def test_transposed_windows_go_from_the_output_of_a_convolution_to_its_input():
    for size, kernel, stride, dilation, before, after in OPTIONS:
        padding = [(before, after)]
        try:
            forward = windows((size,), kernel, stride, padding, dilation)
        except ShapeError:
            continue
        (left_over,) = [size - n for n in transposed_sizes(forward.output, kernel, stride, padding, dilation)]
        again = transposed_windows(forward.output, kernel, stride, padding, dilation, left_over)
        assert again == forward


def transposed_sizes(output, kernel, stride, padding, dilation):
    try:
        return transposed_windows(output, kernel, stride, padding, dilation).sizes
    except ShapeError:  # nothing left without output padding
        (n,), ((before, after),) = output, padding
        return ((n - 1) * stride - before - after + dilation * (kernel - 1) + 1,)


def test_ways_to_write_the_options():
    square = windows((5, 6), (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1))
    assert windows((5, 6), 3, 1, 1, 1) == windows([5, 6], [3, 3], 1, [1, [1, 1]]) == square
    assert windows((5, 6), 3, padding="same") == square
    assert windows((5,), 3, padding="valid") == windows((5,), 3)
    assert windows((5, 6), np.int64(3), padding=(0, 2)).padding == ((0, 0), (2, 2))
    assert transposed_windows((2, 3), 3, 2, "same").sizes == (4, 6)
    assert transposed_windows((2,), 3, 2, 1, 1, 1).sizes == (4,)
    assert per_axis(2, "stride", 3) == (2, 2, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "expected stride to be an integer of at least 1, got 0"),
        ({"stride": True}, "expected stride to be an integer of at least 1, got True"),
        ({"dilation": (1, 0)}, "expected each dilation to be an integer of at least 1, got 0"),
        ({"stride": (1, 2, 3)}, r"expected stride to be one integer or 2, one for each spatial axis, got \(1, 2, 3\)"),
        ({"padding": -1}, "expected padding to be an integer of at least 0, got -1"),
        (
            {"padding": "full"},
            "expected padding to be 'valid', 'same', an integer, or 2 integers or pairs .* got 'full'",
        ),
        ({"padding": (1, 2, 3)}, r"expected padding to be 'valid', .* one for each spatial axis, got \(1, 2, 3\)"),
        ({"padding": (1, (1, 2, 3))}, "expected padding to be 'valid', 'same', an integer, or 2 integers or pairs"),
    ],
)
def test_options_that_say_nothing(options, message):
    with pytest.raises(ArgumentError, match=message):
        windows((5, 5), 3, **options)


def test_a_kernel_larger_than_the_padded_input():
    with pytest.raises(
        ShapeError,
        match=r"at least as large as the kernel, which spans \(5, 9\), got \(6, 8\) from an input of \(4, 6\)",
    ):
        windows((4, 6), 5, 1, 1, (1, 2))
    with pytest.raises(ShapeError, match="expected a padded input"):
        windows((0, 6), 3, padding="same")


def test_output_padding():
    with pytest.raises(ArgumentError, match=r"expected output_padding smaller than the stride \(2,\) or the dilation"):
        transposed_windows((4,), 3, 2, 0, 1, 2)
    with pytest.raises(ArgumentError, match="expected output_padding 0 with padding 'same', got 1"):
        transposed_windows((4,), 3, 2, "same", 1, 1)
    with pytest.raises(
        ShapeError, match=r"expected an input whose output has elements, got \(1,\), which gives \(-1,\)"
    ):
        transposed_windows((1,), 1, 1, 1)


def test_layouts():
    assert axes_of("NCHW", 2) == axes_of("NCHW", 2) == Axes(1, (2, 3))
    assert axes_of("NCW", 1) == axes_of("NCHW", 1) == Axes(1, (2,))
    assert axes_of("NDHWC", 3) == axes_of("NHWC", 3) == Axes(4, (1, 2, 3))
    assert axes_of("NWC", 1).last
    assert not axes_of("NCDHW", 3).last
    with pytest.raises(ArgumentError, match="expected layout to be 'NCHW' or 'NHWC', got 'NCW'"):
        axes_of("NCW", 2)
    with pytest.raises(ArgumentError, match="expected layout to be 'NCW' or 'NWC' or 'NCHW' or 'NHWC', got 'CHW'"):
        axes_of("CHW", 1)


def test_inputs_with_other_axes():
    assert expect_spatial(np.ones((2, 3, 4, 5)), "NCHW", 2, 3) == Axes(1, (2, 3))
    with pytest.raises(ShapeError, match=r"expected input of shape \(batch, height, width, 3\), got \(2, 3, 4, 5\)"):
        expect_spatial(np.ones((2, 3, 4, 5)), "NHWC", 2, 3)
    with pytest.raises(ShapeError, match=r"expected input of shape \(batch, channels, width\), got \(2, 3\)"):
        expect_spatial(np.ones((2, 3)), "NCW", 1)

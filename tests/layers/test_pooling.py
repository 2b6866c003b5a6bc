import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, ShapeError
from nnx.testing import assert_close


def test_options_reach_the_function():
    x = np.arange(2.0 * 5 * 4 * 3).reshape(2, 5, 4, 3)
    options = {"kernel_size": (2, 3), "stride": 1, "padding": (0, 1), "ceil_mode": True, "layout": "NHWC"}
    most = nnx.MaxPool2d((2, 3), stride=1, padding=(0, 1), dilation=(2, 1), ceil_mode=True, layout="NHWC")
    assert_close(most(x), nnx.functional.max_pool(x, **options, dilation=(2, 1)))
    mean = nnx.AvgPool2d(**options, count_include_pad=False)
    assert_close(mean(x), nnx.functional.average_pool(x, **options, count_include_pad=False))
    assert_close(
        nnx.AdaptiveMaxPool2d((None, 2), layout="NHWC")(x)[..., 0, :],
        nnx.MaxPool2d((1, 2), layout="NHWC")(x)[..., 0, :],
    )
    assert_close(nnx.GlobalMaxPool(layout="NHWC")(x), x.max(axis=(1, 2)))


@pytest.mark.parametrize("kind", [nnx.MaxPool2d, nnx.AvgPool2d])
def test_options_are_checked_when_the_layer_is_made(kind):
    with pytest.raises(ArgumentError, match="expected kernel_size to be one integer or 2"):
        kind((2, 2, 2))
    with pytest.raises(ArgumentError, match="expected stride to be an integer of at least 1, got 0"):
        kind(2, stride=0)
    with pytest.raises(ArgumentError, match="expected padding to be"):
        kind(2, padding="full")
    with pytest.raises(ArgumentError, match="expected layout to be 'NCHW' or 'NHWC', got 'NCDHW'"):
        kind(2, layout="NCDHW")


def test_output_sizes_are_checked_when_the_layer_is_made():
    with pytest.raises(ArgumentError, match=r"expected output_size to be one integer or 1, .*, got \(1, 2\)"):
        nnx.AdaptiveAvgPool1d((1, 2))


def test_the_error_of_a_call_names_the_layer():
    model = nnx.Model([nnx.MaxPool2d(2), nnx.MaxPool2d(2)])
    with pytest.raises(ShapeError, match=r"^MaxPool2d '1': expected a padded input at least as large as the kernel"):
        model(np.ones((1, 1, 2, 2)))

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, ShapeError
from nnx.testing import assert_close

LAYERS = {
    1: (nnx.Conv1d, nnx.ConvTranspose1d),
    2: (nnx.Conv2d, nnx.ConvTranspose2d),
    3: (nnx.Conv3d, nnx.ConvTranspose3d),
}


@pytest.mark.parametrize("count", LAYERS)
def test_shapes_of_the_parameters(count):
    plain, transposed = LAYERS[count]
    assert plain(4, 6, 3, groups=2).weight.shape == (6, 2) + (3,) * count
    assert transposed(4, 6, 3, groups=2).weight.shape == (4, 3) + (3,) * count
    for kind in LAYERS[count]:
        assert kind(4, 6, 3).bias.shape == (6,)
        assert kind(4, 6, 3, bias=False).bias is None


@pytest.mark.parametrize("kind", LAYERS[2])
def test_initial_values_are_he_normal(kind):
    layer = kind(32, 64, 5, groups=2, rng=0, dtype="float64")
    assert abs(layer.weight.std() - np.sqrt(2 / (16 * 25))) < 1e-3
    assert_close(layer.bias, np.zeros(64))


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("kind", LAYERS[2])
def test_channels_from_the_first_input(xp, kind, layout):
    shape = (2, 4, 5, 5) if layout == "NCHW" else (2, 5, 5, 4)
    x = xp.asarray(np.ones(shape))
    model = nnx.Model([kind(None, 6, 3, groups=2, bias=False, layout=layout, rng=0)])
    found = model(x)
    with nnx.use_backend(xp.spec):
        expected = kind(4, 6, 3, groups=2, bias=False, layout=layout, rng=0)
    assert_close(model[0].weight, expected.weight, rtol=0.0)
    assert_close(found, expected(x))
    assert repr(model[0]) == repr(expected)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_channels_from_one_example(layout):
    layer = nnx.Conv2d(None, 3, 2, layout=layout)
    layer(np.ones((4, 5, 6), np.float32))
    assert layer.in_channels == (4 if layout == "NCHW" else 6)
    with pytest.raises(ShapeError, match=r"expected input of shape \(batch, channels, height, width\), got \(5, 6\)"):
        nnx.Conv2d(None, 3, 2)(np.ones((5, 6), np.float32))


def test_layouts_have_the_same_weight_and_numbers(xp):
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 4))
    with nnx.use_backend(xp.spec):
        first, last = (nnx.Conv2d(3, 4, 3, padding="same", layout=name, rng=0) for name in ("NCHW", "NHWC"))
    assert_close(first.weight, last.weight, rtol=0.0)
    turned = last(xp.asarray(np.moveaxis(x, 1, -1)))
    assert_close(nnx.namespace(turned).permute_dims(turned, (0, 3, 1, 2)), first(xp.asarray(x)), rtol=1e-5)


def test_arguments_that_do_not_fit():
    with pytest.raises(ArgumentError, match="expected groups to divide out_channels, got 2 groups of 3 channels"):
        nnx.Conv2d(4, 3, 1, groups=2)
    with pytest.raises(ArgumentError, match="expected groups to divide in_channels, got 2 groups of 3 channels"):
        nnx.ConvTranspose2d(3, 4, 1, groups=2)
    with pytest.raises(ArgumentError, match="expected kernel_size to be one integer or 2, one for each spatial axis"):
        nnx.Conv2d(3, 4, (1, 2, 3))
    with pytest.raises(ArgumentError, match="expected padding to be 'valid', 'same', an integer, or 1 integers"):
        nnx.Conv1d(3, 4, 1, padding="full")
    with pytest.raises(ArgumentError, match="expected out_channels to be an integer of at least 1, got 0"):
        nnx.Conv1d(3, 0, 1)
    with pytest.raises(ArgumentError, match="expected in_channels to be an integer of at least 1, got 0"):
        nnx.Conv1d(0, 1, 1)
    with pytest.raises(ArgumentError, match=r"expected output_padding smaller than the stride \(2,\) or the dilation"):
        nnx.ConvTranspose1d(3, 4, 1, stride=2, output_padding=2)
    with pytest.raises(ArgumentError, match="expected layout to be 'NCHW' or 'NHWC', got 'CHWN'"):
        nnx.Conv2d(3, 4, 1, layout="CHWN")


def test_inputs_that_do_not_fit():
    model = nnx.Model([nnx.Conv2d(2, 4, 5, padding=1, rng=0)])
    with pytest.raises(
        ShapeError, match=r"Conv2d '0': expected input of shape \(batch, 2, height, width\), got \(1, 3"
    ):
        model(np.ones((1, 3, 8, 8), np.float32))
    with pytest.raises(ShapeError, match=r"Conv2d '0': expected a padded input at least as large .* got \(10, 4\)"):
        model(np.ones((1, 2, 8, 2), np.float32))
    layer = nnx.Conv2d(None, 4, 1, groups=2)
    with pytest.raises(ArgumentError, match="expected groups to divide in_channels, got 2 groups of 3 channels"):
        layer(np.ones((1, 3, 8, 8), np.float32))
    assert layer.in_channels is None
    assert not layer.is_settled


def test_an_empty_batch():
    layer = nnx.Conv2d(2, 4, 3, rng=0)
    assert layer(np.ones((0, 2, 5, 5), np.float32)).shape == (0, 4, 3, 3)
    assert layer.backward(np.ones((0, 4, 3, 3), np.float32)).shape == (0, 2, 5, 5)
    assert_close(layer.gradients()["weight"], np.zeros((4, 2, 3, 3), np.float32))


@pytest.mark.parametrize("make", [nnx.Conv2d, nnx.ConvTranspose2d])
def test_one_example_without_a_batch_axis(make):
    layer, x = make(2, 3, 2, rng=0), np.random.default_rng(0).normal(size=(2, 4, 5)).astype("float32")
    whole = layer(x[None])
    gradient = layer.backward(np.ones_like(whole))
    assert_close(layer(x), whole[0])
    assert_close(layer.backward(np.ones_like(whole[0])), gradient[0])
    with pytest.raises(ShapeError, match=r"expected .* got \(1, 3, 4, 5\), as a batch of one example \(3, 4, 5\)$"):
        layer(np.ones((3, 4, 5), np.float32))

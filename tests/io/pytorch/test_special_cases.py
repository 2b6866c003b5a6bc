"""What PyTorch's samples do not show: dropout of attention, interpolation, and what nnx refuses."""

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError
from nnx.testing import assert_close

torch = pytest.importorskip("torch", reason="torch is not installed")


def test_dropout_of_the_weights():
    model = nnx.io.from_torch(torch.nn.MultiheadAttention(4, 2, dropout=0.5, batch_first=True))
    x = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    _, weights = model(x, x, x, average_attn_weights=False)
    assert 0.2 < np.mean(weights == 0) < 0.8
    _, again = model(x, x, x, average_attn_weights=False)
    assert np.any(weights != again)
    _, whole = model.eval()(x, x, x, average_attn_weights=False)
    assert_close(whole.sum(axis=-1), np.ones((2, 2, 5), "float32"), rtol=1e-5)
    output, none = model(x, x, x, need_weights=False)
    assert none is None
    assert_close(output, model(x, x, x)[0], rtol=1e-5, atol=1e-6)


def test_numbers_as_mask_of_a_memory():
    model = nnx.io.from_torch(torch.nn.TransformerDecoderLayer(4, 2, 8))
    x, mask = np.ones((3, 2, 4), "float32"), np.zeros((3, 3), "float32")
    with pytest.raises(ArgumentError, match="expected boolean masks of the memory, got numbers; make one of them"):
        model(x, x, memory_mask=mask)


def test_an_unknown_activation():
    layer = torch.nn.TransformerEncoderLayer(4, 2, 8, activation=torch.tanh)
    with pytest.raises(ArgumentError, match="expected relu, gelu or a module as activation, got"):
        nnx.io.from_torch(layer)


@pytest.mark.parametrize("make", [torch.nn.TransformerEncoderLayer, torch.nn.TransformerDecoderLayer])
@pytest.mark.parametrize(
    ("name", "attribute", "value", "match"),
    [
        ("norm2", "eps", 1.0, r"eps of \[1.0, 1e-05\]"),
        ("dropout1", "p", 0.5, r"dropout of \[0.1, 0.5\]"),
        ("self_attn", "dropout", 0.5, r"dropout of \[0.1, 0.5\]"),
        ("norm1", None, torch.nn.RMSNorm(4), "norm1 of RMSNorm"),
        ("linear1", None, torch.nn.Identity(), "linear1 of Identity"),
    ],
)
def test_a_changed_part_of_a_transformer(make, name, attribute, value, match):
    layer = make(4, 2, 8)
    nnx.io.from_torch(layer)
    if attribute is None:
        setattr(layer, name, value)
    else:
        setattr(getattr(layer, name), attribute, value)
    with pytest.raises(ArgumentError, match="expected the parts that its constructor makes, got " + match):
        nnx.io.from_torch(torch.nn.Sequential(layer))


def test_weight_normalization_along_another_axis():
    layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(3, 4), dim=1)
    with pytest.raises(ArgumentError, match="expected weight normalization along dim=0, got dim=1"):
        nnx.io.from_torch(layer)
    layer = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(3, 4), dim=1)
    with pytest.raises(ArgumentError, match="expected spectral normalization along the outputs, got dim=1"):
        nnx.io.from_torch(layer)
    layer = torch.nn.utils.parametrizations.orthogonal(torch.nn.Linear(3, 3))
    with pytest.raises(ArgumentError, match="expected weight or spectral normalization of the weight of a layer, got"):
        nnx.io.from_torch(layer)


def test_a_mode_of_interpolation_that_nnx_does_not_have():
    with pytest.raises(ArgumentError, match=r"torch.nn.Upsample: expected a mode of nearest, .*, got 'bicubic'"):
        nnx.io.from_torch(torch.nn.Upsample(scale_factor=2, mode="bicubic"))


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_interpolation(mode):
    original = torch.nn.Upsample(scale_factor=2, mode=mode)
    x = torch.randn(2, 3, 4, 5)
    assert_close(nnx.io.from_torch(original)(x.numpy()), original(x).numpy(), rtol=1e-5, atol=1e-6)
    shuffled = torch.nn.PixelUnshuffle(2)(x[:, :, :, :4])
    assert_close(nnx.io.from_torch(torch.nn.PixelUnshuffle(2))(x[:, :, :, :4].numpy()), shuffled.numpy())
    assert_close(nnx.io.from_torch(torch.nn.PixelShuffle(2))(shuffled.numpy()), x[:, :, :, :4].numpy())

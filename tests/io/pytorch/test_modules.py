"""A module of nnx for a module of PyTorch: outputs and gradients agree."""

from collections import OrderedDict

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError
from nnx.testing import assert_close

torch = pytest.importorskip("torch", reason="torch is not installed")
nn = torch.nn


def test_nested_and_shared_modules(xp):
    shared = nn.Linear(3, 3)
    original = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Sequential(shared, nn.Sigmoid()), shared).double()
    with nnx.use_backend(xp.spec):
        model = nnx.io.from_torch(original)
    assert model[2][0] is model[3]
    assert repr(model).startswith("Sequential(\n  (0): Linear(")
    assert model.config()["layers"][0]["type"] == "Linear"
    x = torch.randn(4, 2, dtype=torch.float64)
    assert_close(nnx.to_numpy(model(xp.asarray(x.numpy(), "float64"))), nnx.to_numpy(original(x)))
    state = nnx.io.to_torch_state_dict(model)
    original.load_state_dict(state)
    assert state.keys() == original.state_dict().keys()


def test_mode_is_kept():
    original = nn.Sequential(nn.ReLU(), nn.ReLU()).eval()
    original[0].train()
    model = nnx.io.from_torch(original)
    assert (model.training, model[0].training, model[1].training) == (False, True, False)


def test_parameters_that_are_not_trained_are_frozen():
    original = nn.Sequential(nn.Linear(2, 3), nn.LSTM(3, 2))
    original[0].weight.requires_grad_(False)
    original[1].weight_hh_l0.requires_grad_(False)
    trained = nnx.io.from_torch(original).trainable_parameters()
    assert "0.weight" not in trained
    assert "0.bias" in trained
    assert len(trained) == len(original.state_dict()) - 2


class Doubled(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(2, 2)


class OurDoubled(nnx.Module):
    def __init__(self, inner):
        self.inner = inner

    def forward(self, x):
        return 2 * self.inner(x)


def test_own_classes():
    original = nn.Sequential(Doubled())
    message = r"expected a module of torch.nn that nnx has too, got .*\.Doubled; pass a function .*also=\{Doubled"
    with pytest.raises(ArgumentError, match=message):
        nnx.io.from_torch(original)
    model = nnx.io.from_torch(original, also={Doubled: lambda module, convert: OurDoubled(convert(module.inner))})
    assert_close(model[0].inner.weight, original[0].inner.weight.detach().numpy().T)


def test_lists_and_dicts_of_modules():
    original = nn.ModuleDict({"a": nn.Linear(2, 3), "b": nn.ModuleList([nn.Linear(3, 1)])})
    model = nnx.io.from_torch(original)
    assert list(nnx.io.to_torch_state_dict(model)) == list(original.state_dict())
    assert_close(model["b"][0].weight, original["b"][0].weight.detach().numpy().T)


@pytest.mark.parametrize(
    ("original", "match"),
    [
        (nn.Softmax(), "torch.nn.Softmax: expected an axis as dim, got None; name it"),
        (
            nn.Conv2d(1, 1, 3, padding_mode="reflect"),
            "torch.nn.Conv2d: expected padding_mode='zeros', all that nnx has",
        ),
        (nn.Embedding(3, 2, max_norm=1.0), "torch.nn.Embedding: expected max_norm=None, all that nnx has, got 1.0"),
    ],
)
def test_options_that_nnx_does_not_have(original, match):
    with pytest.raises(ArgumentError, match=match):
        nnx.io.from_torch(original)


@pytest.mark.parametrize("make", ["register_forward_hook", "register_forward_pre_hook", "forward"])
def test_hooks_are_refused(make):
    layer = nn.Linear(2, 2)
    if make == "forward":
        layer.forward = torch.relu
    else:
        getattr(layer, make)(lambda *args: None)
    with pytest.raises(ArgumentError, match=r"without hooks, which nnx would not run, got .*forward.* of Linear '1.0'"):
        nnx.io.from_torch(nn.Sequential(nn.ReLU(), nn.Sequential(layer)))
    nnx.io.from_torch(nn.Sequential(layer), also={nn.Linear: lambda module, convert: nnx.Linear(2, 2)})


def gradients_of(model, original, x):
    """Return the gradients of a model of nnx and of PyTorch, by PyTorch's names."""
    output = original(torch.as_tensor(x))
    (output**2).sum().backward()
    found = nnx.grad(lambda model: nnx.functional.mse(model(x), 0 * x, reduction="sum"))(model)
    expected = {name: parameter.grad.numpy() for name, parameter in original.named_parameters()}
    found = nnx.to_numpy(nnx.io.to_torch_state_dict(model, found))
    return {name: found[name] for name in expected}, expected


def test_a_parameter_in_two_layers_is_tied():
    original = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3), nn.Linear(3, 4), nn.Linear(4, 3)).double()
    original[3].weight = original[0].weight
    original[4].weight = original[2].weight
    original[4].weight.requires_grad_(False)
    model = nnx.io.from_torch(original)
    assert list(model.trainable_parameters()) == ["0.weight", "0.bias", "2.bias", "3.bias", "4.bias"]
    original[4].weight.requires_grad_(True)
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert_close(*gradients_of(nnx.unfreeze(model), original, x), rtol=1e-10)
    assert nnx.io.to_torch_state_dict(model).keys() == original.state_dict().keys()


def test_an_output_layer_with_the_weight_of_an_embedding():
    original = nn.Sequential(nn.Embedding(6, 4), nn.Linear(4, 6, bias=False)).double()
    original[1].weight = original[0].weight
    model = nnx.io.from_torch(original)
    assert list(model.parameters()) == ["0.weight"]
    tokens = torch.tensor([[0, 5], [3, 3]])
    assert_close(model(tokens.numpy()), original(tokens).detach().numpy(), rtol=1e-10)


def test_a_parameter_that_is_part_of_another_array():
    original = nn.Sequential(nn.MultiheadAttention(2, 1), nn.Linear(2, 6))
    original[1].weight = original[0].in_proj_weight
    with pytest.raises(ArgumentError, match=r"expected 1.weight not to share the parameter of 0.in_proj_weight"):
        nnx.io.from_torch(original)


def test_layers_with_names():
    shared = nn.Linear(4, 4)
    layers = OrderedDict(first=nn.Linear(3, 4), again=shared, act=nn.Tanh(), keys=nn.Sequential(shared))
    original = nn.Sequential(layers).double()
    model = nnx.io.from_torch(original)
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert_close(model(x), original(torch.as_tensor(x)).detach().numpy(), rtol=1e-10)
    state = nnx.io.to_torch_state_dict(model)
    assert list(state) == list(original.state_dict())
    original.load_state_dict(state)


def test_statistics_in_16_bits():
    original = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).half()
    original[1].running_mean += 2
    model = nnx.io.from_torch(original)
    assert_close(model[1].running_mean.value, np.full(4, 2, "float32"))
    assert str(model[1].weight.dtype) == "float16"


@pytest.mark.parametrize("normalize", ["weight_norm", "spectral_norm"])
@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.Linear(3, 4), (5, 3)),
        (lambda: nn.Conv2d(2, 3, 2, bias=False), (2, 2, 4, 5)),
        (lambda: nn.ConvTranspose1d(2, 3, 2), (2, 2, 4)),
    ],
    ids=["linear", "convolution", "transposed"],
)
def test_computed_weights(normalize, make, shape):
    torch.manual_seed(0)
    original = getattr(nn.utils.parametrizations, normalize)(make().double())
    model = nnx.io.from_torch(nn.Sequential(original))
    x = torch.randn(shape, dtype=torch.float64)
    expected = original(x)
    found, pullback = nnx.vjp(lambda model: model(x.numpy()), model)
    assert_close(found, expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    cotangent = torch.randn_like(expected)
    expected.backward(cotangent)
    gradients = nnx.io.to_torch_state_dict(model, pullback(cotangent.numpy())[0])
    for name, parameter in original.named_parameters():
        assert_close(gradients[f"0.{name}"].numpy(), parameter.grad.numpy(), rtol=1e-9, atol=1e-11)
    state = nnx.io.to_torch_state_dict(model)
    assert {name.removeprefix("0.") for name in state} == original.state_dict().keys()
    for name, value in original.state_dict().items():
        assert_close(state[f"0.{name}"].numpy(), value.numpy(), rtol=1e-10, atol=1e-12)

"""Weights from PyTorch's names and layouts, and back."""

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, CheckpointError
from nnx.testing import assert_close

WEIGHT = np.arange(6.0, dtype="float32").reshape(3, 2)  # PyTorch's: (out, in)
BIAS = np.ones(3, "float32")


class Tree(nnx.Module):
    """A tied, a shared and an own value."""

    def __init__(self):
        self.embedding = nnx.Linear(2, 3, bias=False)
        self.head = nnx.Linear(3, 2, bias=False)
        self.head.weight = nnx.Tied(self.embedding, "weight", transpose=True)
        self.again = self.embedding
        self.scale = nnx.Parameter(np.ones(2, "float32"))
        self.count = nnx.Buffer(3)


def state_of_tree(**changed):
    state = {"embedding.weight": WEIGHT, "head.weight": WEIGHT.T, "again.weight": WEIGHT}
    return state | {"scale": np.zeros(2, "float32"), "count": np.asarray(7)} | changed


def test_a_linear_layer_is_transposed(xp):
    with nnx.use_backend(xp.spec):
        model = nnx.Model([nnx.Linear(2, 3)])
    state = {"0.weight": xp.asarray(WEIGHT), "0.bias": xp.asarray(BIAS)}
    assert nnx.io.load_torch_state_dict(model, state) is model
    assert_close(model.parameters(), {"0.weight": xp.asarray(WEIGHT.T), "0.bias": xp.asarray(BIAS)})


def test_values_are_copied():
    model, weight = nnx.Linear(2, 3), WEIGHT.copy()
    nnx.io.load_torch_state_dict(model, {"weight": weight, "bias": BIAS})
    weight[...] = 0.0
    assert_close(model.weight, WEIGHT.T)


def test_ties_shared_modules_and_numbers():
    model = nnx.io.load_torch_state_dict(Tree(), state_of_tree())
    assert_close(model.state_dict(), {"scale": np.zeros(2, "float32"), "embedding.weight": WEIGHT.T, "count": 7})
    without = state_of_tree()
    del without["head.weight"], without["again.weight"]
    assert_close(nnx.io.load_torch_state_dict(Tree(), without).state_dict(), model.state_dict())


@pytest.mark.parametrize(
    ("state", "match"),
    [
        (state_of_tree(extra=BIAS), "do not fit Tree: extra: not in the model$"),
        ({"embedding.weight": WEIGHT}, "scale: missing; count: missing$"),
        (state_of_tree(scale=BIAS), r"scale: expected shape \(2,\), got \(3,\)$"),
        (state_of_tree(scale=np.zeros(2)), "scale: expected dtype float32, got float64$"),
        (state_of_tree(**{"head.weight": 2 * WEIGHT.T}), "head.weight: expected the values that it is tied to, got"),
        (state_of_tree(count=np.asarray([7])), r"count: expected shape \(\), got \(1,\)$"),
    ],
)
def test_what_does_not_fit_is_listed_and_nothing_changed(state, match):
    model = Tree()
    before = model.state_dict()
    with pytest.raises(CheckpointError, match=match):
        nnx.io.load_torch_state_dict(model, state)
    assert_close(model.state_dict(), before)


def test_not_strict():
    model = nnx.io.load_torch_state_dict(Tree(), {"scale": np.zeros(2, "float32"), "other": BIAS}, strict=False)
    assert_close(model.scale, np.zeros(2, "float32"))


def test_back_to_pytorch():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    model = nnx.io.load_torch_state_dict(Tree(), state_of_tree())
    found = nnx.io.to_torch_state_dict(model)
    assert all(type(value) is torch.Tensor for value in found.values())
    assert {name: value.tolist() for name, value in found.items()} == {
        name: value.tolist() for name, value in state_of_tree().items()
    }
    found["scale"] += 1  # a copy
    assert_close(model.scale, np.zeros(2, "float32"))
    gradients = nnx.io.to_torch_state_dict(model, {"embedding.weight": np.ones((2, 3))})
    assert_close(nnx.to_numpy(gradients)["head.weight"], np.ones((2, 3)))
    assert "scale" not in gradients


def test_numbers_and_16_bits_on_any_backend(xp):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    with nnx.use_backend(xp.spec):
        model = nnx.BatchNorm1d(2)
    assert nnx.io.to_torch_state_dict(model)["num_batches_tracked"].dtype == torch.int64
    if xp.name in ("torch", "jax"):
        state = nnx.io.to_torch_state_dict(model.to(dtype="bfloat16"))
        assert state["weight"].dtype == torch.bfloat16


def test_values_that_would_be_lost_are_an_error():
    model = nnx.Model([nnx.Linear(2, 1, rng=0)])
    with pytest.raises(ArgumentError, match=r"of Sequential, got 0\.weigth, bias; did you mean 0\.weight\?$"):
        nnx.io.to_torch_state_dict(model, {"0.weigth": np.ones((2, 1)), "bias": np.ones(1)})
    torch = pytest.importorskip("torch", reason="torch is not installed")
    original = torch.nn.MultiheadAttention(4, 2, batch_first=True)
    model = nnx.io.from_torch(original)
    partial = {path: value for path, value in model.parameters().items() if "key" not in path}
    with pytest.raises(ArgumentError, match=r"that are in_proj_weight in PyTorch, or none, got none of .*key\.weight;"):
        nnx.io.to_torch_state_dict(model, partial)

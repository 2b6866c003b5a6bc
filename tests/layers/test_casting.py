"""Copies of models that compute in 16 bits: what is shared, tied, frozen, wrapped or run again stays what it is."""

import numpy as np
import pytest

import nnx
from nnx.errors import DTypeError, UsageError
from nnx.layers.casting import cast_tree, computing_in
from nnx.testing import assert_close

X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
EPS = 2.0**-10


def compared(model, x=X):
    """Return the gradients of a model in float16, after comparing them with those in float32."""

    def loss(model):
        return nnx.functional.mse(model(x), 0.5 * x)

    expected, found = nnx.grad(loss)(model), nnx.grad(lambda model: loss(computing_in(model, "float16")))(model)
    assert list(found) == list(expected)
    for path, g in expected.items():
        assert found[path].dtype == np.float32, path
        np.testing.assert_allclose(found[path], g, rtol=0.0, atol=8 * EPS * max(1.0, np.abs(g).max()), err_msg=path)
    return found


def test_a_shared_module_adds_up_its_gradients():
    layer = nnx.Linear(4, 4, rng=0)
    assert list(compared(nnx.Model([layer, nnx.Tanh(), layer]))) == ["0.weight", "0.bias"]


def test_tied_parameters_are_cast_once():
    first, last = nnx.Linear(4, 3, rng=0), nnx.Linear(3, 4, rng=1)
    last.weight = nnx.Tied(first, "weight", transpose=True)
    model = nnx.Model([first, nnx.Tanh(), last])
    assert list(compared(model)) == ["0.weight", "0.bias", "2.bias"]
    narrow = computing_in(model, "float16")
    assert np.shares_memory(narrow[2].weight, narrow[0].weight)


def test_frozen_parameters_are_cast_too():
    model = nnx.add_lora(nnx.Model([nnx.Linear(4, 4, rng=0), nnx.Tanh(), nnx.Linear(4, 4, rng=1)]), "0", rank=2, rng=2)
    found = compared(nnx.freeze(model, "2.bias"))
    assert not any(path.startswith("0.layer") or path == "2.bias" for path in found)


def test_what_is_run_again_casts_as_in_the_first_run():
    plain = nnx.Model([nnx.Linear(4, 4, rng=0), nnx.Dropout(0.5, seed=1), nnx.LayerNorm(4)])
    again = nnx.remat(nnx.Model([nnx.Linear(4, 4, rng=0), nnx.Dropout(0.5, seed=1), nnx.LayerNorm(4)]))
    loss = lambda model: nnx.functional.mse(computing_in(model, "float16")(X), X)  # noqa: E731
    expected, found = nnx.grad(loss)(plain), nnx.grad(loss)(again)
    assert_close(dict(found), {f"inner.{path}": g for path, g in expected.items()}, rtol=0.0)
    assert again.inner[1].calls.value == plain[1].calls.value == 1


@pytest.mark.parametrize("wrapper", [nnx.WeightNorm, lambda layer: nnx.SpectralNorm(layer, rng=0)])
def test_a_wrapper_computes_the_weight_in_the_dtype(wrapper):
    model = nnx.Model([wrapper(nnx.Linear(4, 4, rng=0)), nnx.Tanh()])
    compared(model)
    assert {buffer.value.dtype for buffer in model.buffers().values()} <= {np.dtype("float32")}


class Autoencoder(nnx.Module):
    def __init__(self, tell):
        self.encoder, self.decoder = nnx.Linear(4, 2, rng=0), nnx.Linear(2, 4, rng=1)
        self.shift = np.asarray([0.0, 1.0, 2.0, 3.0], np.float32)
        self.calls = nnx.Buffer(np.zeros(4, np.float32))
        self.tell = tell

    def encode(self, x):
        return self.encoder(x - self.shift)

    def forward(self, x, *, scale=None):
        self.calls.value = self.calls.value + 1.0
        code = self.encode(x).astype(np.float32)
        out = self.decoder(code)  # cast again by the layer
        self.tell({v.dtype.name for v in (x, self.shift, scale, out) if v is not None})
        return {"code": code, "out": out, "tokens": np.arange(3)}


def test_arguments_constants_and_outputs():
    seen = []
    model = Autoencoder(seen.append)
    narrow = computing_in(model, "float16")
    found = narrow(X, scale=X)
    assert seen == [{"float16"}]
    assert [part.dtype.name for part in found.values()] == ["float32", "float32", "int64"]
    assert_close(model.calls.value, np.ones(4, np.float32))
    for part in (narrow.encode(X), narrow.encoder(X), narrow.decoder(found["code"])):
        assert part.dtype == np.float32  # what is called from outside returns float32
    with pytest.raises(UsageError, match="of the copy of a model that a transform calls"):
        narrow.shift = X


def test_a_failed_call_leaves_the_copy_usable():
    narrow = computing_in(nnx.Model([nnx.Linear(4, 2, rng=0)]), "float16")
    with pytest.raises(nnx.errors.ShapeError, match="Linear '0': expected input of shape"):
        narrow(X[:, :3])
    assert narrow(X).dtype == np.float32


def test_the_outputs_of_its_layers_show_where_the_dtype_overflows():
    model = nnx.Model([nnx.Linear(4, 2, rng=0), nnx.Lambda(lambda x: 1e5 * x), nnx.Linear(2, 2, rng=1)])
    with np.errstate(over="ignore", invalid="ignore"):
        found = {path: output for path, _, output in nnx.layer_outputs(computing_in(model, "float16"), X)}
    assert [output.dtype.name for output in found.values()] == ["float16", "float16", "float16", "float32"]
    assert [bool(np.all(np.isfinite(output))) for output in found.values()] == [True, False, False, False]


def test_the_model_itself_is_not_touched():
    model = nnx.Linear(4, 2, rng=0)
    before = dict(vars(model))
    computing_in(model, "float16")(X)
    assert vars(model) == before
    assert model(X).dtype == np.float32


def test_integers_and_complex_numbers_stay():
    tree = [np.arange(2), np.ones(1, np.complex64), None, 1.0, np.ones(1)]
    found = cast_tree(tree, "float16")
    assert found[:4] == tree[:4]
    assert found[4].dtype == np.float16


def test_errors():
    with pytest.raises(UsageError, match="has sizes that are not settled yet"):
        computing_in(nnx.Linear(None, 2), "float16")
    with pytest.raises(DTypeError, match="numpy has no bfloat16, which torch and JAX have"):
        computing_in(nnx.Linear(2, 2), "bfloat16")

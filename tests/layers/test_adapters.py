"""Low-rank adapters, and modules put in the place of others."""

import json
from typing import NamedTuple

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, UsageError
from nnx.testing import assert_close

X = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


@pytest.fixture
def model():
    rng = nnx.generator(0)
    return nnx.Model([nnx.Linear(3, 4, rng=rng), nnx.Model([nnx.Sigmoid(), nnx.Linear(4, 2, rng=rng)])])


def loss(model):
    return nnx.functional.mse(model(X), X[:, :2])


class TestAdapters:
    def test_at_first_nothing_changes(self, model):
        before = model(X)
        assert nnx.add_lora(model, rank=2, rng=0) is model
        assert_close(model(X), before, rtol=0.0)

    def test_they_alone_are_trained(self, model):
        nnx.add_lora(nnx.freeze(model), "1", rank=2, rng=0)
        assert list(model.trainable_parameters()) == ["1.1.down", "1.1.up"]
        before = {path: np.array(array) for path, array in model.parameters().items()}
        optimizer = nnx.Adam(model, 0.01)
        first = loss(model)
        for _ in range(5):
            optimizer.step(nnx.grad(loss)(model))
        assert loss(model) < first
        after = model.parameters()
        assert {path for path in after if not np.array_equal(after[path], before[path])} == {"1.1.down", "1.1.up"}

    def test_layers_without_one_are_trained_as_before(self, model):
        nnx.add_lora(model, "0", rank=2, rng=0)
        assert list(model.trainable_parameters()) == ["0.down", "0.up", "1.1.weight", "1.1.bias"]

    def test_merging_gives_the_same_model_with_the_paths_of_before(self, model):
        paths = list(model.parameters())
        nnx.add_lora(model, rank=2, alpha=1.0, rng=0)
        for path in ("0.up", "1.1.up"):
            model.replace_parameters({path: np.full_like(model.parameters()[path], 0.3)})
        adapted, inside = model(X), model[0]
        assert nnx.merge_lora(model) is model
        assert list(model.parameters()) == paths
        assert not list(model.trainable_parameters())
        assert_close(model(X), adapted, rtol=1e-5)
        assert_close(inside(X), model[0](X), rtol=0.0)  # whoever holds the adapter does not add its change twice

    def test_one_generator_draws_all(self, model):
        nnx.add_lora(model, rank=3, rng=0)
        assert not np.array_equal(model[0].down[:3], model[1][1].down[:3])

    def test_only_linear_layers_get_one_and_none_gets_two(self, model):
        nnx.add_lora(model, "1*", rank=2)
        assert [type(module).__name__ for module in model[1]] == ["Sigmoid", "LoRA"]
        nnx.add_lora(model, rank=1)
        assert (model[0].rank, model[1][1].rank) == (1, 2)
        with pytest.raises(
            ArgumentError, match="expected a model with linear layers that have no adapter yet and no tie, got a S"
        ):
            nnx.add_lora(model, rank=1)

    def test_a_shared_layer_has_one_adapter(self):
        layer = nnx.Linear(3, 3, rng=0)
        model = nnx.add_lora(nnx.Model([layer, nnx.ReLU(), layer]), rank=1)
        assert model[0] is model[2]
        assert len(model.trainable_parameters()) == 2

    def test_a_tied_layer_has_none(self):
        embedding, head = nnx.Embedding(5, 3, rng=0), nnx.Linear(3, 5, bias=False)
        head.weight = nnx.Tied(embedding, "weight", transpose=True)
        model = nnx.add_lora(nnx.Model([embedding, nnx.Linear(3, 3, rng=0), head]), rank=1)
        assert list(model.trainable_parameters()) == ["0.weight", "1.down", "1.up"]
        with pytest.raises(ArgumentError, match="expected a Linear layer to adapt, got a tied one, Linear"):
            nnx.LoRA(head, 1)

    def test_configuration_and_state(self, model):
        nnx.add_lora(nnx.freeze(model, "1"), "0", rank=2, alpha=4, rng=0)
        model[0].up = model[0].up + 1
        again = nnx.from_config(json.loads(json.dumps(model.config())))
        assert_close(again.load_state_dict(model.state_dict())(X), model(X))
        assert again.config() == model.config()
        nnx.unfreeze(model)
        assert list(nnx.from_config(model.config()).trainable_parameters()) == list(model.parameters())

    def test_library_and_dtype_are_those_of_the_layer(self, xp):
        with nnx.use_backend(xp.spec):
            layer = nnx.LoRA(nnx.Linear(3, 2, dtype="float64"), 2)
        assert_close(layer.up, xp.asarray(np.zeros((2, 2)), "float64"))

    def test_what_cannot_have_one(self, model):
        with pytest.raises(ArgumentError, match=r"expected a Linear layer to adapt, got ReLU\(\)"):
            nnx.LoRA(nnx.ReLU(), 2)
        with pytest.raises(
            ArgumentError, match=r"got one with an open size, Linear\(in_features=None, .*; call it on data"
        ):
            nnx.LoRA(nnx.Linear(None, 2), 2)
        with pytest.raises(ArgumentError, match="expected rank to be an integer of at least 1, got 0"):
            nnx.LoRA(layer := nnx.Linear(3, 2), 0)
        assert len(layer.trainable_parameters()) == 2
        with pytest.raises(ArgumentError, match="expected a finite alpha >= 0, got -1"):
            nnx.LoRA(nnx.Linear(3, 2), 1, alpha=-1)
        with pytest.raises(ArgumentError, match=r"and no tie, got a Linear; write nnx.LoRA\(layer, rank\)"):
            nnx.add_lora(nnx.Linear(3, 2), rank=1)
        with pytest.raises(
            ArgumentError, match="add_lora: expected patterns of paths, got 'encoder', which matches none"
        ):
            nnx.add_lora(model, "encoder", rank=1)


class Pair(NamedTuple):
    a: nnx.Module
    b: nnx.Module


class Holder(nnx.Module):
    def __init__(self):
        self.own = nnx.ReLU()
        self.listed = [nnx.ReLU(), {"x": nnx.Sigmoid()}]
        self.pair = Pair(nnx.ReLU(), nnx.Sigmoid())
        self.several = (nnx.ReLU(), [nnx.Sigmoid()])


class TestReplace:
    @pytest.mark.parametrize("path", ["own", "listed.0", "listed.1.x", "pair.0", "pair.1", "several.0", "several.1.0"])
    def test_everywhere(self, path):
        model, new = Holder(), nnx.Linear(2, 2)
        before = dict(model.named_modules())
        assert nnx.replace(model, path, new) is model
        after = dict(model.named_modules())
        assert after.pop(path) is new
        assert before.pop(path) not in after.values()
        assert after == before
        assert type(model.pair) is Pair
        assert list(model.parameters()) == [f"{path}.weight", f"{path}.bias"]

    def test_a_shared_module_is_replaced_in_all_places(self):
        shared = nnx.ReLU()
        model = nnx.replace(nnx.Model([shared, nnx.Model([shared])]), "0", nnx.Sigmoid())
        assert model[0] is model[1][0]

    def test_around_the_old_one(self, model):
        old = model[0]
        nnx.replace(model, "0", nnx.Residual(old, nnx.Linear(3, 4)))
        assert model[0].inner is old

    def test_the_mode_is_that_of_the_old_one(self, model):
        assert not nnx.replace(model.eval(), "1", nnx.Model([nnx.ReLU()]))[1][0].training

    def test_its_configuration(self, model):
        nnx.replace(model, "1.1", nnx.Linear(4, 7))
        assert nnx.from_config(model.config())[1][1].out_features == 7

    def test_refusals(self, model):
        message = r"expected the path of a module in the model, got '2'; there are: 0, 1, 1.0, 1.1"
        with pytest.raises(ArgumentError, match=message):
            nnx.replace(model, "2", nnx.ReLU())
        with pytest.raises(ArgumentError, match="expected the path of a module in the model, got ''"):
            nnx.replace(model, "", nnx.ReLU())
        with pytest.raises(ArgumentError, match="expected layer 0 to be a Module, got 3"):
            nnx.replace(model, "0", 3)
        with pytest.raises(UsageError, match=r"cannot change Sequential \(replace\)"):
            nnx.grad(lambda model: nnx.replace(model, "0", nnx.ReLU()))(model)

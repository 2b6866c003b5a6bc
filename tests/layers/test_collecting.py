"""Containers as lists and dicts: what they hold, share and refuse."""

import json

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError
from nnx.testing import assert_close

X = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


def make():
    rng = nnx.generator(0)
    return nnx.Model([nnx.Linear(3, 4, rng=rng), nnx.ReLU(), nnx.Linear(4, 2, rng=rng)])


def test_a_slice_is_a_model_that_shares_the_layers():
    model = make()
    head = model[-1:]
    assert type(head) is nnx.Sequential
    assert head[0] is model[2]
    assert list(head.parameters()) == ["0.weight", "0.bias"]
    assert_close(head(model[:2](X)), model(X))
    head.replace_parameters({"0.bias": np.ones(2, np.float32)})
    assert_close(model[2].bias, np.ones(2, np.float32))


def test_a_slice_trains_the_layers_of_the_model():
    model = make()
    head, before = model[2:], model[0].weight
    _, gradients = nnx.value_and_grad(lambda head: nnx.functional.mse(head(X[:, [0, 1, 2, 0]]), X[:, :2]))(head)
    nnx.SGD(head, 0.1).step(gradients)
    assert model[0].weight is before
    assert head[0].weight is model[2].weight


def test_a_slice_has_the_mode_of_its_model():
    model = make().eval()
    assert not model[:1].training
    assert model.train()[:1].training


def test_a_slice_of_a_slice_and_every_other():
    model = make()
    assert list(model[1:][1:]) == [model[2]]
    assert list(model[::2]) == [model[0], model[2]]
    assert len(model[5:]) == 0


def test_a_slice_of_a_subclass_is_what_its_base_makes():
    class Two(nnx.Sequential):
        def __init__(self, size):
            super().__init__([nnx.Linear(size, size, rng=0), nnx.ReLU()])

    part = Two(3)[:1]
    assert type(part) is nnx.Sequential
    assert nnx.from_config(json.loads(json.dumps(part.config()))).config() == part.config()


def test_a_slice_in_forward_leaves_the_plans_of_models_alone():
    class Halves(nnx.Module):
        def __init__(self):
            self.blocks = nnx.ModuleList([nnx.Linear(3, 3, rng=i) for i in range(4)])

        def forward(self, x):
            for block in self.blocks[:2]:
                x = block(x)
            return x

    model = Halves()
    plan = model.plan()
    gradients = nnx.grad(lambda model: nnx.functional.mse(model(X), X))(model)
    assert model.plan() is plan
    assert np.any(gradients["blocks.1.weight"])
    assert not np.any(gradients["blocks.2.weight"])


def test_a_slice_in_forward_is_differentiated_and_locked():
    class Prefix(nnx.Sequential):
        def forward(self, x):
            return self[:1](x)

    model = Prefix(list(make()))
    gradients = nnx.grad(lambda model: nnx.namespace(model(X)).sum(model(X)))(model)
    assert np.any(gradients["0.weight"])
    with pytest.raises(nnx.errors.UsageError, match="cannot change 'layers'"):
        nnx.grad(lambda model: model[:1].append(nnx.ReLU()))(model)


def test_a_model_changes_as_a_list_does():
    model = make()
    assert model.append(nnx.Softmax()) is model
    model.insert(1, nnx.Linear(4, 4, rng=1)).extend([nnx.ReLU()])
    del model[2]
    model[-1] = nnx.Sigmoid()
    assert [type(layer).__name__ for layer in model] == ["Linear", "Linear", "Linear", "Softmax", "Sigmoid"]
    model[1:4] = [nnx.ReLU()]
    assert list(model.parameters()) == ["0.weight", "0.bias"]
    assert [layer["type"] for layer in model.config()["layers"]] == ["Linear", "ReLU", "Sigmoid"]


def test_a_sum_of_models_shares_their_layers():
    model, head = make(), [nnx.Softmax()]
    whole = model + head + make()
    assert type(whole) is nnx.Sequential
    assert len(whole) == 7
    assert whole[0] is model[0]
    assert whole[3] is head[0]
    assert len(model) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.append(max),
        lambda model: model.insert(0, max),
        lambda model: model.extend([max]),
        lambda model: model.__setitem__(0, max),
        lambda model: model.__setitem__(slice(0, 1), [max]),
        lambda model: model.__add__([max]),
    ],
)
def test_what_is_no_module_is_refused(change):
    model = make()
    with pytest.raises(ArgumentError, match=r"expected layer \d to be a Module, got <built-in function max>"):
        change(model)
    assert len(model) == 3


def test_one_layer_instead_of_a_list():
    with pytest.raises(ArgumentError, match=r"expected a list of modules, got one Linear; write \[module\]"):
        nnx.ModuleList(nnx.Linear(1, 1))
    with pytest.raises(ArgumentError, match="expected a list of modules, got one ReLU"):
        make() + nnx.ReLU()


class Heads(nnx.Module):
    def __init__(self):
        self.blocks = nnx.ModuleList(nnx.Linear(3, 3, rng=i) for i in range(2))
        self.heads = nnx.ModuleDict({"one": nnx.Linear(3, 1, rng=2)})

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return {name: head(x) for name, head in self.heads.items()}


def test_lists_and_dicts_of_modules_in_a_model():
    model = Heads()
    paths = [f"{at}.{name}" for at in ("blocks.0", "blocks.1", "heads.one") for name in ("weight", "bias")]
    assert list(model.parameters()) == paths
    model.blocks.append(nnx.Linear(3, 3, rng=7))
    model.heads["two"] = nnx.Linear(3, 2, rng=8)
    assert model(X)["two"].shape == (4, 2)
    gradients = nnx.grad(lambda model: nnx.functional.mse(model(X)["two"], X[:, :2]))(model)
    added = ("blocks.2.weight", "blocks.2.bias"), ("heads.two.weight", "heads.two.bias")
    assert list(gradients) == [*paths[:4], *added[0], *paths[4:], *added[1]]
    del model.heads["one"]
    assert "heads.one.weight" not in model.parameters()


def test_a_dict_of_modules_behaves_as_one():
    heads = nnx.ModuleDict({"a": nnx.ReLU(), "b": nnx.Softmax()})
    assert list(heads) == list(heads.keys()) == ["a", "b"]
    assert "a" in heads
    assert "c" not in heads
    assert len(heads) == 2
    assert [type(module).__name__ for module in heads.values()] == ["ReLU", "Softmax"]
    with pytest.raises(KeyError, match="c"):
        heads["c"]
    assert repr(heads) == "ModuleDict(\n  (a): ReLU()\n  (b): Softmax()\n)"


@pytest.mark.parametrize("build", [lambda: nnx.ModuleList([nnx.ReLU()]), lambda: nnx.ModuleDict({"a": nnx.ReLU()})])
def test_their_configuration(build):
    made = build()
    config = json.loads(json.dumps(made.config()))
    again = nnx.from_config(config)
    assert type(again) is type(made)
    assert again.config() == config


@pytest.mark.parametrize("key", ["a.b", "", 3])
def test_keys_that_cannot_be_part_of_a_path(key):
    message = "expected a key that can be part of a path, a string without dots, got"
    with pytest.raises(ArgumentError, match=message):
        nnx.ModuleDict({key: nnx.ReLU()})
    with pytest.raises(ArgumentError, match=message):
        nnx.ModuleDict()[key] = nnx.ReLU()


def test_a_value_that_is_no_module():
    with pytest.raises(ArgumentError, match="expected layer a to be a Module, got 3"):
        nnx.ModuleDict({"a": 3})


def test_they_are_not_called():
    with pytest.raises(nnx.errors.UsageError, match="ModuleList defines no forward"):
        nnx.ModuleList([nnx.ReLU()])(X)

"""Frozen parameters: no gradient, no update, and all else as before."""

import copy
import json
import pickle

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, UsageError
from nnx.testing import assert_close, check_gradients

X = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
OF_LAST = ["2.weight", "2.bias"]
ALL = ["0.weight", "0.bias", *OF_LAST]


@pytest.fixture
def model():
    rng = nnx.generator(0)
    return nnx.Model([nnx.Linear(3, 4, rng=rng), nnx.Sigmoid(), nnx.Linear(4, 2, rng=rng)])


def loss(model, x=X):
    return nnx.functional.mse(model(x), x[:, :2])


@pytest.mark.parametrize(
    ("patterns", "trained"),
    [
        ((), []),
        (("0",), OF_LAST),
        (("0.*",), OF_LAST),
        (("*weight",), ["0.bias", "2.bias"]),
        (("0.weight", "2.bias"), ["0.bias", "2.weight"]),
        (("?.bias", "[0-1]"), ["2.weight"]),
        (("*",), []),
    ],
)
def test_patterns(model, patterns, trained):
    assert nnx.freeze(model, *patterns) is model
    assert list(model.trainable_parameters()) == list(nnx.grad(loss)(model)) == trained
    assert list(model.parameters()) == ALL
    nnx.unfreeze(model)
    assert list(model.trainable_parameters()) == ALL


def test_gradients_of_what_is_trained_are_as_before(model):
    before = nnx.grad(loss)(model)
    after = nnx.grad(loss)(nnx.freeze(model, "0"))
    assert_close(after, {path: before[path] for path in OF_LAST}, rtol=0.0)
    check_gradients(lambda model, x: model(x), model.to(dtype="float64"), X.astype(np.float64))


def test_nothing_is_computed_for_what_is_frozen(model, monkeypatch):
    asked = []
    rule = nnx.functional.linear.plain_rule

    def asking(wanted, *args):
        asked.append(tuple(map(bool, wanted)))
        return rule(wanted, *args)

    monkeypatch.setattr(nnx.functional.linear, "plain_rule", asking)
    with nnx.use_kernels("portable"):
        nnx.grad(loss)(nnx.freeze(model, "0", "2.weight"))
    assert asked == [(False, False, True)]  # the first layer is not even recorded


def test_steps_leave_it_alone(model):
    nnx.freeze(model, "0", "2.bias")
    before = {path: np.array(array) for path, array in model.parameters().items()}
    optimizer = nnx.Adam(model, 0.1)
    for _ in range(2):
        optimizer.step(nnx.grad(loss)(model))
    assert [path for path in ALL if not np.array_equal(before[path], model.parameters()[path])] == ["2.weight"]
    assert sorted(optimizer.state_dict()) == ["first_moment.2.weight", "second_moment.2.weight", "step"]


def test_in_the_words_of_the_post(model):
    nnx.freeze(model, "0")
    before = np.array(model[0].weight)
    criterion = nnx.MSE()
    criterion(model(X), X[:, :2])
    model.backward(criterion.gradient())
    assert list(model.gradients()) == OF_LAST
    model.update(0.1)
    assert_close(model[0].weight, before, rtol=0.0)


def test_everything_frozen(model):
    nnx.freeze(model)
    assert nnx.grad(loss)(model) == {}
    nnx.SGD(model, 0.1).step({})
    value, pullback = nnx.vjp(lambda model, x: model(x), model, X)
    assert pullback(value)[0] == {}


def test_an_optimizer_with_a_state_sees_the_change(model):
    optimizer = nnx.SGD(model, 0.1, momentum=0.9)
    optimizer.step(nnx.grad(loss)(model))
    nnx.freeze(model, "0")
    with pytest.raises(
        UsageError, match=r"trainable parameters have changed .* gone \['0.weight', '0.bias'\], new \[\]"
    ):
        optimizer.step(nnx.grad(loss)(model))


def test_a_gradient_of_a_frozen_parameter_is_refused(model):
    gradients = nnx.grad(loss)(model)
    optimizer = nnx.SGD(nnx.freeze(model, "0"), 0.1)
    with pytest.raises(ArgumentError, match=r"not in the model \['0.bias', '0.weight'\], or frozen there"):
        optimizer.step(gradients)


def test_no_decay_may_name_what_is_frozen(model):
    optimizer = nnx.AdamW(nnx.freeze(model, "*bias"), 0.1, no_decay="*bias")
    optimizer.step(nnx.grad(loss)(model))


def test_it_is_saved_loaded_and_moved(model):
    nnx.freeze(model, "0")
    assert list(model.state_dict()) == ALL
    assert list(nnx.to_numpy(model)) == list(nnx.to_device({"a": model}, "numpy")["a"]) == ALL
    other = nnx.from_config(json.loads(json.dumps(model.config())))
    assert list(other.trainable_parameters()) == OF_LAST
    assert_close(other.load_state_dict(model.state_dict())(X), model(X))
    assert other[0].weight.dtype == np.float32
    assert other.to(dtype="float64")[0].weight.dtype == np.float64


def test_configuration_and_text(model):
    assert "frozen" not in model.config()
    nnx.freeze(model, "0.weight", "2")
    assert model.config()["frozen"] == ["0.weight", *OF_LAST]
    assert "(0): Linear(in_features=3, out_features=4, frozen=['weight'])" in repr(model)
    assert "(2): Linear(in_features=4, out_features=2, frozen=['weight', 'bias'])" in repr(model)
    assert repr(nnx.from_config(model.config())) == repr(model)


@pytest.mark.parametrize("frozen", ["0.weight", ["5.weight"], [{}], {}])
def test_a_configuration_that_freezes_what_is_not_there(model, frozen):
    with pytest.raises(ArgumentError, match="expected paths of parameters that are frozen, got"):
        nnx.from_config({**model.config(), "frozen": frozen})


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_is_frozen_too(model, duplicate):
    again = duplicate(nnx.freeze(model, "0"))
    nnx.unfreeze(model)
    assert list(again.trainable_parameters()) == OF_LAST


def test_the_mark_is_of_the_name(model):
    nnx.freeze(model, "0")
    model[0].weight = np.ones((3, 4), np.float32)
    assert list(model.trainable_parameters()) == OF_LAST
    model[0].weight = nnx.Parameter(np.ones((3, 4), np.float32))
    assert list(model.trainable_parameters()) == ["0.weight", *OF_LAST]


def test_a_tied_parameter_is_frozen_with_its_owner():
    encoder, decoder = nnx.Linear(3, 2, bias=False, rng=0), nnx.Linear(2, 3, bias=False, rng=0)
    decoder.weight = nnx.Tied(encoder, "weight", transpose=True)
    model = nnx.freeze(nnx.Model([encoder, decoder]), "0")
    assert nnx.grad(lambda model: nnx.functional.mse(model(X), X))(model) == {}


def test_a_shared_module_is_frozen_everywhere():
    layer = nnx.Linear(3, 3, rng=0)
    model = nnx.freeze(nnx.Model([layer, nnx.ReLU(), layer]), "0")
    assert nnx.grad(lambda model: nnx.functional.mse(model(X), X))(model) == {}


def test_inside_remat_and_second_derivatives(model):
    nnx.freeze(model, "0")
    inner = nnx.Model([nnx.remat(model)])
    assert_close(list(nnx.grad(loss)(inner).values()), list(nnx.grad(loss)(model).values()))
    tangents = {path: np.ones_like(array) for path, array in model.trainable_parameters().items()}
    assert list(nnx.jvp(lambda m: nnx.grad(loss)(m), (model,), (tangents,))[1]) == OF_LAST


def test_patterns_that_match_nothing(model):
    message = r"freeze: expected patterns of paths, got 'encoder', which matches none of 0.weight, 0.bias, 2.weight"
    with pytest.raises(ArgumentError, match=message):
        nnx.freeze(model, "0", "encoder")
    assert list(model.trainable_parameters()) == ALL
    with pytest.raises(ArgumentError, match=r"expected unfreeze to be patterns of paths, such as .*, got"):
        nnx.unfreeze(model, 3)
    with pytest.raises(ArgumentError, match=r"expected a model, got dict; write nnx.freeze\(model, 'encoder'\)"):
        nnx.freeze(model.parameters(), "0")


def test_open_sizes_and_running_models():
    with pytest.raises(UsageError, match="sizes that are not settled yet"):
        nnx.freeze(nnx.Linear(None, 2))

    class Freezing(nnx.Module):
        def __init__(self):
            self.inner = nnx.Linear(3, 2)

        def forward(self, x):
            return nnx.freeze(self.inner)(x)

    with pytest.raises(UsageError, match=r"cannot change Linear \(freeze\) inside forward"):
        Freezing()(X)

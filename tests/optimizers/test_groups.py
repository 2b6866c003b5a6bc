"""Groups of parameters with hyperparameters of their own."""

import copy
import json
import pickle

import numpy as np
import pytest

import nnx
from nnx.backend import blocks
from nnx.errors import ArgumentError, UsageError
from nnx.testing import assert_close


def model_of(spec="numpy", dtype="float64"):
    with nnx.use_backend(spec):
        return nnx.Model([nnx.Linear(2, 3, rng=0, dtype=dtype), nnx.Linear(3, 2, rng=1, dtype=dtype)])


def gradients_of(model, seed=0):
    draw = np.random.default_rng(seed)
    return {
        path: nnx.backend.asarray(draw.standard_normal(w.shape), dtype=nnx.backend.dtype_name(w.dtype), like=w)
        for path, w in model.parameters().items()
    }


CASES = {
    "SGD": (
        nnx.SGD,
        {"momentum": 0.9},
        [
            {"paths": "1", "learning_rate": 0.5, "momentum": 0.0},
            {"paths": "*bias", "weight_decay": 0.1, "nesterov": True},
        ],
        [{}, {"weight_decay": 0.1, "nesterov": True}, {"lr": 0.5, "momentum": 0.0}, {"lr": 0.5, "weight_decay": 0.1}],
    ),
    "Adam": (
        nnx.Adam,
        {},
        [{"paths": ["0.weight", "1.bias"], "betas": (0.5, 0.9), "eps": 0.1}, {"paths": "1.*", "amsgrad": True}],
        [{"betas": (0.5, 0.9), "eps": 0.1}, {}, {"amsgrad": True}, {"betas": (0.5, 0.9), "eps": 0.1, "amsgrad": True}],
    ),
    "AdamW": (
        nnx.AdamW,
        {"no_decay": "0.bias", "weight_decay": 0.5},
        [{"paths": "*bias", "weight_decay": 0.3}],
        [{"weight_decay": 0.5}, {"weight_decay": 0.0}, {"weight_decay": 0.5}, {"weight_decay": 0.3}],
    ),
}


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.parametrize("block", [2, 65_536])
def test_a_parameter_gets_its_own_hyperparameters(xp, kind, block, monkeypatch):
    """As with PyTorch, where each of the four parameters is in a group of its own."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    monkeypatch.setattr(blocks, "BLOCK", block)
    make, options, groups, of_torch = CASES[kind]
    model = model_of(xp.spec)
    optimizer = make(model, 0.1, groups=groups, **options)
    theirs = [torch.tensor(np.array(nnx.to_numpy(w))) for w in model.parameters().values()]
    own = {} if kind == "AdamW" else options
    if kind == "SGD":
        of_torch = [*of_torch[:3], {**of_torch[3], "momentum": 0.0}]  # there Nesterov without momentum is an error
    reference = getattr(torch.optim, kind)(
        [{"params": [w], **group} for w, group in zip(theirs, of_torch, strict=True)], lr=0.1, **own
    )
    for step in range(5):
        gradients = gradients_of(model, step)
        optimizer.step(gradients)
        for tensor, gradient in zip(theirs, gradients.values(), strict=True):
            tensor.grad = torch.tensor(np.array(nnx.to_numpy(gradient)))
        reference.step()
    for ours, tensor in zip(model.parameters().values(), theirs, strict=True):
        np.testing.assert_allclose(nnx.to_numpy(ours), tensor.numpy(), rtol=1e-12, atol=1e-14)


def test_groups_combine_and_of_two_the_later_one_counts():
    groups = [
        {"paths": "0", "learning_rate": 0.2, "weight_decay": 0.3},
        {"paths": ["*bias"], "weight_decay": 0.0},
        {"paths": "0.bias", "learning_rate": 0.4},
    ]
    optimizer = nnx.SGD(model_of(), 0.1, weight_decay=0.5, groups=groups)
    assert optimizer.hyperparameters["learning_rate"] == (0.2, 0.4, 0.1, 0.1)
    assert optimizer.hyperparameters["weight_decay"] == (0.3, 0.0, 0.5, 0.0)
    assert optimizer.hyperparameters["momentum"] == 0.0
    assert optimizer.learning_rate == 0.1
    optimizer.learning_rate = 0.7
    assert optimizer.hyperparameters["learning_rate"] == (0.2, 0.4, 0.7, 0.7)


def test_no_decay_is_the_last_group():
    optimizer = nnx.AdamW(model_of(), weight_decay=0.5, no_decay="*bias", groups=[{"paths": "1", "weight_decay": 0.2}])
    assert optimizer.hyperparameters["weight_decay"] == (0.5, 0.0, 0.2, 0.0)


@pytest.mark.parametrize("kind", CASES)
def test_configuration_repr_copies_and_pickles(kind):
    make, options, groups, _ = CASES[kind]
    model = model_of()
    optimizer = make(model, 0.1, groups=groups, **options)
    again = nnx.from_config(json.loads(json.dumps(optimizer.config())), model=model)
    assert again.config() == optimizer.config()
    assert dict(again.hyperparameters) == dict(optimizer.hyperparameters)
    assert repr(again) == repr(optimizer)
    assert repr(groups[0]["paths"]) in repr(optimizer)
    optimizer.step(gradients_of(model))
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        expected = copy.deepcopy(optimizer)
        for each in (twin, expected):
            each.step(gradients_of(each.model, 1))
        assert_close(twin.model.parameters(), expected.model.parameters(), rtol=0.0, atol=0.0)


def test_the_argument_of_the_user_is_not_kept():
    groups = [{"paths": ["*bias"], "learning_rate": 0.5}]
    optimizer = nnx.SGD(model_of(), 0.1, groups=groups)
    groups[0]["learning_rate"] = 7.0
    groups[0]["paths"].append("*")
    assert optimizer.hyperparameters["learning_rate"] == (0.1, 0.5, 0.1, 0.5)


def test_groups_follow_what_is_frozen_later():
    model = model_of()
    optimizer = nnx.SGD(model, 0.1, groups=[{"paths": "1", "learning_rate": 0.5}])
    nnx.freeze(model, "0.weight")
    assert optimizer.hyperparameters["learning_rate"] == (0.1, 0.5, 0.5)
    before = nnx.to_numpy(copy.deepcopy(model.parameters()))
    optimizer.step({path: np.ones_like(w) for path, w in model.trainable_parameters().items()})
    moved = {path: float(np.max(before[path] - w)) for path, w in model.parameters().items()}
    assert moved == pytest.approx({"0.weight": 0.0, "0.bias": 0.1, "1.weight": 0.5, "1.bias": 0.5})


def test_a_model_whose_sizes_are_open_is_looked_at_in_the_first_step():
    model = nnx.Model([nnx.Linear(None, 2)])
    optimizer = nnx.SGD(model, 0.1, groups=[{"paths": "*gain", "learning_rate": 0.5}])
    with pytest.raises(UsageError, match="not settled"):
        _ = optimizer.hyperparameters
    model(np.ones((1, 3), np.float32))
    with pytest.raises(ArgumentError, match=r"groups\[0\]: expected patterns of paths, got '\*gain', which matches no"):
        optimizer.step({path: np.ones_like(w) for path, w in model.parameters().items()})


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (None, r"expected groups to be a list, such as .*, got None"),
        ({"paths": "*bias"}, r"expected groups to be a list, such as .*, got \{"),
        ("*bias", r"expected groups to be a list, such as .*, got '\*bias'"),
        ([3], r"expected groups\[0\] to be a dict with 'paths', patterns such as '\*bias', got 3"),
        ([{"learning_rate": 1.0}], r"expected groups\[0\] to be a dict with 'paths', .*, got \{'learning_rate': 1.0\}"),
        ([{"path": "*bias", "learning_rate": 1.0}], r"expected groups\[0\] to be .*; did you mean paths\?$"),
        ([{"paths": "*bias", "learning_rat": 1.0}], r"got 'learning_rat'; did you mean learning_rate\?$"),
        ([{"paths": "*bias"}], r"expected hyperparameters in groups\[0\] among learning_rate, .*, got none"),
        (
            [{"paths": "*bias", "lr": 1.0, "decay": 1.0}],
            r"in groups\[0\] among learning_rate, momentum, nesterov, weight_decay, got 'lr', 'decay'",
        ),
        ([{"paths": 3, "learning_rate": 1.0}], r"expected the paths of groups\[0\] to be patterns of paths, .* got 3"),
        (
            [{"paths": "1", "learning_rate": 1.0}, {"paths": "2*", "learning_rate": 1.0}],
            r"groups\[1\]: expected patterns of paths, got '2\*', which matches none of 0.weight, 0.bias",
        ),
        ([{"paths": "1", "learning_rate": -1.0}], r"groups\[0\]: expected a finite learning_rate >= 0, got -1.0"),
        ([{"paths": "1", "nesterov": "no"}], r"groups\[0\]: expected nesterov to be True or False, got 'no'"),
    ],
)
def test_errors(groups, message):
    with pytest.raises(ArgumentError, match=message):
        nnx.SGD(model_of(), 0.1, groups=groups)


def test_an_optimizer_of_your_own_has_groups():
    class Descent(nnx.optimizers.Optimizer):
        @staticmethod
        def rule(gradients, state, parameters, step, hyperparameters):
            rates = blocks.PerParameter.of(hyperparameters["learning_rate"], len(parameters))
            return [w - rate * g for w, g, rate in zip(parameters, gradients, rates, strict=True)], state

    model = model_of()
    before = nnx.to_numpy(copy.deepcopy(model.parameters()))
    Descent(model, 0.1, groups=[{"paths": "*weight", "learning_rate": 0.5}]).step(
        {path: np.ones_like(w) for path, w in model.parameters().items()}
    )
    for path, w in model.parameters().items():
        np.testing.assert_allclose(before[path] - w, 0.5 if path.endswith("weight") else 0.1)


def test_a_rule_over_whole_arrays_takes_half_precision_beside_other_arrays():
    class Normalized(nnx.optimizers.Optimizer):
        is_elementwise = False

        @staticmethod
        def rule(gradients, state, parameters, step, hyperparameters):
            assert {x.dtype.name for x in (*gradients, *parameters)} == {"float32"}
            norm = np.sqrt(sum(np.sum(g * g) for g in gradients))
            rates = blocks.PerParameter.of(hyperparameters["learning_rate"], len(parameters))
            return [w - rate * g / norm for w, g, rate in zip(parameters, gradients, rates, strict=True)], state

    model = model_of(dtype="float32")
    model[1].to(dtype="float16")
    before = nnx.to_numpy(copy.deepcopy(model.parameters()))
    Normalized(model, 1.0, groups=[{"paths": "*bias", "learning_rate": 2.0}]).step(
        {path: np.ones_like(w) for path, w in model.parameters().items()}
    )
    assert [w.dtype.name for w in model.parameters().values()] == ["float32", "float32", "float16", "float16"]
    for path, w in model.parameters().items():
        change = (2.0 if path.endswith("bias") else 1.0) / np.sqrt(17)
        np.testing.assert_allclose(before[path] - w, change, rtol=1e-5 if path.startswith("0") else 2e-3)

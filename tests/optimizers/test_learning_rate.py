"""Learning rates that are schedules."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError
from nnx.testing import assert_close


@dataclass(frozen=True)
class Halving:
    """Half the rate in each step."""

    start: float

    def __call__(self, step):
        return self.start * 0.5**step


def model_of():
    return nnx.Linear(1, 1, initializer=nnx.initializers.Constant(1.0))


ONES = {"weight": np.ones((1, 1), np.float32), "bias": np.ones(1, np.float32)}


def test_a_step_has_the_rate_of_its_number():
    model = model_of()
    optimizer = nnx.SGD(model, Halving(0.5))
    seen = []
    for _ in range(3):
        seen.append(optimizer.learning_rate)
        optimizer.step(ONES)
    assert seen == [0.5, 0.25, 0.125]
    assert optimizer.hyperparameters["learning_rate"] == optimizer.learning_rate == 0.0625
    assert model.weight.item() == 0.125


def test_a_group_has_a_schedule_of_its_own():
    optimizer = nnx.SGD(model_of(), 1.0, groups=[{"paths": "bias", "learning_rate": Halving(0.5)}])
    optimizer.step(ONES)
    assert optimizer.hyperparameters["learning_rate"] == (1.0, 0.25)
    optimizer.learning_rate = Halving(4.0)
    assert optimizer.hyperparameters["learning_rate"] == (2.0, 0.25)


def test_a_number_replaces_the_schedule():
    optimizer = nnx.Adam(model_of(), Halving(0.5))
    optimizer.step(ONES)
    optimizer.learning_rate = 3
    optimizer.step(ONES)
    assert optimizer.learning_rate == 3.0
    assert type(optimizer.learning_rate) is float


def test_a_restored_run_needs_only_the_number_of_steps():
    optimizer = nnx.SGD(model_of(), Halving(0.5))
    optimizer.step(ONES)
    assert optimizer.state_dict() == {"step": 1}
    assert nnx.SGD(model_of(), Halving(0.5)).load_state_dict({"step": 2}).learning_rate == 0.125


@pytest.mark.parametrize("taken", [0, 2])
def test_a_resumed_run_has_the_same_bits(xp, taken):
    def made():
        with nnx.use_backend(xp.spec):
            model = nnx.Linear(1, 1, rng=0)
        return nnx.AdamW(model, Halving(0.5), groups=[{"paths": "bias", "learning_rate": Halving(0.1)}])

    def run(optimizer, steps):
        for step in steps:
            optimizer.step({path: (step + 1) * nnx.namespace(w).ones_like(w) for path, w in model.parameters().items()})

    optimizer, resumed = made(), made()
    model = optimizer.model
    run(optimizer, range(taken))
    saved = model.state_dict(), optimizer.state_dict()
    run(optimizer, range(taken, 5))
    resumed.model.load_state_dict(saved[0])
    run(resumed.load_state_dict(saved[1]), range(taken, 5))
    assert_close(resumed.model.parameters(), model.parameters(), rtol=0.0, atol=0.0)
    assert_close(resumed.state_dict(), optimizer.state_dict(), rtol=0.0, atol=0.0)


def test_numbers_of_numpy_do_not_widen_float32():
    model = model_of()
    nnx.SGD(model, lambda step: np.float64(0.5)).step(ONES)
    assert model.weight.dtype.name == "float32"


def test_configuration_and_repr():
    optimizer = nnx.Adam(model_of(), Halving(0.5), groups=[{"paths": "bias", "learning_rate": Halving(0.1)}])
    optimizer.step(ONES)
    config = json.loads(json.dumps(optimizer.config()))
    again = nnx.from_config(config, model=model_of(), allow=[Halving])
    assert again.config() == config
    assert again.hyperparameters["learning_rate"] == (0.5, 0.1)
    assert repr(again) == repr(optimizer)
    assert "learning_rate=Halving(start=0.5), betas" in repr(optimizer)


def test_configuration_with_a_schedule_of_nnx():
    rate = nnx.schedules.WarmUp(nnx.schedules.Cosine(0.5, steps=10), steps=4)
    groups = [{"paths": "bias", "learning_rate": nnx.schedules.Constant(0.25)}]
    optimizer = nnx.Adam(model_of(), rate, groups=groups)
    again = nnx.from_config(json.loads(json.dumps(optimizer.config())), model=model_of())
    assert again.config() == optimizer.config()
    for _ in range(3):
        assert again.hyperparameters["learning_rate"] == optimizer.hyperparameters["learning_rate"]
        for each in (again, optimizer):
            each.step(ONES)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, None, "0.1", [0.1]])
def test_error_for_a_schedule_that_gives_no_rate(value):
    model = model_of()
    optimizer = nnx.SGD(model, lambda step: 0.5 if step < 2 else value)
    optimizer.step(ONES)
    optimizer.step(ONES)
    with pytest.raises(ArgumentError, match=r"a schedule that returns a finite learning_rate >= 0, got .* at step 2"):
        optimizer.step(ONES)
    assert model.weight.item() == 0.0
    assert optimizer.state_dict() == {"step": 2}


def test_error_for_the_class_of_a_schedule():
    with pytest.raises(ArgumentError, match="expected a finite learning_rate >= 0, got <class"):
        nnx.SGD(model_of(), Halving)


def test_error_for_a_configuration_with_a_lambda():
    with pytest.raises(ArgumentError, match="learning_rate: expected an argument that JSON can hold"):
        nnx.SGD(model_of(), lambda step: 0.1).config()


def test_all_rates_at_once():
    groups = [{"paths": "bias", "learning_rate": 0.5}, {"paths": "weight", "weight_decay": 0.0}]
    optimizer = nnx.SGD(model_of(), 1.0, groups=groups)
    assert optimizer.learning_rates == (1.0, 0.5)
    optimizer.learning_rates = [rate / 2 for rate in optimizer.learning_rates]
    assert optimizer.hyperparameters["learning_rate"] == (0.5, 0.25)
    assert nnx.from_config(optimizer.config(), model=model_of()).learning_rates == (0.5, 0.25)
    optimizer.learning_rates = (Halving(1.0), 3)
    assert optimizer.learning_rates == (Halving(1.0), 3.0)
    before = optimizer.config()
    with pytest.raises(ArgumentError, match="expected 2 learning rates, got 1"):
        optimizer.learning_rates = (1.0,)
    with pytest.raises(ArgumentError, match="expected a finite learning_rate >= 0, got -1"):
        optimizer.learning_rates = (1.0, -1)
    with pytest.raises(ArgumentError, match="expected a finite learning_rate >= 0, got nan"):
        optimizer.learning_rates = (float("nan"), 1.0)
    assert optimizer.config() == before

"""Gradients of small batches add up to that of the large one."""

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, CheckpointError
from nnx.testing import assert_close
from nnx.training import Accumulation, LossScale

RNG = np.random.default_rng(0)
INPUTS, TARGETS = RNG.normal(size=(11, 3)), RNG.normal(size=(11, 2))
PARTS = (slice(0, 4), slice(4, 8), slice(8, 11))  # the last one is shorter


def gradients_of(xp, model, part=slice(None)):
    x, target = (xp.asarray(data[part], "float64") for data in (INPUTS, TARGETS))
    return nnx.grad(lambda model: nnx.functional.mse(model(x), target))(model)


def model_on(xp):
    with nnx.use_backend(xp.spec):
        return nnx.Model(
            [nnx.Linear(3, 4, rng=0, dtype="float64"), nnx.Tanh(), nnx.Linear(4, 2, rng=1, dtype="float64")]
        )


def test_the_mean_is_the_gradient_of_the_large_batch(xp):
    model, accumulation = model_on(xp), Accumulation(every=3)
    found = [accumulation.add(gradients_of(xp, model, part), len(INPUTS[part])) for part in PARTS]
    assert found[:2] == [None, None]
    assert_close(found[2], dict(gradients_of(xp, model)), rtol=1e-12, atol=1e-14)
    assert accumulation.flush() is None


def test_what_is_left_at_the_end_of_an_epoch_is_a_step_too(xp):
    model, accumulation = model_on(xp), Accumulation(every=2)
    for part in PARTS:
        accumulation.add(gradients_of(xp, model, part), len(INPUTS[part]))
    assert_close(accumulation.flush(), dict(gradients_of(xp, model, PARTS[-1])), rtol=0.0)
    assert accumulation.flush() is None


def test_a_state_in_the_middle_continues_with_the_same_bits(xp):
    model = model_on(xp)
    gradients = [dict(gradients_of(xp, model, part)) for part in PARTS]
    whole, first, second = (Accumulation(every=3) for _ in range(3))
    for g, part in zip(gradients[:2], PARTS, strict=False):
        whole.add(g, len(INPUTS[part]))
        first.add(g, len(INPUTS[part]))
    state = first.state_dict()
    host = nnx.to_numpy(state)  # as a file has it
    expected = whole.add(gradients[2], 3)
    assert_close(first.add(gradients[2], 3), expected, rtol=0.0)  # which must not write into the state
    assert_close(second.load_state_dict(host).add(gradients[2], 3), expected, rtol=0.0)
    assert_close(second.load_state_dict(state).add(gradients[2], 3), expected, rtol=0.0)
    at_the_end = Accumulation(every=4).load_state_dict(host, like=model.trainable_parameters())
    assert_close(at_the_end.flush(), {path: sums / 2.0 for path, sums in state["sums"].items()}, rtol=0.0)


def test_gradients_are_not_written_and_the_mean_is_the_callers():
    g = {"weight": np.asarray([1.0, 2.0])}
    accumulation = Accumulation(every=2)
    accumulation.add(g)
    mean = accumulation.add(g)
    mean["weight"][:] = 7.0
    accumulation.add(g)
    assert_close(accumulation.add(g), {"weight": np.asarray([1.0, 2.0])}, rtol=0.0)
    assert_close(g, {"weight": np.asarray([1.0, 2.0])}, rtol=0.0)
    assert Accumulation(every=1).add(g)["weight"] is not g["weight"]


def test_there_is_one_sum_which_is_added_to_in_place():
    accumulation = Accumulation(every=9)
    accumulation.add({"weight": np.ones(3)}, 2)
    held = accumulation._sums["weight"]
    for weight in (2, 3):
        accumulation.add({"weight": np.ones(3)}, weight)
        assert accumulation._sums["weight"] is held


@pytest.mark.parametrize("divisors", [(0, 2, 3), (0.0, 0.0, 0.0), (None, None, None)])
@pytest.mark.parametrize("kind", ["numbers", "arrays"])
def test_divisors_of_0_and_none(xp, monkeypatch, divisors, kind):
    monkeypatch.setattr("nnx.training.accumulation.is_cheap_to_read", lambda x: False)  # as on a device
    accumulation, restored = Accumulation(every=3), Accumulation(every=3)
    gradients = [{"weight": xp.asarray([number, 1.0])} for number in (0.0, 1.0, 2.0)]
    for g, divisor in zip(gradients, divisors, strict=True):
        given = divisor if kind == "numbers" or divisor is None else xp.asarray(divisor, "int32")
        restored.load_state_dict(nnx.to_numpy(accumulation.state_dict()))
        mean = accumulation.add(g, given)
    expected = [3.0, 3.0] if divisors[0] is None else [1.6, 1.0] if divisors[1] else [0.0, 0.0]
    assert_close(mean, {"weight": xp.asarray(expected)}, rtol=1e-6)
    assert_close(restored.add(g, given), mean, rtol=0.0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_sums_of_half_precision_are_in_float32(xp, dtype):
    if not hasattr(xp.namespace, dtype):
        pytest.skip(f"{xp.name} has no {dtype}")
    accumulation = Accumulation(every=4096)
    g = {"weight": xp.asarray([1.0, 1e-3], dtype)}
    found = [accumulation.add(g) for _ in range(4096)][-1]
    assert_close(found, g, rtol=0.0)  # a sum in 16 bits would stop at 2048 or 256


def test_with_a_loss_scale_a_window_that_overflows_is_skipped_as_a_whole():
    accumulation, scale = Accumulation(every=2), LossScale(4.0)
    steps = []
    for g in (1.0, np.inf, 1.0, 3.0):
        mean = accumulation.add({"weight": np.asarray([4.0 * g], np.float32)})
        if mean is not None:
            mean, finite = scale.unscale(mean)
            scale.update(finite)
            steps.append((finite, scale.value, float(mean["weight"][0])))
    assert steps == [(False, 2.0, np.inf), (True, 2.0, 4.0)]  # scaled by 4, unscaled by 2


@pytest.mark.parametrize("every", [0, 1.5, None])
def test_error_for_a_number_of_batches(every):
    with pytest.raises(ArgumentError, match="expected every to be an integer of at least 1, got"):
        Accumulation(every)


def test_errors_of_add():
    accumulation = Accumulation(every=3)
    g = {"weight": np.ones(2)}
    for divisor in (-1.0, np.asarray(-1.0)):
        with pytest.raises(ArgumentError, match=r"expected a divisor >= 0, such as the number of samples, got -1\.0"):
            accumulation.add(g, divisor)
    with pytest.raises(ArgumentError, match="expected a finite divisor, got nan"):
        accumulation.add(g, np.nan)
    accumulation.add(g)
    with pytest.raises(
        ArgumentError, match=r"of the parameters whose sums are kept, \['weight'\], got \['bias'\]; call"
    ):
        accumulation.add({"bias": np.ones(2)})
    with pytest.raises(ArgumentError, match=r"for each batch of a step or None for each.*got None after the other"):
        accumulation.add(g, None)
    accumulation.flush()
    accumulation.add(g, None)
    with pytest.raises(ArgumentError, match="which is for a loss that is a sum, got a number after the other; call"):
        accumulation.add(g, 2)


STATE = {"count": 1, "weight": 1.0, "first": 4.0, "sums": {"weight": np.ones(2, np.float32)}}


@pytest.mark.parametrize(
    "change",
    [
        {"count": 3},
        {"count": -1},
        {"count": 0},
        {"weight": -1.0},
        {"weight": "1"},
        {"weight": np.ones(2)},
        {"first": -1.0},
        {"sums": {}},
        {"sums": {"weight": 1.0}},
        {"more": 1},
    ],
)
def test_error_for_a_state_that_cannot_be(change):
    with pytest.raises(
        CheckpointError, match="expected the state of an Accumulation of every 3 batches: count < 3, weight"
    ):
        Accumulation(every=3).load_state_dict(STATE | change)


def test_error_for_sums_that_do_not_fit():
    accumulation = Accumulation(every=3)
    accumulation.add({"bias": np.ones(1)})
    with pytest.raises(CheckpointError, match=r"do not fit Accumulation: weight: expected shape \(3,\), got \(2,\)"):
        accumulation.load_state_dict(STATE, like={"weight": np.ones(3, np.float32)})
    assert_close(accumulation.flush(), {"bias": np.ones(1)})  # nothing was changed
    with pytest.raises(CheckpointError, match="weight: expected dtype float64, got float32"):
        accumulation.load_state_dict(STATE).add({"weight": np.ones(2)})

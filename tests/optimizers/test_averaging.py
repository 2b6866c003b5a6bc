"""Averages of weights: their formulas, the block in which they are applied, state, memory."""

import gc
import json
import tracemalloc

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, CheckpointError, UsageError
from nnx.testing import assert_close


def model_of(spec="numpy", dtype="float32", size=3):
    with nnx.use_backend(spec):
        return nnx.Model([nnx.Linear(size, size, rng=0, dtype=dtype), nnx.BatchNorm1d(size, dtype=dtype)])


def walk(model, average, steps, seed=0):
    """Train with random gradients, and return the parameters after each step."""
    optimizer, rng = nnx.SGD(model, 0.1), np.random.default_rng(seed)
    seen = []
    for _ in range(steps):
        optimizer.step(
            {
                path: nnx.backend.asarray(rng.normal(size=w.shape), dtype=nnx.backend.dtype_name(w.dtype), like=w)
                for path, w in model.trainable_parameters().items()
            }
        )
        average.update()
        seen.append({path: np.array(nnx.to_numpy(w)) for path, w in model.parameters().items()})
    return seen


def mean(seen):
    return {path: np.mean([state[path] for state in seen], axis=0, dtype="float64") for path in seen[0]}


def as_float64(parameters):
    return {path: np.asarray(nnx.to_numpy(w), "float64") for path, w in parameters.items()}


def test_the_mean_of_all_weights(xp):
    model = model_of(xp.spec)
    average = nnx.SWA(model)
    seen = walk(model, average, 6)
    assert_close(as_float64(average.parameters()), mean(seen), rtol=1e-6)
    for path, w in average.parameters().items():
        own = model.parameters()[path]
        assert (type(w), w.dtype, nnx.backend.device_of(w)) == (type(own), own.dtype, nnx.backend.device_of(own))


@pytest.mark.parametrize(
    ("start", "every", "steps", "chosen"),
    [(4, 3, 10, [4, 7, 10]), (4, 3, 3, []), (0, 3, 7, [3, 6]), (0, 1, 3, [1, 2, 3]), (2, 1, 4, [2, 3, 4])],
)
def test_which_weights_are_averaged(start, every, steps, chosen):
    model = model_of()
    average = nnx.SWA(model, start=start, every=every)
    seen = walk(model, average, steps)
    assert (average.updates, average.averaged) == (steps, len(chosen))
    expected = mean([seen[i - 1] for i in chosen]) if chosen else as_float64(model.parameters())
    assert_close(as_float64(average.parameters()), expected, rtol=1e-6)


def test_the_exponential_average(xp):
    model = model_of(xp.spec)
    average = nnx.EMA(model, 0.75, warm_up=False)
    expected = None
    for state in walk(model, average, 6):
        mixed = {path: w if expected is None else 0.75 * expected[path] + 0.25 * w for path, w in state.items()}
        expected = mixed
    assert_close(as_float64(average.parameters()), as_float64(expected), rtol=1e-6)


def test_warm_up():
    model = model_of()
    average = nnx.EMA(model, 0.3)
    expected = None
    for n, state in enumerate(walk(model, average, 8)):
        decay = min(0.3, (1 + n) / (10 + n)) if n else 0.0
        expected = {path: decay * (expected or state)[path] + (1 - decay) * w for path, w in state.items()}
    assert_close(as_float64(average.parameters()), as_float64(expected), rtol=1e-6)


@pytest.mark.parametrize("kind", ["EMA", "SWA"])
@pytest.mark.parametrize("buffers", [False, True])
def test_as_pytorch_averages(kind, buffers):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    tools = torch.optim.swa_utils
    model = model_of(dtype="float64")
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3)).double()
    if kind == "EMA":
        average = nnx.EMA(model, 0.9, warm_up=False, buffers=buffers)
        options = {"multi_avg_fn": tools.get_ema_multi_avg_fn(0.9)}
    else:
        average, options = nnx.SWA(model, buffers=buffers), {}
    averaged = tools.AveragedModel(theirs, use_buffers=buffers, **options)
    rng = np.random.default_rng(0)
    for _ in range(100):
        for path, w in model.parameters().items():
            new = rng.normal(size=w.shape)
            model.replace_parameters({path: new})
            theirs.get_parameter(path).data = torch.asarray(new.T.copy())
        mean = rng.normal(size=3)
        model[1].running_mean.value = mean
        theirs[1].running_mean.data = torch.asarray(mean.copy())
        average.update()
        averaged.update_parameters(theirs)
    with average.applied():
        for path, w in model.parameters().items():
            assert_close(w, averaged.module.get_parameter(path).detach().numpy().T, rtol=1e-12, atol=1e-14)
        if buffers:
            found = model[1].running_mean.value
            assert_close(found, averaged.module[1].running_mean.numpy(), rtol=1e-12, atol=1e-14)
        else:
            assert_close(model[1].running_mean.value, mean, rtol=0.0)


def test_the_block_puts_everything_back(xp):
    model = model_of(xp.spec)
    average = nnx.EMA(model, 0.5)
    walk(model, average, 3)
    before, arrays = nnx.to_numpy(model.state_dict()), model.parameters()
    x = xp.asarray(np.ones((4, 3)))
    with average.applied() as same:
        assert same is model
        assert_close(nnx.to_numpy(model.parameters()), nnx.to_numpy(average.parameters()), rtol=0.0)
        model(x)  # in training mode, where it changes running statistics
    assert all(model.parameters()[path] is array for path, array in arrays.items())
    assert_close(nnx.to_numpy(model.state_dict()), before, rtol=0.0)
    with pytest.raises(ZeroDivisionError), average.applied():
        raise ZeroDivisionError
    assert all(model.parameters()[path] is array for path, array in arrays.items())
    average.update()


def test_training_in_the_block_does_not_touch_the_average():
    model = model_of()
    average = nnx.SWA(model)
    seen = walk(model, average, 3)
    with average.applied():
        for _ in range(2):
            nnx.SGD(model, 0.5).step({path: np.ones_like(w) for path, w in model.parameters().items()})
    assert_close(as_float64(average.parameters()), mean(seen), rtol=1e-6)


def test_before_the_first_average_the_block_has_the_models_own_weights():
    model = model_of()
    average = nnx.SWA(model, start=100)
    walk(model, average, 2)
    own = nnx.to_numpy(model.parameters())
    assert_close(average.parameters(), own, rtol=0.0)
    with average.applied():
        assert_close(model.parameters(), own, rtol=0.0)
    assert average.state_dict() == {"updates": 2, "averaged": 0}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_averages_in_float32(xp, dtype):
    if not hasattr(xp.namespace, dtype):
        pytest.skip(f"{xp.name} has no {dtype}")
    model = model_of(xp.spec).to(dtype=dtype)
    average = nnx.EMA(model, 0.999, warm_up=False)
    one = xp.namespace.ones_like(model[0].bias)
    model[0].bias = 0 * one
    average.update()
    model[0].bias = one
    for _ in range(1000):  # each step is below the resolution of 16 bits near 1
        average.update()
    kept = average.state_dict()["average.0.bias"]
    assert nnx.backend.dtype_name(kept.dtype) == "float32"
    assert float(kept[0]) == pytest.approx(1 - 0.999**1000, rel=1e-3)
    assert nnx.backend.dtype_name(average.parameters()["0.bias"].dtype) == dtype
    with average.applied():
        assert nnx.backend.dtype_name(model[0].bias.dtype) == dtype
        assert float(model[0].bias[0]) == pytest.approx(1 - 0.999**1000, rel=1e-2)


def test_frozen_parameters_take_no_memory_until_they_are_trained():
    model = model_of()
    nnx.freeze(model, "0.*")
    average = nnx.SWA(model)
    seen = walk(model, average, 3)
    assert average.state_dict()["average.0.weight"] is model[0].weight
    nnx.unfreeze(model, "0.*")
    nnx.freeze(model, "1.*")
    seen += walk(model, average, 3)
    assert_close(as_float64(average.parameters()), mean(seen), rtol=1e-6)


def test_an_update_takes_no_memory_and_who_holds_an_average_keeps_it():
    model = model_of(size=1024)
    average = nnx.EMA(model, 0.5)
    average.update()
    with average.applied():
        pass
    held = average.state_dict()
    before = {name: np.array(value) for name, value in held.items()}
    average.update()  # makes copies, as the average is held
    assert_close({name: np.asarray(value) for name, value in held.items()}, before, rtol=0.0)
    del held
    model.replace_parameters({path: w + 1 for path, w in model.parameters().items()})
    ids = {name: id(value) for name, value in average.state_dict().items()}
    gc.collect()
    tracemalloc.start()
    average.update()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert {name: id(value) for name, value in average.state_dict().items() if name != "updates"}.items() <= (
        ids | {"averaged": id(average.averaged)}
    ).items()
    assert peak < 2**20, "blocks alone"


def test_a_step_writes_in_place_again_after_the_block():
    model = model_of()
    average = nnx.EMA(model)
    average.update()
    optimizer = nnx.SGD(model, 0.1)
    for _ in range(2):
        with average.applied():
            pass
        ids = {path: id(w) for path, w in model.parameters().items()}
        optimizer.step({path: np.ones_like(w) for path, w in model.parameters().items()})
    assert {path: id(w) for path, w in model.parameters().items()} == ids


@pytest.mark.parametrize("buffers", [False, True])
@pytest.mark.parametrize("restored_at", [0, 1, 5])
def test_a_restored_average_goes_on_with_the_same_bits(xp, restored_at, buffers):
    make = lambda model: nnx.SWA(model, start=2, every=2, buffers=buffers)  # noqa: E731
    model, twin = model_of(xp.spec), model_of(xp.spec)
    average, other = make(model), make(twin)
    walk(model, average, restored_at)
    other.load_state_dict(average.state_dict())
    twin.load_state_dict(model.state_dict())
    walk(model, average, 5, seed=1)
    walk(twin, other, 5, seed=1)
    first, second = nnx.to_numpy(average.state_dict()), nnx.to_numpy(other.state_dict())
    assert list(first) == list(second)
    assert (first.pop("updates"), first.pop("averaged")) == (second.pop("updates"), second.pop("averaged"))
    assert_close(first, second, rtol=0.0)


def test_it_moves_after_the_model():
    model = model_of()
    average = nnx.EMA(model)
    walk(model, average, 2)
    model.to(dtype="float64")
    with pytest.raises(UsageError, match=r"'0.weight' as float32, and the model has float64 now, .* average\.to\("):
        average.update()
    average.to(dtype="float64").update()
    model.to(dtype="float16")
    average.to(dtype="float16").update()
    assert average.state_dict()["average.0.bias"].dtype == "float32"


def test_another_library():
    pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    model = model_of()
    average = nnx.EMA(model)
    walk(model, average, 2)
    model.to("array-api-strict")
    with pytest.raises(UsageError, match=r"the average keeps 'average' of '0.weight' on another device .* average\.to"):
        average.update()
    average.to("array-api-strict").update()
    assert average.updates == 3


def test_a_model_that_has_changed():
    model = model_of()
    average = nnx.EMA(model)
    average.update()
    model.append(nnx.Linear(3, 1))
    text = r"the model's parameters have changed since this average was made: gone \[\], new \['2.weight', '2.bias'\]"
    for use in (average.update, average.parameters, lambda: average.applied().__enter__()):
        with pytest.raises(UsageError, match=text):
            use()
    assert average.updates == 1
    del model[2]
    model[0] = nnx.Linear(4, 3)
    with pytest.raises(UsageError, match=r"the average was made for a '0.weight' of shape \(3, 3\), .* a new average"):
        average.update()


def test_configuration():
    model = model_of()
    for average in (nnx.EMA(model, 0.9, warm_up=False, buffers=True), nnx.SWA(model, 5, every=3)):
        made = nnx.from_config(json.loads(json.dumps(average.config())), model=model)
        assert made.config() == average.config()
        assert repr(made) == repr(average)
    assert repr(nnx.SWA(model, 5, 3)) == "SWA(start=5, every=3)"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nnx.EMA([1]), "expected the model whose weights are averaged, got list"),
        (lambda: nnx.EMA(model_of(), 1.0), r"expected decay in \[0, 1\), got 1.0"),
        (lambda: nnx.EMA(model_of(), warm_up=10), "expected warm_up to be True or False, got 10"),
        (lambda: nnx.EMA(model_of(), buffers="yes"), "expected buffers to be True or False, got 'yes'"),
        (lambda: nnx.SWA(model_of(), -1), "expected start to be an integer of at least 0, got -1"),
        (lambda: nnx.SWA(model_of(), every=0), "expected every to be an integer of at least 1, got 0"),
    ],
)
def test_arguments(make, message):
    with pytest.raises(ArgumentError, match=message):
        make()


def test_order_of_calls():
    average = nnx.EMA(model_of())
    with average.applied():
        with pytest.raises(UsageError, match=r"the averaged weights now; call update after the block of applied\(\)"):
            average.update()
        with pytest.raises(UsageError, match=r"the average is applied already; leave the block"), average.applied():
            pass
    average.update()
    with pytest.raises(UsageError, match=r"WeightAverage defines no share\(self\)"):
        nnx.WeightAverage(model_of()).update()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("updates"), "updates: missing"),
        (lambda s: s.pop("average.0.bias"), "average.0.bias: missing"),
        (lambda s: s.update({"average.x": np.ones(1)}), "average.x: not in its state"),
        (
            lambda s: s.update({"average.0.bias": np.ones(9, "f4")}),
            r"average.0.bias: expected shape \(3,\), got \(9,\)",
        ),
        (
            lambda s: s.update(averaged=3),
            "expected counts 0 <= averaged <= updates, .* averaged 3, updates 2 and 4",
        ),
        (lambda s: s.update(averaged=0), "and an average if averaged > 0, got averaged 0, updates 2 and 4 arrays"),
        (lambda s: s.update(updates=1.5), "updates: expected an integer, got 1.5"),
    ],
)
def test_a_state_that_does_not_fit(change, message):
    model = model_of()
    average = nnx.EMA(model)
    walk(model, average, 2)
    state = average.state_dict()
    change(state)
    with pytest.raises(CheckpointError, match=f"the saved values do not fit EMA: .*{message}"):
        average.load_state_dict(state)
    assert (average.updates, average.averaged) == (2, 2)

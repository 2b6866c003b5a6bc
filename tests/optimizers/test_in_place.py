"""A step writes in place where nobody can see it, and only there."""

import copy
import gc
import importlib.util
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nnx
from nnx.backend import blocks
from nnx.testing import assert_close

OPTIONS = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "nesterov": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
}


def model_of(*sizes, dtype="float32", spec="numpy"):
    with nnx.use_backend(spec):
        rng = nnx.generator(0)
        return nnx.Model([nnx.Linear(a, b, rng=rng, dtype=dtype) for a, b in pairwise(sizes)])


def gradients_of(model, seed=0):
    draw = np.random.default_rng(seed)
    return {
        path: nnx.backend.asarray(draw.standard_normal(w.shape), dtype=nnx.backend.dtype_name(w.dtype), like=w)
        for path, w in model.parameters().items()
    }


def ids(model):
    return {path: id(array) for path, array in model.parameters().items()}


def stepper(model, style, options):
    if style == "update":

        def step(gradients):
            vars(model)["_gradients"] = gradients
            model.update(0.1)

        return step
    return nnx.SGD(model, 0.1, **options).step


@pytest.mark.parametrize(("style", "options"), [("update", {}), *(("step", o) for o in OPTIONS.values())])
def test_a_step_takes_no_memory_for_parameters(style, options):
    model = model_of(1024, 1024, 1024, 1024)
    gradients, step = gradients_of(model), stepper(model, style, options)
    step(gradients)  # makes the state
    before = ids(model)
    gc.collect()
    tracemalloc.start()
    try:
        step(gradients)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert ids(model) == before
    assert peak < 0.15 * 4 * 1024**2  # of one weight


def test_training_finds_the_parameters_free():
    model, x = model_of(4, 5, 3), np.ones((2, 4), np.float32)
    optimizer, target = nnx.SGD(model, 0.1), np.asarray([0, 2])
    before = ids(model)
    gc.disable()
    try:
        for _ in range(3):
            _, gradients = nnx.value_and_grad(lambda m: nnx.functional.cross_entropy(m(x), target))(model)
            optimizer.step(gradients)
            del gradients
    finally:
        gc.enable()
    assert ids(model) == before


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("block", [1, 7, 32_768])
def test_in_place_and_replaced_give_the_same_bits(options, block, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", block)
    models = [model_of(5, 6, 3) for _ in range(2)]
    optimizers = [nnx.SGD(model, 0.1, **options) for model in models]
    for i in range(4):
        held = models[1].parameters(), optimizers[1].state_dict()
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.step(gradients_of(model, i))
        del held
    assert_close(models[0].parameters(), models[1].parameters(), rtol=0.0, atol=0.0)
    first, second = (optimizer.state_dict() for optimizer in optimizers)
    assert_close(first, second, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("style", ["update", "step"])
def test_who_holds_an_array_keeps_its_values(xp, style, options):
    model = model_of(3, 4, 2, spec=xp.spec)
    optimizer = nnx.SGD(model, 0.1, **options)
    step = stepper(model, style, options) if style == "update" else optimizer.step
    step(gradients_of(model))
    state, saved = model.state_dict(), optimizer.state_dict()
    views = {path: w[1:, ...] for path, w in model.parameters().items()}
    pullback = nnx.vjp(lambda x: model(x), xp.asarray(np.ones((1, 3))))[1]
    one = xp.asarray(np.ones((1, 2)))
    before = [nnx.to_numpy(copy.deepcopy(tree)) for tree in (state, saved, views, pullback(one))]
    gradients = gradients_of(model, 1)
    given = {path: np.array(nnx.to_numpy(g)) for path, g in gradients.items()}
    step(gradients)
    step(gradients)
    assert_close(nnx.to_numpy(gradients), given, rtol=0.0, atol=0.0)
    assert_close([nnx.to_numpy(tree) for tree in (state, saved, views, pullback(one))], before, rtol=0.0, atol=0.0)
    assert not np.array_equal(nnx.to_numpy(model.parameters()["0.weight"]), before[0]["0.weight"])


def hold_torch(array):
    return importlib.import_module("torch").from_numpy(array)


def nothing(array):
    return None


KINDS = [nothing, lambda a: a, lambda a: a[:1], memoryview, lambda a: a.T, np.from_dlpack, nnx.Buffer]
KINDS += [hold_torch] * (importlib.util.find_spec("torch") is not None)


def seen(holder):
    holder = holder.value if isinstance(holder, nnx.Buffer) else holder
    return None if holder is None else np.array(nnx.to_numpy(holder))


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(KINDS)), min_size=4, max_size=4), st.data())
def test_random_holders(kinds, data):
    """Of parameters and of the velocity, at different times, over several steps."""
    model, twin = model_of(3, 4, 2), model_of(3, 4, 2)
    optimizer, reference = nnx.SGD(model, 0.1, momentum=0.9), nnx.SGD(twin, 0.1, momentum=0.9)
    held = []
    for i in range(4):
        if data.draw(st.booleans()):
            path = data.draw(st.sampled_from(sorted(model.parameters())))
            of_parameter, of_velocity = (
                kind(array)
                for kind, array in zip(
                    kinds[i], (model.parameters()[path], optimizer.state_dict()[f"velocity.{path}"]), strict=True
                )
            )
            held += [(holder, seen(holder)) for holder in (of_parameter, of_velocity)]
        gradients = gradients_of(model, i)
        optimizer.step(gradients)
        everything = twin.parameters(), reference.state_dict()  # so that the twin always gets new arrays
        reference.step(gradients)
        del everything
    for holder, before in held:
        np.testing.assert_array_equal(seen(holder), before) if before is not None else None
    assert_close(model.parameters(), twin.parameters(), rtol=0.0, atol=0.0)


def test_a_best_model_that_was_kept():
    model = model_of(3, 2)
    optimizer = nnx.SGD(model, 0.1)
    best = copy.copy(model.state_dict())
    twin = copy.deepcopy(model)
    optimizer.step(gradients_of(model))
    assert_close(best, twin.state_dict(), rtol=0.0)
    model.load_state_dict(best)
    optimizer.step(gradients_of(model))
    assert_close(best, twin.state_dict(), rtol=0.0)


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_in_another_order(order, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", 5)
    model = nnx.Linear(4, 3, rng=0)
    model.weight = np.array(model.weight, order="F")
    gradients = {"weight": np.array(np.arange(12.0).reshape(4, 3), np.float32, order=order), "bias": np.ones(3, "f4")}
    expected = model.weight - 0.5 * gradients["weight"]
    nnx.SGD(model, 0.5).step(gradients)
    assert_close(model.weight, expected, rtol=0.0)


def test_a_rule_that_looks_at_whole_arrays(monkeypatch):
    class Normalized(nnx.optimizers.Optimizer):
        is_elementwise = False

        @staticmethod
        def rule(gradients, state, parameters, step, hyperparameters):
            xp, rate = nnx.namespace(*parameters), hyperparameters["learning_rate"]
            pairs = zip(parameters, gradients, strict=True)
            return [w - rate * g / xp.linalg.vector_norm(g) for w, g in pairs], state

    monkeypatch.setattr(blocks, "BLOCK", 2)
    model = model_of(4, 3)
    expected = {
        path: w - 0.5 * g / np.linalg.norm(g)
        for (path, w), g in zip(model.parameters().items(), gradients_of(model).values(), strict=True)
    }
    Normalized(model, 0.5).step(gradients_of(model))
    assert_close(model.parameters(), expected, rtol=1e-6)


class Replacing(nnx.optimizers.Optimizer):
    """A rule that writes into nothing."""

    @staticmethod
    def init(parameters, hyperparameters):
        return {"sum": [nnx.namespace(w).zeros_like(w) for w in parameters]}

    @staticmethod
    def rule(gradients, state, parameters, step, hyperparameters):
        sums = [s + g for s, g in zip(state["sum"], gradients, strict=True)]
        return [w - 0.1 * s for w, s in zip(parameters, sums, strict=True)], {"sum": sums}


@pytest.mark.parametrize("block", [1, 5, 32_768])
def test_a_rule_may_return_new_arrays(xp, block, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", block)
    model = model_of(4, 3, spec=xp.spec)
    expected = {path: np.array(nnx.to_numpy(w)) for path, w in model.parameters().items()}
    optimizer, sums = Replacing(model, 0.1), {path: 0.0 * w for path, w in expected.items()}
    for i in range(3):
        gradients = gradients_of(model, i)
        optimizer.step(gradients)
        for path, g in nnx.to_numpy(gradients).items():
            sums[path] = sums[path] + g
            expected[path] = expected[path] - np.float32(0.1) * sums[path]
    assert_close(nnx.to_numpy(model.parameters()), expected, rtol=1e-6)


def test_a_rule_that_fails_on_copies_has_changed_nothing():
    class Failing(nnx.optimizers.Optimizer):
        @staticmethod
        def rule(gradients, state, parameters, step, hyperparameters):
            for w, g in zip(parameters, gradients, strict=True):
                w -= g
            raise RuntimeError

    model = model_of(2, 2, 2)
    held = model.parameters()
    before = copy.deepcopy(held)
    with pytest.raises(RuntimeError):
        Failing(model, 0.5).step(gradients_of(model))
    assert_close(held, before, rtol=0.0)
    assert_close(model.parameters(), before, rtol=0.0)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_update_is_a_pure_function(xp, options):
    numbers = nnx.SGD(model_of(2, 2), 0.1, **options).hyperparameters
    w, g = xp.asarray([1.0, 2.0]), xp.asarray([0.5, -1.0])
    state = nnx.SGD.init([w], numbers)
    given = [w, g, *(array for column in state.values() for array in column)]
    before = [np.array(nnx.to_numpy(array)) for array in given]
    first = nnx.SGD.update([g], state, [w], 0, numbers)
    assert_close(nnx.to_numpy(given), before, rtol=0.0)
    assert_close(nnx.SGD.update([g], state, [w], 0, numbers), first, rtol=0.0)
    if xp.name == "numpy":
        own = [np.array(array) for array in given]
        written = nnx.SGD.update([g], {name: [own[2]] for name in state}, [own[0]], 0, numbers, [True])
        assert written[0][0] is own[0]
        assert_close(written, first, rtol=0.0)

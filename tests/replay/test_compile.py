"""A compiled function gives what the function gives, bit for bit, call after call."""

import functools
import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import nnx
from nnx.errors import UsageError
from nnx.layers.updates import fitted
from nnx.training import Accumulation


def perceptron() -> Any:
    return nnx.Model([nnx.Linear(5, 7, rng=0), nnx.ReLU(), nnx.Dropout(0.3, seed=1), nnx.Linear(7, 3, rng=1)])


def normalized() -> Any:
    first = [nnx.Linear(5, 6, rng=0), nnx.BatchNorm1d(6), nnx.GELU(), nnx.LayerNorm(6), nnx.Tanh()]
    return nnx.Model([*first, nnx.Linear(6, 3, rng=1)])


def convolutional() -> Any:
    first = [nnx.Unflatten(1, (1, 5)), nnx.Conv1d(1, 4, 3, padding=1, rng=0), nnx.ReLU(), nnx.MaxPool1d(2)]
    return nnx.Model([*first, nnx.Flatten(), nnx.Linear(8, 3, rng=1)])


class Recurrent(nnx.Module):
    def __init__(self) -> None:
        self.cell = nnx.LSTM(5, 4, rng=0)
        self.last = nnx.Linear(4, 3, rng=1)

    def forward(self, x: Any) -> Any:
        xp = nnx.namespace(x, self.last.weight)
        output, _ = self.cell(xp.stack([x, 2 * x], axis=1))
        return self.last(output[:, -1, :])


def attentive() -> Any:
    first = [nnx.Linear(5, 8, rng=0), nnx.Unflatten(1, (2, 4)), nnx.TransformerEncoderBlock(4, 2, 8, rng=1)]
    return nnx.Model([*first, nnx.Flatten(), nnx.Linear(8, 3, rng=2)])


def rerun() -> Any:
    inner = nnx.Model([nnx.Linear(5, 7, rng=0), nnx.Tanh(), nnx.Dropout(0.5, seed=3)])
    return nnx.Model([nnx.Remat(inner), nnx.Linear(7, 3, rng=1)])


MODELS = {f.__name__: f for f in (perceptron, normalized, convolutional, Recurrent, attentive, rerun)}


def objective(model: Any, x: Any, target: Any) -> Any:
    return nnx.functional.cross_entropy(model(x), target)


def train_step(model: Any, optimizer: Any, x: Any, target: Any) -> Any:
    value, gradients = nnx.value_and_grad(objective)(model, x, target)
    optimizer.step(gradients)
    return value


def batches(xp: Any, count: int = 4, dtype: str = "float32") -> list[Any]:
    rng = np.random.default_rng(0)
    return [
        (xp.asarray(rng.standard_normal((4, 5)), dtype), xp.asarray(rng.integers(0, 3, 4), "int64"))
        for _ in range(count)
    ]


def same(xp: Any, first: Any, second: Any) -> None:
    first, second = nnx.tree.tree_flatten(first), nnx.tree.tree_flatten(second)
    assert first.keys() == second.keys()
    for path, a in first.items():
        if not nnx.backend.is_array(a):
            assert a == second[path], path
        elif xp.name == "jax":  # whose compiler fuses, and so rounds otherwise
            np.testing.assert_allclose(xp.to_numpy(a), xp.to_numpy(second[path]), rtol=2e-5, atol=2e-6, err_msg=path)
        else:
            np.testing.assert_array_equal(xp.to_numpy(a), xp.to_numpy(second[path]), err_msg=path)


class Host:
    """NumPy in the place of the fixture ``xp``."""

    name = "numpy"
    asarray = staticmethod(np.asarray)


def adam(model: Any, learning_rate: float) -> Any:
    return nnx.Adam(model, learning_rate, eps=0.1)  # where a gradient is 0 but for rounding, that does not decide


@pytest.mark.parametrize("optimizer", [nnx.SGD, adam], ids=["SGD", "Adam"])
@pytest.mark.parametrize("name", MODELS)
def test_steps_are_those_of_the_function(xp: Any, name: str, optimizer: Callable[..., Any]) -> None:
    models = [MODELS[name]().to(xp.spec) for _ in range(2)]
    optimizers = [optimizer(model, learning_rate=0.1) for model in models]
    compiled = nnx.compile(train_step)
    for x, target in batches(xp):
        eager = train_step(models[0], optimizers[0], x, target)
        same(xp, eager, compiled(models[1], optimizers[1], x, target))
        same(xp, models[0].state_dict(), models[1].state_dict())
    same(xp, optimizers[0].state_dict(), optimizers[1].state_dict())


def _taught(way: str, teacher: Any) -> Any:
    """Return a step towards a teacher, which the step has from outside."""

    def taught(teacher: Any, model: Any, optimizer: Any, x: Any) -> Any:
        value, gradients = nnx.value_and_grad(lambda m: nnx.functional.mse(m(x), teacher(x)))(model)
        optimizer.step(gradients)
        return value

    class Agent:
        def __init__(self) -> None:
            self.teacher = teacher

        def step(self, model: Any, optimizer: Any, x: Any) -> Any:
            return taught(self.teacher, model, optimizer, x)

    match way:
        case "lambda":
            return lambda *given: (lambda: taught(teacher, *given))()
        case "partial":
            return functools.partial(taught, teacher)
        case "default":
            return lambda model, optimizer, x, own=teacher: taught(own, model, optimizer, x)
        case "helper":

            def helper(*given: Any) -> Any:
                return taught(teacher, *given)

            return lambda *given: helper(*given)
    return Agent().step


class TestWhatIsRecordedAnew:
    def step(self) -> tuple[Any, Any, list[Any]]:
        calls = []

        def forward(model: Any, x: Any) -> Any:
            calls.append(1)
            return model(x)

        return nnx.compile(forward), perceptron(), calls

    def test_after_the_second_call_nothing_is(self) -> None:
        compiled, model, calls = self.step()
        for _ in range(5):
            compiled(model, np.ones((2, 5), "float32"))
        assert len(calls) == 2

    def test_another_shape_or_dtype(self) -> None:
        compiled, model, calls = self.step()
        for x in (np.ones((2, 5), "float32"), np.ones((3, 5), "float32"), np.ones((1, 2, 5), "float32")):
            for _ in range(3):
                np.testing.assert_array_equal(compiled(model.eval(), x), model(x))
        assert len(calls) == 6

    def test_the_mode_and_an_attribute(self) -> None:
        compiled, model, _ = self.step()
        x = np.ones((2, 5), "float32")
        for change in (model.train, model.eval, lambda: setattr(model[2], "probability", 0.9), model.train):
            change()
            for _ in range(3):
                other = pickle.loads(pickle.dumps(model))
                np.testing.assert_array_equal(compiled(model, x), other(x))

    def test_a_frozen_parameter(self) -> None:
        model = perceptron()
        gradients = nnx.compile(lambda model, x: nnx.grad(lambda m: nnx.functional.mse(m(x), 0.0 * x[:, :3]))(model))
        x = np.ones((2, 5), "float32")
        for _ in range(3):
            assert len(gradients(model, x)) == 4
        nnx.freeze(model, "0.*")
        for _ in range(3):
            assert len(gradients(model, x)) == 2

    def test_the_kernels(self) -> None:
        compiled, model, calls = self.step()
        for tier in ("portable", "native", "portable"):
            with nnx.use_kernels(tier):
                compiled(model, np.ones((2, 5), "float32"))
        assert len(calls) == 3

    def test_new_values_of_parameters_are_read(self) -> None:
        compiled, model, calls = self.step()
        model.eval()
        x = np.ones((2, 5), "float32")
        for scale in (1.0, 2.0, 3.0, 4.0):
            model[0].weight = scale * model[0].weight
            np.testing.assert_array_equal(compiled(model, x), model(x))
        assert len(calls) == 2

    def test_other_models_are_no_change(self) -> None:
        compiled, model, calls = self.step()
        for _ in range(5):
            compiled(model, np.ones((2, 5), "float32"))
            perceptron()
        assert len(calls) == 2

    def test_another_dtype_of_the_model(self) -> None:
        compiled = nnx.compile(lambda model, x: model(nnx.namespace(x).astype(x, model[0].weight.dtype)))
        model, x = perceptron().eval(), np.ones((2, 5), "float32")
        for dtype in ("float32", "float64", "float32"):
            model.to(dtype=dtype)
            for _ in range(3):
                assert compiled(model, x).dtype == dtype
                np.testing.assert_array_equal(compiled(model, x), model(x.astype(dtype)))


class TestWhatItCanHold:
    def check(self, xp: Any, function: Any, *args: Any, calls: int = 4) -> None:
        compiled = nnx.compile(function)
        for _ in range(calls):
            same(xp, function(*args), compiled(*args))

    def test_plain_array_code(self, xp: Any) -> None:
        def function(x: Any, y: Any) -> Any:
            ns = nnx.namespace(x, y)
            top = ns.argmax(x, axis=1)
            big = ns.where((x > 0) & (y[:, :1] < 1), x, -y)
            parts = {
                "take": ns.take(y, top[:2], axis=0),
                "cast": ns.astype(x > 0, ns.int32),
            }
            joined = ns.concat([big, x], axis=1)
            joined += 1.0
            return parts, [joined, ns.sort(y, axis=1), abs(-x) ** 2], ns.sum(ns.astype(x > 0, ns.int64))

        rng = np.random.default_rng(0)
        self.check(xp, function, *(xp.asarray(rng.standard_normal((4, 3)), "float64") for _ in range(2)))

    def test_derivatives_of_derivatives(self, xp: Any) -> None:
        def function(x: Any) -> Any:
            ns = nnx.namespace(x)
            return ns.sum(ns.tanh(x) ** 3 + nnx.functional.softplus(x))

        x = xp.asarray([0.5, -1.0, 2.0], "float64")
        self.check(xp, nnx.grad(lambda x: nnx.namespace(x).sum(nnx.grad(function)(x) ** 2)), x)
        self.check(xp, nnx.hessian(function), x)
        self.check(xp, lambda x: nnx.jvp(nnx.grad(function), (x,), (x,)), x)
        self.check(xp, lambda x: nnx.hvp(function, x, x), x)

    def test_trees_names_and_what_is_no_array(self, xp: Any) -> None:
        def function(batch: Any, *, scale: float, name: str | None = None) -> Any:
            return {"y": batch["x"] * scale, "name": name, "none": None, "n": 3}

        compiled = nnx.compile(function)
        for scale in (2.0, 2.0, 3.0, 2.0, 3.0):
            x = xp.asarray([scale, 1.0])
            same(xp, function({"x": x}, scale=scale, name="a"), compiled({"x": x}, scale=scale, name="a"))

    def test_an_array_from_outside_is_given_away_as_a_copy(self) -> None:
        constant = np.ones(2)
        compiled = nnx.compile(lambda x: (constant, x + constant))
        for _ in range(4):
            first, _ = compiled(np.zeros(2))
            first += 5.0
            np.testing.assert_array_equal(first, 6.0)
        np.testing.assert_array_equal(constant, 1.0)

    def test_gradients_may_be_written_into(self) -> None:
        compiled = nnx.compile(nnx.grad(lambda x: nnx.namespace(x).sum(x)))
        for _ in range(4):
            gradient = compiled(np.zeros(2))
            np.testing.assert_array_equal(gradient, 1.0)
            gradient += 5.0

    def test_inside_a_transform_and_inside_another(self, xp: Any) -> None:
        square = nnx.compile(lambda x: x * x)
        x = xp.asarray([3.0])
        self.check(xp, lambda x: square(square(x)), x)
        for _ in range(3):
            same(xp, 2 * x, nnx.grad(lambda x: nnx.namespace(x).sum(square(x)))(x))

    def test_open_sizes_are_settled_first(self) -> None:
        models = [nnx.Model([nnx.Linear(None, 3, rng=0)]) for _ in range(2)]
        compiled = nnx.compile(lambda model, x: model(x))
        for _ in range(4):
            np.testing.assert_array_equal(compiled(models[0], np.ones((1, 2), "f")), models[1](np.ones((1, 2), "f")))

    def test_schedules_and_groups(self, xp: Any) -> None:
        models = [perceptron().to(xp.spec) for _ in range(2)]
        optimizers = [
            nnx.AdamW(model, nnx.schedules.Cosine(0.1, 5), groups=[{"paths": "*bias", "learning_rate": 0.5}])
            for model in models
        ]
        compiled = nnx.compile(train_step)
        for x, target in batches(xp, 5):
            same(xp, train_step(models[0], optimizers[0], x, target), compiled(models[1], optimizers[1], x, target))
        same(xp, models[0].state_dict(), models[1].state_dict())

    def test_a_learning_rate_that_is_assigned_counts(self, xp: Any) -> None:
        models = [perceptron().to(xp.spec) for _ in range(2)]
        optimizers = [nnx.SGD(model, 0.1) for model in models]
        compiled = nnx.compile(train_step)
        for rate, (x, target) in enumerate(batches(xp, 4)):
            for optimizer in optimizers:
                optimizer.learning_rate = 0.1 * rate
            same(xp, train_step(models[0], optimizers[0], x, target), compiled(models[1], optimizers[1], x, target))
        same(xp, models[0].state_dict(), models[1].state_dict())

    def test_an_optimizer_that_changes_the_gradients(self, xp: Any) -> None:
        class Twice(nnx.SGD):
            def step(self, gradients: Any) -> None:
                super().step({path: 2 * g for path, g in gradients.items()})

        models = [perceptron().to(xp.spec) for _ in range(2)]
        optimizers = [Twice(model, 0.1, momentum=0.9) for model in models]
        compiled = nnx.compile(train_step)
        for x, target in batches(xp, 5):
            same(xp, train_step(models[0], optimizers[0], x, target), compiled(models[1], optimizers[1], x, target))
        same(xp, models[0].state_dict(), models[1].state_dict())

    def test_an_update_is_checked_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        checks = []
        monkeypatch.setattr("nnx.optimizers.optimizer.fitted", lambda *args: checks.append(1) or fitted(*args))
        model, x = perceptron(), np.ones((4, 5), np.float32)
        optimizer, step = nnx.Adam(model, 0.1), nnx.compile(train_step)
        counts = []
        for i in range(9):
            if i == 6:
                optimizer.load_state_dict(optimizer.state_dict())
            step(model, optimizer, x, np.asarray([0, 1, 2, 2]))
            counts.append(len(checks))
        assert counts[2:] == [counts[2]] * 4 + [counts[2] + 1] * 3

    @pytest.mark.parametrize("way", ["lambda", "partial", "default", "helper", "method"])
    def test_a_model_that_is_named_in_another_way(self, way: str) -> None:
        found = []
        for prepare in (lambda step: step, nnx.compile):
            model, teacher = perceptron().eval(), perceptron().eval()
            optimizer = nnx.SGD(model, 0.1)
            step, losses = prepare(_taught(way, teacher)), []
            for i, (x, _) in enumerate(batches(Host, 6)):
                if i == 3:
                    state = teacher.state_dict()
                    teacher.load_state_dict(state | {"0.weight": 2 * state["0.weight"]})
                losses.append(step(model, optimizer, x))
            found.append(losses)
        np.testing.assert_array_equal(*found)

    def test_the_order_in_memory_may_change(self, xp: Any) -> None:
        if xp.name not in ("numpy", "torch"):
            pytest.skip("about arrays in rows and in columns")
        models = [perceptron().to(xp.spec) for _ in range(2)]
        for model in models:
            model[0].weight = xp.asarray(np.zeros((7, 5), "f4") + np.arange(5, dtype="f4")).T
        optimizers = [nnx.SGD(model, 0.1) for model in models]
        compiled = nnx.compile(train_step)
        for i, (x, target) in enumerate(batches(xp, 6)):
            if i % 2:
                x = xp.asarray(np.array(xp.to_numpy(x)).T).T
            same(xp, train_step(models[0], optimizers[0], x, target), compiled(models[1], optimizers[1], x, target))
        same(xp, models[0].state_dict(), models[1].state_dict())

    def test_a_state_that_is_loaded_counts(self, xp: Any) -> None:
        found = []
        for prepare in (lambda step: step, nnx.compile):
            model = perceptron().to(xp.spec)
            optimizer, step, states = nnx.SGD(model, 0.1, momentum=0.9), prepare(train_step), []
            for i, (x, target) in enumerate(batches(xp, 6)):
                step(model, optimizer, x, target)
                states.append(optimizer.state_dict())
                if i == 4:
                    optimizer.load_state_dict(states[2])
            found.append(model.state_dict() | {"optimizer": optimizer.state_dict()})
        same(xp, *found)


class TestWhatIsWrittenInto:
    """What a call returns or keeps is its own: nothing that is done to it is seen in the next call."""

    def test_an_array_of_a_parameter_that_somebody_else_has_is_left_as_it_is(self) -> None:
        model, (x, target) = perceptron(), (np.ones((4, 5), np.float32), np.asarray([0, 1, 2, 2]))
        optimizer = nnx.SGD(model, 0.1, momentum=0.9)
        step = nnx.compile(train_step)
        held = []
        for _ in range(4):
            step(model, optimizer, x, target)
            held.append((model[0].weight, model[0].weight.copy()))
        for array, copy in held:
            np.testing.assert_array_equal(array, copy)
        assert len({id(array) for array, _ in held}) == 4

    def test_containers_without_arrays(self) -> None:
        compiled = nnx.compile(lambda x: (x, {"n": 1}, []))
        for _ in range(4):
            _, found, more = compiled(np.ones(2))
            assert (found, more) == ({"n": 1}, [])
            found["n"] = 99
            more.append(3)

    def test_a_buffer_that_is_set_to_a_constant(self) -> None:
        class Reset(nnx.Module):
            def __init__(self) -> None:
                self.total = nnx.Buffer(np.zeros(2))

            def forward(self, x: Any) -> Any:
                self.total.value = np.zeros(2)
                return x

        model = Reset()
        compiled = nnx.compile(lambda model, x: model(x))
        for _ in range(4):
            compiled(model, np.ones(2))
            np.testing.assert_array_equal(model.total.value, 0.0)
            model.total.value += 5.0

    def test_an_argument_that_is_added_to(self) -> None:
        def function(x: Any) -> Any:
            x = x * 1.0
            x += 1.0
            return x

        compiled = nnx.compile(function)
        for n in range(4):
            np.testing.assert_array_equal(compiled(np.full(2, float(n))), n + 1.0)

    def test_a_model_and_an_optimizer_that_the_function_names_itself(self, xp: Any) -> None:
        models = [perceptron().to(xp.spec) for _ in range(2)]
        optimizers = [nnx.Adam(model, nnx.schedules.Exponential(0.1, 0.5)) for model in models]
        model, optimizer = models[1], optimizers[1]

        @nnx.compile
        def step(x: Any, target: Any) -> Any:
            value, gradients = nnx.value_and_grad(objective)(model, x, target)
            optimizer.step(gradients)
            return value

        for x, target in batches(xp, 5):
            same(xp, train_step(models[0], optimizers[0], x, target), step(x, target))
        same(xp, models[0].state_dict(), models[1].state_dict())
        same(xp, optimizers[0].state_dict(), optimizers[1].state_dict())

    def test_a_model_itself(self) -> None:
        model = perceptron().eval()
        compiled, x = nnx.compile(model), np.ones((2, 5), "float32")
        for scale in (1.0, 2.0, 3.0, 4.0):
            model[0].weight = scale * model[0].weight
            np.testing.assert_array_equal(compiled(x), model(x))

    def test_a_named_tuple(self) -> None:
        compiled = nnx.compile(lambda x: nnx.namespace(x).linalg.svd(x))
        for _ in range(3):
            assert type(compiled(np.eye(2)).S) is np.ndarray


class TestRefusals:
    def test_what_is_no_function(self) -> None:
        with pytest.raises(nnx.errors.ArgumentError, match="expected a function to compile, got int"):
            nnx.compile(3)

    @pytest.mark.parametrize("read", [float, int, bool], ids=lambda kind: kind.__name__)
    def test_a_branch_on_a_value(self, read: Any) -> None:
        with pytest.raises(nnx.errors.TraceError, match=r"an array inside nnx\.compile cannot become"):
            nnx.compile(lambda x: x if read(x) else -x)(np.asarray(1.0))

    def test_item_assignment(self) -> None:
        def function(x: Any) -> Any:
            x[0] = 1.0
            return x

        with pytest.raises(nnx.errors.TraceError, match=r"item assignment inside nnx\.compile is not recorded"):
            nnx.compile(function)(np.ones(2))

    def test_another_library(self) -> None:
        with pytest.raises(nnx.errors.TraceError, match="handed to another library"):
            nnx.compile(np.from_dlpack)(np.ones(2))
        with pytest.raises(nnx.errors.TraceError, match="same function of the namespace"):
            nnx.compile(np.exp)(np.ones(2))

    def test_a_model_that_is_nowhere_named(self, xp: Any) -> None:
        hidden = {"teacher": [perceptron().to(xp.spec)]}
        step = nnx.compile(lambda x: next(iter(hidden["other"]))(x))
        hidden["other"] = iter(hidden.pop("teacher"))
        before = xp.asarray(np.ones((2, 5)))
        with pytest.raises(
            UsageError, match=r"is called inside nnx\.compile, but the compiled function neither has it"
        ):
            step(before)

    @pytest.mark.parametrize("kind", ["EMA", "Accuracy", "Accumulation"])
    def test_what_adds_up(self, xp: Any, kind: str) -> None:
        model = perceptron().to(xp.spec)
        x, target = batches(xp, 1)[0]
        parts = {
            "EMA": (ema := nnx.EMA(model), lambda: ema.update()),
            "Accuracy": (accuracy := nnx.metrics.Accuracy(), lambda: accuracy.update(model(x), target)),
            "Accumulation": (sums := Accumulation(2), lambda: sums.add(model.parameters())),
        }
        part, change = parts[kind]
        before = part.state_dict()
        with pytest.raises(UsageError, match=rf"{kind}\.(update|add) cannot be part of a step that nnx"):
            nnx.compile(lambda x: (model(x), change())[0])(x)
        same(xp, before, part.state_dict())

    def test_random_numbers_from_outside(self) -> None:
        rng = np.random.default_rng(0)
        compiled = nnx.compile(lambda x: x + rng.standard_normal())
        compiled(np.ones(2))
        with pytest.raises(nnx.errors.UsageError, match=r"what nnx\.compile recorded of .* at 'result'"):
            compiled(np.ones(2))

    def test_a_dict_of_another_class(self) -> None:
        with pytest.raises(nnx.errors.ArgumentError, match="expected dicts, lists and tuples around the arrays"):
            nnx.compile(lambda batch: batch["x"])(OrderedDict(x=np.ones(2)))

    def test_an_array_that_was_stored(self) -> None:
        kept = []
        compiled = nnx.compile(lambda x: kept.append(x) or x)
        compiled(np.ones(2))
        with pytest.raises(nnx.errors.TraceError, match="has ended"):
            _ = kept[0] + 1.0

    def test_after_an_error_the_model_is_as_before(self) -> None:
        model = perceptron()

        def fails(model: Any, x: Any) -> Any:
            model(x)
            raise RuntimeError("stop")

        with pytest.raises(RuntimeError, match="stop"):
            nnx.compile(fails)(model, np.ones((2, 5), "float32"))
        assert all(type(value) is np.ndarray for value in model.parameters().values())
        assert model[2].calls.value == 0


def test_it_is_named_after_the_function() -> None:
    assert nnx.compile(train_step).__name__ == "train_step"
    assert nnx.compile(train_step).__doc__ == train_step.__doc__


def test_few_programs_are_kept() -> None:
    compiled = nnx.compile(lambda x: x + 1.0)
    for n in range(16):
        compiled(np.ones(n))
    with pytest.warns(RuntimeWarning, match="nnx.compile has recorded <lambda> 17 times: for each shape and dtype"):
        compiled(np.ones(16))
    for n in range(20, 40):
        compiled(np.ones(n))
    assert len(compiled._programs) == 16

"""The batch and the layer where a loss stopped being finite, found in the epoch itself, on the host and on a device."""

from itertools import count

import numpy as np
import pytest

import nnx
from nnx.backend import namespace
from nnx.data import DataLoader, index_to_one_hot
from nnx.errors import NonFiniteError
from nnx.training import Callback, evaluate

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
RATE, DECAY, EPOCHS = 0.05, 0.9, 3


class Trap(nnx.Module):
    """Infinite where the input is above a limit."""

    def __init__(self, limit):
        self.limit = limit

    def forward(self, x):
        xp = namespace(x)
        return xp.where(x > self.limit, xp.full_like(x, float("inf")), x)


class Average(nnx.Module):
    """Counts the average of its inputs, as the statistics of a normalization."""

    def __init__(self, like):
        self.mean = nnx.Buffer(like)

    def forward(self, x):
        xp = namespace(x)
        self.mean.value = 0.9 * self.mean.value + 0.1 * xp.mean(nnx.stop_gradient(x), axis=0)
        return x


class Noisy(nnx.Module):
    """Draws noise, so that what it returns depends on how often it was called before."""

    def __init__(self, xp, limit):
        rng = nnx.generator(5)
        with nnx.use_backend(xp.spec):
            self.inner, self.outer = nnx.Linear(64, 12, rng=rng), nnx.Linear(12, 10, rng=rng)
        self.noise, self.trap = nnx.Reparameterization(seed=4), Trap(limit)
        self.average = Average(xp.asarray(np.zeros(12)))

    def forward(self, x):
        mean = self.inner(x)
        return self.outer(self.trap(self.noise(self.average(mean), namespace(mean).ones_like(mean))))


class Momentum:
    """An optimizer with a state, and with a parameter that it may make infinite at a step."""

    def __init__(self, model, grenade=0):
        self.model, self.velocity, self.steps, self.grenade = model, {}, 0, grenade

    def step(self, gradients):
        self.steps += 1
        old = self.velocity
        self.velocity = {
            path: gradient + DECAY * old[path] if old else gradient for path, gradient in gradients.items()
        }
        new = {path: value - RATE * self.velocity[path] for path, value in self.model.parameters().items()}
        if self.steps == self.grenade:
            new["inner.bias"] = new["inner.bias"] + float("inf")
        self.model.replace_parameters(new)

    def state_dict(self):
        return {"steps": self.steps, **self.velocity}

    def load_state_dict(self, state):
        self.velocity = dict(state)
        self.steps = self.velocity.pop("steps")


class NumPy:
    spec, name = "numpy", "numpy"

    @staticmethod
    def asarray(data, dtype="float32"):
        return np.asarray(data, dtype)


def data(case):
    x, y = nnx.data.load_digits()
    x, target = nnx.data.normalize(x[:100]), index_to_one_hot(y[:100].astype(np.int32), 10)
    if case == "input":
        x[70, 3] = np.nan
    if case == "target":
        target[70, 3] = np.inf
    return x, target


def set_up(xp, case):
    model = Noisy(xp, limit=6.0 if case == "trap" else 1e30)
    arrays = (xp.asarray(array) for array in data(case))
    return model, Momentum(model, grenade=8 if case == "parameter" else 0), DataLoader(tuple(arrays), 15, seed=1)


def by_hand(case):
    """Train until a loss is not finite; return that batch, and the states that it met."""
    model, optimizer, loader = set_up(NumPy, case)
    loss = nnx.MSE()
    for epoch in count(1):
        for number, (x, target) in enumerate(loader, start=1):
            before = model.state_dict(), optimizer.state_dict()
            (value, _), gradients = nnx.value_and_grad(lambda m, x, t: (loss(m(x), t), 0), has_aux=True)(
                model, x, target
            )
            if not np.isfinite(value):
                return (epoch, number), before
            optimizer.step(gradients)


MESSAGES = {
    "trap": "Trap 'trap': the loss became (nan|inf) in {}, and the output of this layer was the first not finite; use",
    "parameter": "Linear 'inner': the loss became .* in {}, and the output of this layer was the first not finite: its "
    "parameter 'bias' was not finite before that batch; use a smaller learning rate",
    "input": "^the loss became nan in {}: the input holds NaN or infinity; check the data",
    "target": "^the loss became inf in {}, though the output of every layer is finite: the target holds NaN",
}


@pytest.mark.parametrize("case", MESSAGES)
def test_the_report_is_of_the_first_bad_batch_and_the_model_as_it_met_it(xp, case):
    (epoch, number), expected = by_hand(case)
    model, optimizer, loader = set_up(xp, case)
    message = MESSAGES[case].format(rf"epoch {epoch}, batch {number} \(step {7 * (epoch - 1) + number}\)")
    trainer = nnx.Trainer(model, nnx.MSE(), optimizer)
    with pytest.raises(NonFiniteError, match=message):
        trainer.fit(loader, epochs=EPOCHS)
    assert len(trainer.history.rows) == epoch - 1
    for found, state in zip((model.state_dict(), optimizer.state_dict()), expected, strict=True):
        assert found.keys() == state.keys()
        for path, value in state.items():
            np.testing.assert_allclose(nnx.to_numpy(found[path]), value, rtol=1e-4, atol=1e-5, err_msg=path)
            if not isinstance(value, int):
                assert nnx.backend.device_of(found[path]) == nnx.backend.device_of(loader.dataset.arrays[0])


def test_the_noise_decides_and_comes_late_enough_to_tell():
    assert by_hand("trap")[0] == (2, 4)
    assert by_hand("trap")[1][0]["noise.calls"] == 10


@pytest.mark.parametrize("case", ["trap", pytest.param("input", marks=pytest.mark.further)])
def test_a_run_goes_on_as_if_nothing_had_been_once_the_cause_is_gone(xp, case):
    """Weights, buffers, counters and moments are those of a run that never met the batch."""
    model, optimizer, loader = set_up(xp, case)
    (epoch, number), _ = by_hand(case)
    with pytest.raises(NonFiniteError):
        nnx.Trainer(model, nnx.MSE(), optimizer).fit(loader, epochs=EPOCHS)
    other, same, again = set_up(xp, "none")
    x, target = (xp.asarray(array) for array in data("none"))
    plain = nnx.training.make_step(nnx.MSE(), same)
    for _ in range(epoch):
        for i, batch in enumerate(again, start=1):
            if (again.epoch, i) == (epoch - 1, number):
                break
            plain(other, batch)
    model.trap.limit = 1e30
    step = nnx.training.make_step(nnx.MSE(), optimizer)
    for _ in range(3):
        found, expected = (float(nnx.to_numpy(s(m, (x, target))[0])) for s, m in ((step, model), (plain, other)))
        assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("limit", [5.7, pytest.param(6.0, marks=pytest.mark.further)])
def test_the_moments_of_sgd_are_those_that_the_batch_met(xp, limit):
    states = []
    for library in (NumPy, xp):
        model, _, loader = set_up(library, "none")
        optimizer = nnx.SGD(model, RATE, momentum=DECAY)
        model.trap.limit = limit
        with pytest.raises(NonFiniteError, match=r"Trap 'trap': the loss became \w+ in epoch"):
            nnx.Trainer(model, nnx.MSE(), optimizer).fit(loader, epochs=EPOCHS)
        states.append(nnx.to_numpy(model.state_dict() | optimizer.state_dict()))
    for path, value in states[0].items():
        np.testing.assert_allclose(states[1][path], value, rtol=1e-4, atol=1e-5, err_msg=path)
    assert states[0]["step"] == states[0]["noise.calls"] > 0


def test_batches_of_many_shapes_and_of_things_that_are_not_arrays(xp):
    class Model(nnx.Module):
        def __init__(self):
            with nnx.use_backend(xp.spec):
                self.linear = nnx.Linear(1, 3, rng=0)
            self.noise = nnx.Reparameterization(seed=0)

        def forward(self, x, name):
            assert name.startswith("batch")
            mean = self.linear(namespace(x).sum(x, axis=1, keepdims=True))
            return self.noise(mean, namespace(mean).ones_like(mean))

    for bad in (3, 17, 29):
        batches = []
        for i in range(1, 31):
            x = np.ones((2, 1 + i % 13), np.float32)
            if i == bad:
                x[1, 0] = np.nan
            target = xp.asarray([0, 2], "int32")
            batches.append({"x": xp.asarray(x), "name": f"batch {i}", "target": target})
        model = Model()
        with pytest.raises(
            NonFiniteError, match=rf"loss became nan in epoch 1, batch {bad} \(step {bad}\): the input at 'x' holds NaN"
        ):
            nnx.Trainer(model, nnx.CrossEntropy(), nnx.SGD(model, 0.1)).fit(batches, epochs=1)
        assert model.noise.calls.value == bad - 1


def test_a_device_is_not_read_before_the_epoch_has_ended(monkeypatch):
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    array, reads = type(strict.ones(1)), []
    for name in ("__float__", "__int__", "__bool__", "__index__"):
        monkeypatch.setattr(array, name, lambda *args, name=name: reads.append(name))
    monkeypatch.setattr("nnx.training.device_values.to_numpy", lambda x: (reads.append("epoch"), nnx.to_numpy(x))[1])

    class Strict:
        spec, name = "array-api-strict:device1", "array-api-strict"
        like = strict.ones(1, device=strict.Device("device1"))

        def asarray(self, data, dtype="float32"):
            return nnx.backend.asarray(np.asarray(data, dtype), like=self.like)

    model, optimizer, loader = set_up(Strict(), "none")
    seen = []

    class Look(Callback):
        def on_batch_end(self, trainer, value, outputs):
            seen.append(list(reads))

    nnx.Trainer(model, nnx.MSE(), optimizer, callbacks=[Look()]).fit(loader, epochs=2)
    assert reads == ["epoch", "epoch"]
    assert seen == [[]] * 7 + [["epoch"]] * 7


def test_evaluation_reports_too(xp):
    x, target = data("input")
    model = Noisy(xp, limit=1e30)
    loader = DataLoader((xp.asarray(x), xp.asarray(target)), 15, shuffle=False)
    with pytest.raises(NonFiniteError, match=r"^the loss became nan in batch 5: the input holds NaN"):
        evaluate(model, nnx.MSE(), loader)
    assert model.training
    assert model.noise.calls.value == 0


def test_a_model_without_trouble_is_trained_alike_on_every_backend(xp):
    model, optimizer, loader = set_up(xp, "none")
    other, same, again = set_up(NumPy, "none")
    found = nnx.Trainer(model, nnx.MSE(), optimizer).fit(loader, epochs=2)
    expected = nnx.Trainer(other, nnx.MSE(), same).fit(again, epochs=2)
    np.testing.assert_allclose(found.column("loss"), expected.column("loss"), rtol=1e-5)
    assert model.noise.calls.value == 14
    assert optimizer.steps == 14


def test_a_buffer_that_forward_writes_into_is_put_back_too(xp):
    class Fuse(nnx.Module):
        """Returns NaN in its third call, which it counts in the array of a buffer."""

        def __init__(self):
            self.calls = nnx.Buffer(xp.asarray([0.0]) + 0.0)  # an array that may be written, on read-only NumPy too

        def forward(self, x):
            self.calls.value += 1.0
            return x * namespace(x).where(self.calls.value == 3.0, float("nan"), 1.0 + 0.0 * self.calls.value)

    with nnx.use_backend(xp.spec):
        model = nnx.Model([nnx.Linear(2, 2, rng=0), Fuse(), nnx.Linear(2, 2, rng=1)])
    loader = DataLoader((xp.asarray(np.ones((10, 2))), xp.asarray([0, 1] * 5, "int32")), 2, shuffle=False)
    with pytest.raises(NonFiniteError, match=r"^Fuse '1': the loss became nan in epoch 1, batch 3 .step 3., and"):
        nnx.Trainer(model, nnx.CrossEntropy(), nnx.SGD(model, 0.1)).fit(loader, epochs=1)
    assert float(model[1].calls.value[0]) == 2.0


def test_weights_of_the_samples_are_blamed(xp):
    x = xp.asarray(np.ones((2, 1)))
    with nnx.use_backend(xp.spec):
        model = nnx.Linear(1, 1, rng=0)
    batch = {"input": x, "target": x, "sample_weight": xp.asarray([np.nan, 1.0])}
    with pytest.raises(NonFiniteError, match="the sample_weight holds NaN or infinity; check the data"):
        nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1)).fit([batch], epochs=1)

"""What a trainer does between gradients and update: accumulation, mixed precision, averages; and that it resumes."""

from itertools import pairwise

import numpy as np
import pytest

import nnx
from nnx.callbacks import Callback, EarlyStopping, KeepBest
from nnx.data import DataLoader
from nnx.errors import ArgumentError, CheckpointError, NonFiniteError, UsageError
from nnx.testing import assert_close


def prepare(xp, *, batch_size=10, sizes=(64, 12, 10), callbacks=(), **options):
    x, y = nnx.data.load_digits()
    x, y = xp.asarray(nnx.data.normalize(x[:110])), xp.asarray(y[:110], "int32")
    rng = nnx.generator(5)
    with nnx.use_backend(xp.spec):
        layers = [nnx.Linear(a, b, rng=rng) for a, b in pairwise(sizes)]
    model = nnx.Model([layers[0], nnx.Tanh(), *layers[1:]])
    if "average" in options:
        options["average"] = options["average"](model)
    loader = DataLoader((x, y), batch_size, seed=3)
    optimizer = nnx.Adam(model, 0.01)
    return nnx.Trainer(model, nnx.CrossEntropy(), optimizer, callbacks=callbacks, **options), loader


class Stop(Callback):
    def __init__(self, step):
        self.at = step

    def on_batch_end(self, trainer, value, outputs):
        if trainer.step == self.at:
            raise KeyboardInterrupt


class Fail(Callback):
    """Raises in a hook, once."""

    def __init__(self, hook, step):
        self.hook, self.at = hook, step

    def on_gradients(self, trainer, gradients):
        if trainer.step + 1 == self.at and self.hook == "on_gradients":
            raise ValueError("a bug of a callback")
        return gradients


def test_several_batches_are_one_large_one(xp):
    small, loader = prepare(xp, batch_size=10, accumulate=4)
    large, other = prepare(xp, batch_size=40)
    small.fit(loader, epochs=2)
    large.fit(other, epochs=2)
    assert_close(small.model.state_dict(), large.model.state_dict(), rtol=1e-4, atol=1e-5)
    assert (small.step, large.step) == (22, 6)
    assert small.optimizer.state_dict()["step"] == 6  # 40, 40 and 30 samples, twice
    np.testing.assert_allclose(small.history.column("loss"), large.history.column("loss"), rtol=1e-5)


OPTIONS = {
    "accumulate": {"accumulate": 4},
    "float16": {"policy": "float16"},
    "float16-accumulate": {"policy": "float16", "accumulate": 4},
    "EMA": {"average": lambda model: nnx.EMA(model, 0.9)},
    "SWA": {"average": lambda model: nnx.SWA(model, start=5, every=2), "accumulate": 2},
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in ("float16-accumulate", "EMA") else pytest.mark.further)
        for name in OPTIONS
    ],
)
@pytest.mark.parametrize("stop", [3, *(pytest.param(stop, marks=pytest.mark.further) for stop in (1, 4, 10, 11, 13))])
def test_a_stopped_run_ends_with_the_same_bits(xp, name, stop):
    if "float16" in name and not hasattr(xp.namespace, "float16"):
        pytest.skip(f"{xp.name} has no float16")
    whole, loader = prepare(xp, **OPTIONS[name])
    whole.fit(loader, validation=loader.dataset[:20], epochs=2)
    stopped, loader = prepare(xp, **OPTIONS[name], callbacks=[Stop(stop)])
    with pytest.raises(KeyboardInterrupt):
        stopped.fit(loader, validation=loader.dataset[:20], epochs=2)
    resumed, loader = prepare(xp, **OPTIONS[name])
    resumed.load_state_dict({**nnx.to_numpy(stopped.state_dict()), "callbacks": {}})
    resumed.fit(loader, validation=loader.dataset[:20], epochs=2)
    assert_close(resumed.state_dict(), whole.state_dict(), rtol=0.0, atol=0.0)


@pytest.mark.parametrize("name", ["accumulate", "float16-accumulate"])
@pytest.mark.parametrize("step", [1, 3, 4, 8])
def test_a_callback_that_raises_leaves_the_state_of_the_last_whole_batch(name, step):
    class NumPy:
        spec, asarray = "numpy", staticmethod(lambda x, dtype="float32": np.asarray(x, dtype))

    whole, loader = prepare(NumPy, **OPTIONS[name])
    whole.fit(loader, epochs=1)
    failed, loader = prepare(NumPy, **OPTIONS[name], callbacks=[Fail("on_gradients", step)])
    try:
        failed.fit(loader, epochs=1)
    except ValueError:
        assert failed.step == step - 1
    resumed, loader = prepare(NumPy, **OPTIONS[name])
    resumed.load_state_dict({**failed.state_dict(), "callbacks": {}})
    resumed.fit(loader, epochs=1)
    assert_close(resumed.state_dict(), whole.state_dict(), rtol=0.0, atol=0.0)


def test_float16_learns_what_float32_learns(xp):
    if not hasattr(xp.namespace, "float16"):
        pytest.skip(f"{xp.name} has no float16")
    losses = []
    for policy in ("float32", "float16"):
        trainer, loader = prepare(xp, policy=policy)
        losses.append(trainer.fit(loader, epochs=3).rows[-1]["loss"])
        assert {str(nnx.backend.dtype_name(w.dtype)) for w in trainer.model.parameters().values()} == {"float32"}
        assert nnx.backend.dtype_name(trainer.predict(loader.dataset[:3]).dtype) == "float32"
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_an_update_that_overflows_is_left_out_and_the_scale_becomes_smaller():
    class NumPy:
        spec, asarray = "numpy", staticmethod(lambda x, dtype="float32": np.asarray(x, dtype))

    trainer, loader = prepare(NumPy, policy="float16")
    scale = trainer.state_dict()["scale"]
    trainer.load_state_dict({**trainer.state_dict(), "scale": {**scale, "scale": 2.0**32}})
    before = trainer.model.state_dict()
    step_of_optimizer = trainer.optimizer.state_dict()["step"]
    trainer.callbacks  # noqa: B018
    trainer.fit(loader, epochs=1)  # without a warning of NumPy
    after = trainer.state_dict()["scale"]
    assert after["skipped"] >= 10
    assert after["scale"] == 2.0 ** (32 - after["skipped"])
    assert trainer.optimizer.state_dict()["step"] == step_of_optimizer + trainer.step - after["skipped"]
    assert before.keys() == trainer.model.state_dict().keys()


def test_validation_and_the_best_model_are_of_the_averaged_weights(xp):
    best = KeepBest("validation_loss", restore=False)
    trainer, loader = prepare(xp, average=lambda model: nnx.EMA(model, 0.9), callbacks=[best])
    row = trainer.fit(loader, loader.dataset, epochs=1).rows[-1]
    assert trainer.evaluate(loader.dataset)["loss"] == pytest.approx(row["validation_loss"], rel=1e-6)
    last = nnx.training.evaluate(trainer.model, nnx.CrossEntropy(), loader.dataset)["loss"]
    assert last != pytest.approx(row["validation_loss"], rel=1e-6)
    trainer.model.load_state_dict(best.state)
    kept = nnx.training.evaluate(trainer.model, nnx.CrossEntropy(), loader.dataset)["loss"]
    assert kept == pytest.approx(row["validation_loss"], rel=1e-6)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize("accumulate", [1, 3])
def test_bad_batches_are_left_out_and_told(xp, accumulate):
    x, y = np.ones((6, 2), np.float32), np.asarray([0, 1] * 3)
    good = [(xp.asarray(x * k), xp.asarray(y, "int32")) for k in range(1, 7)]
    bad = (xp.asarray(x * np.nan), xp.asarray(y, "int32"))
    trained = []
    for batches in (good, [*good[:2], bad, *good[2:], bad]):
        with nnx.use_backend(xp.spec):
            model = nnx.Model([nnx.Linear(2, 4, rng=0), nnx.BatchNorm1d(4), nnx.Linear(4, 2, rng=1)])
        options = {"accumulate": accumulate, "not_finite": "skip"}
        trainer = nnx.Trainer(model, nnx.CrossEntropy(), nnx.SGD(model, 0.1, momentum=0.9), **options)
        if len(batches) > len(good):
            message = r"batches left out so far: 2; the first of epoch 1: the loss became nan in epoch 1, batch 3"
            with pytest.warns(RuntimeWarning, match=message):
                trainer.fit(batches, epochs=1)
        else:
            trainer.fit(batches, epochs=1)
        trained.append((model.state_dict(), trainer.history.rows))
    assert_close(trained[0], trained[1], rtol=0.0, atol=0.0)
    assert trainer.skipped == 2


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning", "ignore:divide by zero:RuntimeWarning")
def test_a_gradient_that_is_not_finite_is_told_with_its_path(xp):
    class Root(nnx.Module):
        def __init__(self):
            self.scale = nnx.Parameter(xp.asarray([0.0]))

        def forward(self, x):
            return nnx.namespace(x, self.scale).sqrt(self.scale) * x

    model = Root()
    trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1))
    batch = (xp.asarray([1.0]), xp.asarray([2.0]))
    with pytest.raises(NonFiniteError, match=r"gradient.* became NaN or infinite in epoch 1, batch 1 .step 1., though"):
        trainer.fit([batch, batch], epochs=1)
    assert_close(model.scale, xp.asarray([0.0]))
    trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1), not_finite="skip")
    message = (
        r"every batch of epoch 1 was left out; the first: the gradient of 'scale' was not finite in epoch 1, batch 1"
    )
    with pytest.raises(NonFiniteError, match=message):
        trainer.fit([batch], epochs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "float8"}, "expected a policy that is one of 'float32', 'bfloat16', 'float16', got 'float8'"),
        ({"accumulate": 0}, "expected accumulate to be an integer of at least 1, got 0"),
        ({"average": lambda model: "EMA"}, r"expected an average such as nnx.EMA\(model\), got 'EMA'"),
        ({"not_finite": "ignore"}, "not_finite"),
        ({"callbacks": Stop(1)}, "expected a list of callbacks, got <"),
        ({"metrics": 3}, "expected metrics by name, or a list of them, got 3"),
        ({"metrics": {1: nnx.metrics.Accuracy()}}, "expected the name of a metric, a string, got 1"),
        ({"callbacks": [print]}, "expected callbacks, nnx.training.Callback, got <built-in"),
        ({"metrics": {"loss": nnx.metrics.Accuracy()}}, "metric 'loss': expected another name"),
        (
            {"metrics": [nnx.metrics.Accuracy]},
            r"metric 'accuracy': expected a metric, got its class; write Accuracy\(\)",
        ),
        ({"metrics": [nnx.metrics.Accuracy()] * 2}, "expected metrics with different names, got two of accuracy"),
        ({"metrics": {"x": 3}}, "metric 'x': expected a metric such as"),
    ],
)
def test_arguments_are_checked(options, message):
    class NumPy:
        spec, asarray = "numpy", staticmethod(lambda x, dtype="float32": np.asarray(x, dtype))

    with pytest.raises(ArgumentError, match=message):
        prepare(NumPy, **options)


def test_model_loss_and_optimizer_are_checked():
    model, other = nnx.Linear(1, 1), nnx.Linear(1, 1)
    loss, optimizer = nnx.MSE(), nnx.SGD(model, 0.1)
    with pytest.raises(ArgumentError, match=r"expected a model, an nnx\.Module, got list"):
        nnx.Trainer([model], loss, optimizer)
    with pytest.raises(ArgumentError, match=r"expected a loss such as nnx\.CrossEntropy\(\), or an objective"):
        nnx.Trainer(model, nnx.MSE, optimizer)
    with pytest.raises(ArgumentError, match="expected an optimizer made for the model, such as"):
        nnx.Trainer(model, loss, nnx.SGD)
    with pytest.raises(ArgumentError, match="expected an optimizer made for this model, got one for another"):
        nnx.Trainer(other, loss, optimizer)
    with pytest.raises(ArgumentError, match=r"expected arrays \(x, target\), a DataLoader, .* got int; write"):
        nnx.Trainer(model, loss, optimizer).fit(3, epochs=1)


def test_a_validation_that_shuffles_is_no_part_of_the_state_and_moves_nothing():
    class NumPy:
        spec, asarray = "numpy", staticmethod(lambda x, dtype="float32": np.asarray(x, dtype))

    rows = []
    for validated in (True, False):
        trainer, loader = prepare(NumPy)
        trainer.fit(loader, loader if validated else None, epochs=3)
        assert loader.epoch == 3
        rows.append(trainer.history.column("loss"))
    assert rows[0] == rows[1]


def test_the_best_weights_are_used_for_evaluation_also_with_an_average():
    class NumPy:
        spec, asarray = "numpy", staticmethod(lambda x, dtype="float32": np.asarray(x, dtype))

    best = KeepBest("validation_loss")
    trainer, loader = prepare(NumPy, average=lambda model: nnx.EMA(model, 0.5), callbacks=[best])
    trainer.optimizer.learning_rate = 0.3  # worse and worse
    trainer.fit(loader, loader.dataset, epochs=4)
    assert best.row["epoch"] < 4
    assert trainer.evaluate(loader.dataset)["loss"] == pytest.approx(best.row["validation_loss"], rel=1e-6)


def test_what_does_not_fit_an_epoch_that_goes_on():
    class NumPy:
        spec, asarray = "numpy", staticmethod(lambda x, dtype="float32": np.asarray(x, dtype))

    trainer, loader = prepare(NumPy, callbacks=[Stop(3)])
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(loader, epochs=2)
    with pytest.raises(UsageError, match="data of the epoch that goes on, of 11 batches, got 4 batches; give the data"):
        trainer.fit(DataLoader(loader.dataset, 30), epochs=2)
    state = trainer.state_dict()
    other, _ = prepare(NumPy, accumulate=2)
    with pytest.raises(CheckpointError, match="got one without accumulation; make the trainer as it was"):
        other.load_state_dict(state)
    assert len(other.fit(loader.dataset[:20], epochs=1).rows) == 1  # a state that was refused changes nothing


def test_arguments_that_belong_to_something_else():
    model, other = nnx.Linear(1, 1), nnx.Linear(1, 1)
    with pytest.raises(ArgumentError, match="expected an average made for this model, got one for another"):
        nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1), average=nnx.EMA(other))
    with pytest.raises(ArgumentError, match="got LBFGS, which evaluates all data several times for a step"):
        nnx.Trainer(model, nnx.MSE(), nnx.LBFGS(model))
    with pytest.raises(ArgumentError, match=r"expected arrays as a tuple, got a list of 2, .*; write \(x, target\)"):
        nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1)).fit([np.ones((2, 1)), np.ones((2, 1))], epochs=1)


def test_a_second_fit_waits_anew():
    class NumPy:
        spec, asarray = "numpy", staticmethod(lambda x, dtype="float32": np.asarray(x, dtype))

    stopping = EarlyStopping("loss", patience=2, least_change=100.0)
    trainer, loader = prepare(NumPy, callbacks=[stopping])
    assert len(trainer.fit(loader, epochs=9).rows) == 3
    assert len(trainer.fit(loader, epochs=9).rows) == 6


def test_weights_of_samples_count_in_accumulation_and_evaluation(xp):
    x, y = nnx.data.load_digits()
    weight = np.linspace(0.1, 3.0, 64)
    arrays = {"input": x[:64], "sample_weight": weight}
    batch = {name: xp.asarray(value) for name, value in arrays.items()} | {"target": xp.asarray(y[:64], "int32")}
    found = []
    for batch_size, accumulate in ((64, 1), (16, 4)):
        with nnx.use_backend(xp.spec):
            model = nnx.Linear(64, 10, rng=0)
        trainer = nnx.Trainer(model, nnx.CrossEntropy(), nnx.SGD(model, 0.5), accumulate=accumulate)
        rows = trainer.fit(DataLoader(batch, batch_size, shuffle=False), epochs=2).rows
        found.append((model.parameters(), rows[0]["loss"]))
    assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)

"""Runs that are stopped, damaged or moved to another backend, and resumed from their checkpoints."""

import numpy as np
import pytest

import nnx
from nnx.callbacks import Callback, Checkpoints, EarlyStopping, KeepBest
from nnx.data import DataLoader
from nnx.errors import ArgumentError, CheckpointError
from nnx.io.checkpoint_folder import CheckpointWarning
from nnx.testing import assert_close

EPOCHS = 3


def prepare(xp, folder=None, callbacks=(), make=nnx.Adam, **options):
    """A trainer whose state has everything: buffers, random counters, moments, metrics, the best model, an average."""
    x, y = nnx.data.load_digits()
    x, y = xp.asarray(nnx.data.normalize(x[:110])), xp.asarray(y[:110], "int32")
    rng = nnx.generator(5)
    with nnx.use_backend(xp.spec):
        layers = [
            nnx.Linear(64, 12, rng=rng),
            nnx.BatchNorm1d(12),
            nnx.Dropout(0.2, seed=3),
            nnx.Linear(12, 10, rng=rng),
        ]
    model = nnx.Model(layers)
    optimizer = make(model, nnx.schedules.Cosine(0.01, steps=18))
    checkpoints = [] if folder is None else [Checkpoints(folder, **options)]
    trainer = nnx.Trainer(
        model,
        nnx.CrossEntropy(),
        optimizer,
        metrics=[nnx.metrics.Accuracy()],
        callbacks=[*checkpoints, KeepBest(), *callbacks],
        average=nnx.EMA(model, 0.9),
    )
    loader = DataLoader((x, y), 20, seed=3)
    for part in checkpoints:
        part.resume(trainer)
    return trainer, loader


def fit(trainer, loader):
    return trainer.fit(loader, validation=loader.dataset[:30], epochs=EPOCHS)


class Stop(Callback):
    def __init__(self, step):
        self.at = step

    def on_batch_end(self, trainer, value, outputs):
        if trainer.step == self.at:
            raise KeyboardInterrupt


class NumPy:
    name = spec = "numpy"
    asarray = staticmethod(lambda x, dtype="float32": np.asarray(x, dtype))


# Of epochs of 6 batches.
@pytest.mark.parametrize("stop", [9, *(pytest.param(stop, marks=pytest.mark.further) for stop in (1, 6))])
def test_a_stopped_run_resumes_with_the_same_bits(xp, stop, tmp_path):
    whole, loader = prepare(xp, tmp_path / "whole")
    fit(whole, loader)
    stopped, loader = prepare(xp, tmp_path / "stopped", [Stop(stop)])
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, loader)
    resumed, loader = prepare(xp, tmp_path / "stopped")
    assert resumed.step == stop
    assert fit(resumed, loader).rows == whole.history.rows
    assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0.0, atol=0.0)
    assert_close(saved(tmp_path / "stopped"), saved(tmp_path / "whole"), rtol=0.0, atol=0.0)


def saved(folder):
    state, header = Checkpoints(folder).folder.load()
    assert nnx.from_config(header["metadata"]["config"])[0].out_features == 12
    return state


def test_a_run_goes_on_on_another_backend_and_comes_back(xp, tmp_path):
    # Not Adam, which makes large steps of gradients that are 0 but for their rounding, as before a normalization.
    expected, loader = prepare(NumPy, make=nnx.SGD)
    fit(expected, loader)
    for library, stop in ((NumPy, 4), (xp, 8), (NumPy, None)):
        trainer, loader = prepare(library, tmp_path, [] if stop is None else [Stop(stop)], make=nnx.SGD)
        if stop is None:
            fit(trainer, loader)
        else:
            with pytest.raises(KeyboardInterrupt):
                fit(trainer, loader)
    np.testing.assert_allclose(trainer.history.column("loss"), expected.history.column("loss"), rtol=1e-4)
    assert_close(trainer.model.parameters(), expected.model.parameters(), rtol=1e-3, atol=1e-4)


def test_a_finished_run_can_be_extended_from_its_last_weights(tmp_path):
    whole, loader = prepare(NumPy)
    whole.fit(loader, validation=loader.dataset[:30], epochs=EPOCHS + 2)
    trainer, loader = prepare(NumPy, tmp_path)
    fit(trainer, loader)  # at whose end the model has the weights of the best epoch
    again, loader = prepare(NumPy, tmp_path)
    again.fit(loader, validation=loader.dataset[:30], epochs=EPOCHS + 2)
    assert again.history.rows == whole.history.rows
    assert_close(again.model.state_dict(), whole.model.state_dict(), rtol=0.0, atol=0.0)


def test_a_run_that_was_stopped_early_stays_so(tmp_path):
    stopping = EarlyStopping("loss", patience=1, least_change=100.0)
    trainer, loader = prepare(NumPy, tmp_path, [stopping])
    assert len(fit(trainer, loader).rows) == 2
    again, loader = prepare(NumPy, tmp_path, [EarlyStopping("loss", patience=1, least_change=100.0)])
    assert len(fit(again, loader).rows) == 2
    assert again.stopped == trainer.stopped != None  # noqa: E711


def test_a_damaged_checkpoint_is_passed_over_and_that_is_said(tmp_path):
    trainer, loader = prepare(NumPy, tmp_path, [Stop(13)])
    with pytest.raises(KeyboardInterrupt):
        fit(trainer, loader)
    newest = tmp_path / "checkpoint-13.safetensors"
    content = bytearray(newest.read_bytes())
    content[-5] ^= 1
    newest.write_bytes(content)
    with pytest.warns(CheckpointWarning, match=r"checkpoint-13\.safetensors"):
        resumed, loader = prepare(NumPy, tmp_path)
    assert resumed.step == 12
    assert "checkpoint-13" in resumed.callbacks[-1].damaged[0]
    whole, again = prepare(NumPy)
    assert fit(resumed, loader).rows == fit(whole, again).rows


def test_how_often_it_is_saved(tmp_path):
    steps = []

    class Look(Checkpoints):
        def save(self, trainer):
            super().save(trainer)
            steps.append((trainer.step, self.folder.steps()))

    trainer, loader = prepare(NumPy, callbacks=[Look(tmp_path, every=4, keep=3)])
    fit(trainer, loader)
    assert [step for step, _ in steps] == [4, 6, 8, 12, 12, 16, 18]
    assert steps[-1][1] == [12, 16, 18]
    steps.clear()
    trainer, loader = prepare(NumPy, callbacks=[Look(tmp_path / "seconds", every_seconds=0)])
    trainer.fit(loader, epochs=1)
    assert [step for step, _ in steps] == [1, 2, 3, 4, 5, 6, 6]


def test_errors(tmp_path):
    for options, message in (
        ({"folder": ""}, "expected the path of a folder for checkpoints, got ''"),
        ({"folder": 3}, "expected the path of a folder for checkpoints, got 3"),
        ({"folder": "x", "every": 0}, "every to be an integer of at least 1, got 0"),
        ({"folder": "x", "every_seconds": -1}, "every_seconds"),
        ({"folder": "x", "keep": 0}, "keep"),
    ):
        with pytest.raises(ArgumentError, match=message):
            Checkpoints(**options)
    trainer, loader = prepare(NumPy, tmp_path)
    fit(trainer, loader)
    fresh, loader = prepare(NumPy, callbacks=[Checkpoints(tmp_path)])  # without resume
    with pytest.raises(ArgumentError, match="expected a step after 18, which has a checkpoint, got 0; go on from"):
        fit(fresh, loader)
    other = nnx.Linear(2, 2)
    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(CheckpointError, match="do not fit Linear"):
        checkpoints.resume(nnx.Trainer(other, nnx.MSE(), nnx.Adam(other), average=nnx.EMA(other)))

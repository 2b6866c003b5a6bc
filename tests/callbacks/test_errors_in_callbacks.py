"""A callback that raises in any of the hooks: the run is saved, and without the callback it ends with the same bits."""

import numpy as np
import pytest

import nnx
from nnx.callbacks import Callback, Checkpoints, KeepBest
from nnx.errors import CheckpointError
from nnx.testing import assert_close

HOOKS = [name for name in vars(Callback) if name.startswith("on_")]


class Raises(Callback):
    """Raises in a hook when it is called there for the second time."""

    def __init__(self, hook, call=2, error=OSError):
        self.hook, self.left, self.error = hook, call, error

    def __getattribute__(self, name):
        if name == object.__getattribute__(self, "hook"):
            self.left -= 1
            if not self.left:
                raise self.error(f"the disk of {name}")
        return object.__getattribute__(self, name)


for _name in HOOKS:  # so that the trainer sees that they are defined
    setattr(Raises, _name, lambda self, *args, _name=_name: getattr(Callback, _name)(self, *args))


class Counts(Callback):
    def __init__(self):
        self.batches = self.epochs = 0

    def on_batch_end(self, trainer, value, outputs):
        self.batches += 1

    def on_epoch_end(self, trainer, row):
        self.epochs += 1

    def state_dict(self):
        return {"batches": self.batches, "epochs": self.epochs}

    def load_state_dict(self, state):
        self.batches, self.epochs = state["batches"], state["epochs"]


def run(folder, callbacks=(), **options):
    rng = nnx.generator(0)
    x = rng.normal(size=(22, 3)).astype("float32")
    model = nnx.Model([nnx.Linear(3, 4, rng=rng), nnx.Dropout(0.3, seed=1), nnx.Linear(4, 3, rng=rng)])
    checkpoints = Checkpoints(folder)
    counts = Counts()
    everything = [checkpoints, *callbacks, KeepBest(), counts]
    trainer = nnx.Trainer(
        model, nnx.MSE(), nnx.Adam(model, 0.01), callbacks=everything, average=nnx.EMA(model, 0.9), **options
    )
    checkpoints.resume(trainer)
    loader = nnx.data.DataLoader((x, x), 4, seed=2)
    trainer.fit(loader, (x, x), epochs=3)
    return trainer, counts


@pytest.mark.parametrize("accumulate", [1, 4])  # of 6 batches, so that two are left at the end of an epoch
@pytest.mark.parametrize("hook", HOOKS)
def test_a_run_is_saved_and_resumed_without_the_callback(hook, accumulate, tmp_path):
    whole, counted = run(tmp_path / "whole", accumulate=accumulate)
    with pytest.raises(OSError, match=f"the disk of {hook}"):
        run(tmp_path / "run", [Raises(hook, 1 if hook.startswith("on_fit") else 2)], accumulate=accumulate)
    resumed, counts = run(tmp_path / "run", accumulate=accumulate)
    assert resumed.history.rows == whole.history.rows
    assert vars(counts) == vars(counted) == {"batches": 18, "epochs": 3}
    assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0.0, atol=0.0)
    assert_close(saved(tmp_path / "run"), saved(tmp_path / "whole"), rtol=0.0, atol=0.0)


def saved(folder):
    return Checkpoints(folder).folder.load()[0]


def test_at_the_end_of_an_epoch_what_is_accumulated_is_not_lost(tmp_path):
    class RaisesAtRest(Callback):
        def on_gradients(self, trainer, gradients):
            if trainer.batch == 6:
                raise OSError("the disk is full")
            return gradients

    whole, _ = run(tmp_path / "whole", accumulate=4)
    with pytest.raises(OSError, match="full"):
        run(tmp_path / "run", [RaisesAtRest()], accumulate=4)
    resumed, _ = run(tmp_path / "run", accumulate=4)
    assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0.0, atol=0.0)


def test_an_error_at_the_end_does_not_hide_the_first_one(tmp_path):
    first = Raises("on_batch_end", 3, ZeroDivisionError)
    with pytest.raises(ZeroDivisionError, match="on_batch_end") as found:
        run(tmp_path, [first, Raises("on_batch_end", 3), Raises("on_fit_end", 1), Raises("on_fit_end", 1, KeyError)])
    assert found.value.__notes__ == [
        "After it a callback raised OSError: the disk of on_batch_end",
        "After it a callback raised KeyError: 'the disk of on_fit_end'",
        "After it a callback raised OSError: the disk of on_fit_end",
    ]
    assert Checkpoints(tmp_path).folder.steps() == [3]


def test_ctrl_c_in_a_callback_ends_the_fit_with_it(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [Raises("on_epoch_end", 1, KeyboardInterrupt), Raises("on_epoch_end", 1)])
    assert Checkpoints(tmp_path).folder.steps() == [6]


def test_a_fit_that_is_stopped_in_an_epoch_saves_its_last_weights(tmp_path):
    class StopAt8(Callback):
        def on_batch_end(self, trainer, value, outputs):
            if trainer.step == 8:
                trainer.stop("enough")
                self.weights = trainer.model.state_dict()

    stopping = StopAt8()
    trainer, _ = run(tmp_path, [stopping])
    assert (trainer.step, trainer.stopped) == (8, "enough")
    assert_close(saved(tmp_path)["model"], stopping.weights, rtol=0.0, atol=0.0)


def test_a_fit_that_is_paused_goes_on(tmp_path):
    class Pause(Callback):
        def on_batch_end(self, trainer, value, outputs):
            if trainer.step in (4, 12):
                trainer.pause("for lunch")

    whole, _ = run(tmp_path / "whole")
    for steps, reason in ((4, "for lunch"), (12, "for lunch"), (18, None)):
        trainer, _ = run(tmp_path / "run", [Pause()])
        assert (trainer.step, trainer.paused) == (steps, reason)
    assert trainer.history.rows == whole.history.rows
    assert_close(trainer.model.state_dict(), whole.model.state_dict(), rtol=0.0, atol=0.0)


def test_two_callbacks_of_one_class_keep_a_state_each(tmp_path):
    counts = [Counts(), Counts()]
    trainer, _ = run(tmp_path, counts[:1])
    assert {"Counts", "Counts-2"} <= trainer.state_dict()["callbacks"].keys()
    np.testing.assert_equal(saved(tmp_path)["callbacks"]["Counts-2"], {"batches": 18, "epochs": 3})


def test_the_same_error_at_the_end_is_told_once(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="file: expected a folder of checkpoints, got") as found:
        run(tmp_path / "file")
    assert not hasattr(found.value, "__notes__")

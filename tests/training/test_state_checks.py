"""What is not the state of a trainer is one clear line, and changes nothing."""

from contextlib import suppress

import numpy as np
import pytest

import nnx
from nnx.callbacks import Callback, EarlyStopping, KeepBest, ReduceOnPlateau
from nnx.errors import CheckpointError
from nnx.testing import assert_close

DATA = [(np.ones((2, 1), np.float32), np.zeros((2, 1), np.float32))] * 3
CASES = {
    "format": (2, r"in format 1, got 2; save trainer\.state_dict\(\), or install a newer nnx"),
    "epoch": (-1, "an integer >= 0 as epoch, got -1; load another"),
    "batch": (1.0, r"an integer >= 0 as batch, got 1\.0"),
    "step": ("3", "an integer >= 0 as step, got '3'"),
    "skipped": (True, "an integer >= 0 as skipped, got True"),
    "start": (None, "an integer >= 0 as start, got None"),
    "batches": (-3, "an integer >= 0 or None as batches, got -3"),
    "stopped": (5, "a reason or None as stopped, got 5"),
    "position": (7, "a dict by name or None as position, got 7"),
    "history": ([{"loss": "0.5"}], r"a list of rows, numbers by name, as history, got \[\{'loss': '0.5'\}\]"),
    "metrics": ({"loss": 1.0}, r"a dict of dicts, by names, as metrics, got \{'loss': 1.0\}"),
    "model": ([1.0] * 99, "a dict by name as model, got a list"),
    "loss": (3, "a dict by name as loss, got 3"),
    "optimizer": (None, "a dict by name as optimizer, got None"),
    "callbacks": ({1: {}}, r"a dict of dicts, by names, as callbacks, got \{1: \{\}\}"),
}


def trained(epochs=2, **options):
    model = nnx.Linear(1, 1, rng=0)
    trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1, momentum=0.5), callbacks=[KeepBest()], **options)
    if epochs:
        trainer.fit(DATA, epochs=epochs)
    return trainer


def paused(**options):
    class Pause(Callback):
        def on_batch_end(self, trainer, value, outputs):
            trainer.pause("the first batch")

    model = nnx.Linear(1, 1, rng=0)
    trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1), callbacks=[Pause()], **options)
    trainer.fit(DATA, epochs=1)
    return trainer


def expect_refused(trainer, state, message):
    before = trainer.state_dict()
    with pytest.raises(CheckpointError, match=f"^expected the state of a trainer.*{message}") as caught:
        trainer.load_state_dict(state)
    assert "\n" not in str(caught.value)
    assert_close(trainer.state_dict(), before, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("name", CASES)
def test_an_entry_of_another_kind(name):
    value, message = CASES[name]
    trainer = trained()
    expect_refused(trainer, trained(1).state_dict() | {name: value}, message)


def test_what_is_no_state():
    expect_refused(trained(), 5, "a dict, got 5; load a checkpoint")
    expect_refused(trained(), {}, "in format 1, got None")
    expect_refused(trained(), {"format": np.ones(2)}, r"in format 1, got array\(\[1., 1.\]\)")
    expect_refused(trained(), {"format": np.ones((2, 2))}, r"in format 1, got array\(\[\[1., 1.\], \[1., 1.\]\]\)")
    state = trained(1).state_dict()
    expect_refused(trained(), {name: state[name] for name in state if name != "stopped"}, "with stopped, got one witho")
    expect_refused(trained(), state | {"start": 9}, "start <= epoch and batch <= step, got start 9, epoch 1")
    assert trained(0).load_state_dict({name: state[name] for name in state if name != "batches"}) is None


def test_other_parts():
    model = nnx.Linear(1, 1, rng=0)
    optimizer = nnx.SGD(model, 0.1, momentum=0.5)
    averaged, plain = nnx.Trainer(model, nnx.MSE(), optimizer, average=nnx.EMA(model)), trained()
    expect_refused(plain, averaged.state_dict(), "loss, optimizer, callbacks, got one with average too; make the")
    expect_refused(averaged, plain.state_dict(), "optimizer, average, callbacks, got one without average; make")


def test_the_metrics_of_an_epoch_that_goes_on():
    accuracy = {"close": nnx.metrics.MeanAbsoluteError()}
    state = paused().state_dict()
    expect_refused(paused(metrics=accuracy), state, "of the epoch that goes on, loss, got loss, close; give")
    paused().load_state_dict(state)
    trained(0, metrics=accuracy).load_state_dict(trained().state_dict())  # between epochs there may be others


def test_a_part_that_does_not_fit_leaves_all_as_it_was():
    state = trained(1).state_dict()
    trainer = trained()
    before = trainer.state_dict()
    with pytest.raises(CheckpointError, match="do not fit SGD: step: expected an integer"):
        trainer.load_state_dict(state | {"optimizer": state["optimizer"] | {"step": "x"}})
    assert_close(trainer.state_dict(), before, rtol=0.0, atol=0.0)


def test_any_error_of_a_callback_leaves_all_as_it_was():
    class Refuses(Callback):
        accepted = 0

        def state_dict(self):
            return {"number": 0}

        def load_state_dict(self, state):
            if state["number"] != self.accepted:
                raise RuntimeError("not this one")

    model = nnx.Linear(1, 1, rng=0)
    trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1, momentum=0.5), callbacks=[KeepBest(), Refuses()])
    trainer.fit(DATA, epochs=2)
    before = trainer.state_dict()
    state = trained(1).state_dict()
    with pytest.raises(RuntimeError, match="not this one"):
        trainer.load_state_dict(state | {"callbacks": {**state["callbacks"], "Refuses": {"number": 1}}})
    assert_close(trainer.state_dict(), before, rtol=0.0, atol=0.0)


@pytest.mark.parametrize(
    ("callback", "entry", "value", "message"),
    [
        (KeepBest(), "row", 5, "the state of KeepBest with numbers by name or None as row, got 5; load another"),
        (KeepBest(), "row", {"loss": "x"}, "with numbers by name or None as row, got {'loss': 'x'}"),
        (KeepBest(), "state", [], r"the state of KeepBest with a dict by name or None as state, got \[\]"),
        (KeepBest(), "average", 1, "the state of KeepBest with a dict by name or None as average, got 1"),
        (EarlyStopping(), "waited", -1, "the state of EarlyStopping with an integer >= 0 as waited, got -1"),
        (
            EarlyStopping(),
            "reached",
            0.5,
            "the state of EarlyStopping with numbers by name or None as reached, got",
        ),
        (ReduceOnPlateau(), "best", "low", "the state of ReduceOnPlateau with a number or None as best, got 'low'"),
        (ReduceOnPlateau(), "cooling", None, "the state of ReduceOnPlateau with an integer >= 0 as cooling, got None"),
    ],
)
def test_the_state_of_a_callback(callback, entry, value, message):
    before = callback.state_dict()
    with pytest.raises(CheckpointError, match=message):
        callback.load_state_dict(before | {entry: value})
    with pytest.raises(CheckpointError, match=f"the state of {type(callback).__name__} with .*, got one without"):
        callback.load_state_dict({})
    assert callback.state_dict() == before


def paths_of(tree, path=()):
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, part in items:
        yield (*path, key)
        yield from paths_of(part, (*path, key))


def replaced(tree, path, value):
    if not path:
        return value
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[path[0]] = replaced(copy[path[0]], path[1:], value)
    return copy


@pytest.mark.parametrize("value", [None, -1, "x", [], {}, np.zeros(3), float("nan")], ids=repr)
def test_whatever_stands_in_the_place_of_any_entry(value):
    """It is loaded, or it is a CheckpointError, and then all is as it was."""

    def made(epochs):
        model = nnx.Model([nnx.Linear(1, 2, rng=0), nnx.BatchNorm1d(2), nnx.Linear(2, 1, rng=1)])
        callbacks = [EarlyStopping("loss", patience=9), ReduceOnPlateau("loss", patience=0, least_change=9.0)]
        trainer = nnx.Trainer(
            model, nnx.MSE(), nnx.Adam(model), callbacks=callbacks, accumulate=2, average=nnx.EMA(model)
        )
        trainer.fit(DATA, epochs=epochs)
        return trainer

    state, trainer = made(2).state_dict(), made(1)
    assert "learning_rates" in state["optimizer"]
    before, refused = trainer.state_dict(), 0
    for path in paths_of(state):
        with suppress(CheckpointError):
            trainer.load_state_dict(replaced(state, path, value))
            trainer.load_state_dict(before)
            continue
        refused += 1
        assert_close(trainer.state_dict(), before, rtol=0.0, atol=0.0)
    assert refused > 20

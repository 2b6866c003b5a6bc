"""The names under which the states of callbacks are saved."""

import numpy as np
import pytest

import nnx
from nnx.callbacks import Callback, KeepBest
from nnx.errors import ArgumentError, CheckpointError

DATA = (np.ones((2, 1), np.float32), np.zeros((2, 1), np.float32))


class Count(Callback):
    """Counts epochs in steps of some size."""

    def __init__(self, size, name=None):
        self.size, self.name, self.total = size, name, 0

    def on_epoch_end(self, trainer, row):
        self.total += self.size

    def state_dict(self):
        return {"total": self.total}

    def load_state_dict(self, state):
        self.total = state["total"]


def trainer_of(*callbacks):
    model = nnx.Linear(1, 1, rng=0)
    return nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1), callbacks=callbacks)


def names_of(*callbacks):
    return list(trainer_of(*callbacks).state_dict()["callbacks"])


def test_the_default_is_the_class_and_a_number():
    assert names_of(Count(1), KeepBest(), Count(2), Count(3)) == ["Count", "KeepBest", "Count-2", "Count-3"]
    assert names_of(Count(1, "one"), Count(2), Count(3)) == ["one", "Count", "Count-2"]
    assert names_of(Count(1), Count(2, "Count")) == ["Count-2", "Count"]


def test_the_name_of_a_class():
    class Named(Count):
        name = "epochs"

        def __init__(self):
            self.size, self.total = 1, 0

    assert names_of(Named()) == ["epochs"]
    with pytest.raises(ArgumentError, match="names that differ, got 'epochs' twice; name one differently"):
        trainer_of(Named(), Named())


def test_named_callbacks_may_change_places():
    first = trainer_of(Count(1, "one"), Count(2, "two"))
    first.fit(DATA, epochs=2)
    one, two = Count(1, "one"), Count(2, "two")
    second = trainer_of(two, Count(5), one)  # and there may be a new one
    second.load_state_dict(first.state_dict())
    second.fit(DATA, epochs=3)
    assert (one.total, two.total) == (3, 6)


def test_a_state_that_is_left_out_gives_a_warning():
    first = trainer_of(Count(1, "one"), Count(2, "two"))
    first.fit(DATA, epochs=2)
    second = trainer_of(Count(1, "one"))
    with pytest.warns(RuntimeWarning, match="the state of the callback two is left out, since the trainer has none of"):
        second.load_state_dict(first.state_dict())


@pytest.mark.parametrize("name", ["", 3, ["one"]])
def test_what_is_no_name(name):
    with pytest.raises(ArgumentError, match="expected a string as the name of Count, or None, got "):
        trainer_of(Count(1, name))
    trainer = trainer_of(one := Count(1, "one"))
    one.name = name
    with pytest.raises(ArgumentError, match="expected a string as the name of Count, or None, got "):
        trainer.state_dict()


def test_a_state_of_another_callback_is_named():
    trainer = trainer_of(Count(1, "one"))
    state = trainer.state_dict()
    with pytest.raises(CheckpointError, match=r"of the callback one, got another \(KeyError\('total'\)\); give"):
        trainer.load_state_dict(state | {"callbacks": {"one": {"best": 1}}})

"""What callbacks monitor is looked for before training, and an error suggests the nearest name."""

import numpy as np
import pytest

import nnx
from nnx.callbacks import EarlyStopping, KeepBest, Plots, ReduceOnPlateau
from nnx.errors import ArgumentError, UsageError
from nnx.training import Callback

DATA = (np.ones((2, 1), np.float32), np.zeros((2, 1), np.float32))


def trainer_of(*callbacks):
    model = nnx.Linear(1, 1, rng=0)
    metrics = {"distance": lambda outputs, target: nnx.functional.mse(outputs, target)}
    return nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1), metrics=metrics, callbacks=callbacks)


@pytest.mark.parametrize("kind", [KeepBest, EarlyStopping, ReduceOnPlateau, lambda name: Plots("plots", name)])
@pytest.mark.parametrize(
    ("monitor", "validation", "message"),
    [
        ("distanse", None, r"epoch, loss, distance, got distanse; did you mean distance\?$"),
        ("validation_los", DATA, r"validation_distance, got validation_los; did you mean validation_loss\?$"),
        ("val_loss", DATA, r"got val_loss; did you mean validation_loss\?$"),
        ("validation_loss", None, r"got validation_loss; give fit the validation data$"),
        ("something", None, r"expected a metric of this run to monitor, epoch, loss, distance, got something$"),
    ],
)
def test_a_misspelled_name_is_found_before_training(kind, monitor, validation, message):
    trainer = trainer_of(kind(monitor))
    with pytest.raises(ArgumentError, match=message):
        trainer.fit(DATA, validation, epochs=1)
    assert trainer.step == 0


class Other(Callback):
    def on_epoch_ends(self, trainer, row):
        """Not a hook."""


class Short(Callback):
    def on_epoch_end(self, trainer):
        """Takes no row."""


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (
            [Other()],
            r"^Other: expected methods on_\.\.\. that are hooks, .* got on_epoch_ends; did you mean on_epoch_end\?$",
        ),
        ([Short()], r"^expected Short\.on_epoch_end\(trainer, row\), got other parameters$"),
        ([KeepBest()] * 2, r"^expected each callback once, got one KeepBest twice; make another$"),
    ],
)
def test_hooks_that_would_not_be_called_are_an_error(callbacks, message):
    with pytest.raises(ArgumentError, match=message):
        trainer_of(*callbacks)


def test_a_fit_in_a_fit_is_an_error():
    class Again(Callback):
        def on_epoch_end(self, trainer, row):
            trainer.fit(DATA, epochs=1)

    trainer = trainer_of(Again())
    with pytest.raises(UsageError, match=r"expected Trainer\.fit after the fit that is running, got a call in it"):
        trainer.fit(DATA, epochs=1)


def test_a_callback_may_add_a_column_for_others():
    class Score(Callback):
        columns = ("score",)

        def on_epoch_end(self, trainer, row):
            row["score"] = -abs(row["epoch"] - 2)

    best = KeepBest("score")
    trainer_of(Score(), best).fit(DATA, epochs=3)
    assert best.row["epoch"] == 2


def test_what_decides_by_default_is_a_column_of_the_current_fit():
    best = KeepBest()
    trainer = trainer_of(best)
    trainer.fit(DATA, DATA, epochs=1)
    trainer.fit(DATA, epochs=3)  # without validation
    assert best.row["epoch"] == 4

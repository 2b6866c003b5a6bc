"""A trainer that takes gradients from a record trains as one that does not, bit for bit, and says which it is."""

from typing import Any

import numpy as np
import pytest

import nnx

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((37, 5)).astype("float32"), RNG.integers(0, 3, 37)


def model() -> Any:
    return nnx.Model([nnx.Linear(5, 8, rng=0), nnx.BatchNorm1d(8), nnx.ReLU(), nnx.Dropout(0.5, seed=1),
                      nnx.Linear(8, 3, rng=1)])  # fmt: skip


class Own(nnx.Module):
    def __init__(self) -> None:
        self.linear = nnx.Linear(5, 3, rng=0)

    def forward(self, x: Any) -> Any:
        return self.linear(x)


def trained(xp: Any, network: Any, loss: Any, **options: Any) -> Any:
    network.to(xp.spec)
    trainer = nnx.Trainer(network, loss, nnx.Adam(network, 0.01), **options)
    x, y = xp.asarray(X), xp.asarray(Y, "int64")
    trainer.fit((x, y), validation=(x, y), epochs=3, batch_size=8)
    return trainer


@pytest.mark.parametrize("options", [{}, {"accumulate": 2}, {"policy": "float16"}], ids=str)
def test_the_same_bits_with_and_without(xp: Any, options: dict[str, Any]) -> None:
    if options.get("policy") and not hasattr(xp.namespace, "float16"):
        pytest.skip(f"{xp.name} has no float16")
    if xp.name == "jax":
        pytest.skip("its compiler rounds otherwise, so that it is not the default there")
    first, second = (trained(xp, model(), nnx.CrossEntropy(), compile=choice, **options) for choice in (False, True))
    assert "policy" in options or first.replay.why == "it was not wanted"
    assert ("scaled" in second.replay.why) if "policy" in options else second.replay.why == ""
    assert first.history.rows == second.history.rows
    for path, value in first.model.state_dict().items():
        other = second.model.state_dict()[path]
        if nnx.backend.is_array(value):
            np.testing.assert_array_equal(xp.to_numpy(value), xp.to_numpy(other), err_msg=path)
        else:
            assert value == other


def objective(model: Any, batch: Any) -> Any:
    output = model(batch[0])
    return nnx.functional.cross_entropy(output, batch[1]), output


def test_by_default_nothing_is_recorded() -> None:
    own = Own()
    trainer = nnx.Trainer(own, nnx.CrossEntropy(), nnx.SGD(own, 0.1))
    trainer.fit((X, Y), epochs=1)
    assert trainer.replay.why == "it was not wanted"


def test_attributes_of_an_objective_that_a_callback_put_in_its_place_count() -> None:
    class Other(nnx.callbacks.Callback):
        def on_epoch_start(self, trainer: Any) -> None:
            if trainer.epoch == 1:
                self.loss = nnx.CrossEntropy()
                trainer.objective = nnx.training.supervised(self.loss)
            if trainer.epoch == 2:
                self.loss.label_smoothing = 0.3

    weights = []
    for choice in (False, True):
        own = Own()
        trainer = nnx.Trainer(own, nnx.CrossEntropy(), nnx.SGD(own, 0.1), callbacks=[Other()], compile=choice)
        trainer.fit((X, Y), epochs=4, batch_size=8)
        weights.append(own.linear.weight)
    np.testing.assert_array_equal(*weights)


def test_what_is_wanted_is_recorded_and_what_cannot_be_goes_on_without() -> None:
    own = Own()
    trainer = nnx.Trainer(own, objective, nnx.SGD(own, 0.1), compile=True)
    trainer.fit((X, Y), epochs=1, batch_size=8)
    assert trainer.replay.why == ""

    def reads(model: Any, batch: Any) -> Any:
        value, output = objective(model, batch)
        return (value if float(nnx.stop_gradient(value)) > 0 else 2 * value), output

    own = Own()
    trainer = nnx.Trainer(own, reads, nnx.SGD(own, 0.1), compile=True)
    trainer.fit((X, Y), epochs=1)
    assert "cannot become float" in trainer.replay.why


def test_a_number_that_changes_from_call_to_call_is_noticed() -> None:
    calls = []

    def annealed(model: Any, batch: Any) -> Any:
        value, output = objective(model, batch)
        calls.append(1)
        return value * (1.0 / len(calls)), output

    own = Own()
    trainer = nnx.Trainer(own, annealed, nnx.SGD(own, 0.1), compile=True)
    trainer.fit((X, Y), epochs=1, batch_size=8)
    assert "something in it changes from call to call" in trainer.replay.why

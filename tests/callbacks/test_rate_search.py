"""The search for a learning rate: what it finds, and that it leaves no trace."""

import math

import numpy as np
import pytest

import nnx
from nnx.callbacks import RateSearch, find_learning_rate
from nnx.data import DataLoader
from nnx.errors import ArgumentError, DataError, UsageError
from nnx.testing import assert_close


def regression(xp, count=64):
    x = np.random.default_rng(0).normal(size=(count, 3))
    return xp.asarray(x), xp.asarray(x @ np.asarray([[1.0], [2.0], [3.0]]))


def model_of(xp):
    with nnx.use_backend(xp.spec):
        return nnx.Model(
            [nnx.Linear(3, 8, rng=0), nnx.Dropout(0.1, seed=0), nnx.BatchNorm1d(8), nnx.Linear(8, 1, rng=1)]
        )


class NumPy:
    spec = "numpy"

    @staticmethod
    def asarray(data):
        return np.asarray(data, np.float32)


def test_it_leaves_everything_as_it_was(xp):
    model = model_of(xp)
    loss, optimizer = nnx.MSE(), nnx.Adam(model, 0.01)
    loader = DataLoader(regression(xp), batch_size=16, seed=1)
    trainer = nnx.Trainer(model, loss, optimizer)
    trainer.fit(loader, epochs=1)
    arrays = model.parameters()
    before = nnx.to_numpy(trainer.state_dict())
    search = find_learning_rate(model, loss, optimizer, loader, least=1e-3, steps=8)
    after = nnx.to_numpy(trainer.state_dict())
    assert len(search.rates) <= 8
    assert all(model.parameters()[path] is array for path, array in arrays.items())
    for part in ("model", "optimizer"):
        assert_close(after[part], before[part], rtol=0.0)
    assert loader.state_dict() == before["position"]
    assert optimizer.learning_rate == 0.01
    assert model.training


def test_a_good_rate_is_between_too_slow_and_divergence():
    model = model_of(NumPy)
    search = find_learning_rate(model, nnx.MSE(), nnx.SGD(model, 0.1), regression(NumPy))
    assert len(search.rates) == len(search.losses) == len(search.smoothed) < 100, "it ends when the loss diverges"
    assert search.rates[0] == 1e-7
    assert np.allclose(np.diff(np.log(search.rates)), math.log(1e8) / 99)
    assert 1e-4 < search.suggestion < search.rates[-1]


def test_the_same_search_again_finds_the_same():
    searches = [
        find_learning_rate(m, nnx.MSE(), nnx.SGD(m, 0.1), regression(NumPy)) for m in map(model_of, [NumPy] * 2)
    ]
    assert searches[0] == searches[1]


def test_rates_of_groups_keep_their_ratio():
    seen = []

    class Recording(nnx.SGD):
        def step(self, gradients):
            seen.append(self.learning_rates)
            super().step(gradients)

    model = model_of(NumPy)
    optimizer = Recording(model, nnx.schedules.Constant(0.1), groups=[{"paths": "3", "learning_rate": 0.05}])
    find_learning_rate(model, nnx.MSE(), optimizer, regression(NumPy), steps=5, least=0.001, most=0.01)
    assert len(seen) == 5
    assert all(pair[1] == pytest.approx(pair[0] / 2) for pair in seen)
    assert seen[-1][0] == pytest.approx(0.01)


def test_the_suggestion_is_where_the_loss_falls_fastest():
    rates = tuple(10.0**i for i in range(-6, 1))
    smoothed = (5.0, 4.9, 4.5, 2.0, 1.0, 3.0, 9.0)
    assert RateSearch(rates, smoothed, smoothed).suggestion == 1e-3
    assert RateSearch(rates[:3], (1.0, 2.0, 3.0), (1.0, 2.0, 3.0)).suggestion is None
    assert RateSearch((), (), ()).suggestion is None


def test_a_loss_below_zero_does_not_end_the_search():
    model = model_of(NumPy)
    objective = lambda m, batch: (nnx.functional.mse(m(batch[0]), batch[1]) - 100.0, None)  # noqa: E731
    search = find_learning_rate(model, objective, nnx.SGD(model, 0.1), regression(NumPy), most=1e-3)
    assert len(search.rates) == 100


def test_the_plot():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    rates = tuple(10.0**i for i in range(-6, 1))
    figure = RateSearch(rates, (5.0, 4.9, 4.5, 2.0, 1.0, 3.0, 1e9), (5.0, 4.9, 4.5, 2.0, 1.0, 3.0, 1e8)).plot()
    (axes,) = figure.axes
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_xscale()) == ("learning rate", "loss", "log")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["loss", "smoothed", "suggestion: 0.001"]
    assert axes.get_ylim()[1] < 10
    assert RateSearch((), (), ()).plot().axes


OPEN = nnx.Linear(None, 1)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"least": 0}, ArgumentError, "expected a finite least > 0, got 0"),
        ({"least": 1.0, "most": 0.1}, ArgumentError, "expected least < most, got 1.0 and 0.1"),
        ({"steps": 2}, ArgumentError, "expected steps to be an integer of at least 3, got 2"),
        ({"data": iter([1])}, ArgumentError, "expected data that can be iterated over again, got an iterator"),
        ({"data": []}, DataError, "expected at least one batch, got none"),
        ({"model": OPEN, "optimizer": nnx.SGD(OPEN, 0.1)}, UsageError, "call it once on data, or settle"),
        ({"optimizer": "SGD"}, UsageError, "expected an optimizer of nnx, whose learning rate can be set, got 'SGD'"),
        ({"optimizer": nnx.SGD(nnx.Linear(1, 1), 0.1)}, UsageError, "made for this model, got one for another"),
    ],
)
def test_what_is_refused(change, error, message):
    model = model_of(NumPy)
    options = {"model": model, "loss": nnx.MSE(), "optimizer": nnx.SGD(model, 0.1), "data": regression(NumPy)}
    with pytest.raises(error, match=message):
        find_learning_rate(**options | change)

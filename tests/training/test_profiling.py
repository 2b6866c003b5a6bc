"""``nnx.profile``: exact counts, times that sum up, and a model that is as before."""

import itertools

import numpy as np
import pytest

import nnx
from nnx.autodiff.metering import MeteredTape
from nnx.errors import ArgumentError, ShapeError, UsageError
from nnx.testing import assert_close
from nnx.training import profiling

RNG = np.random.default_rng(0)
X = RNG.standard_normal((12, 8)).astype(np.float32)
IMAGES = RNG.standard_normal((2, 4, 9, 7)).astype(np.float32)


def row_of(found, path):
    return next(row for row in found.rows if row["path"] == path)


class Block(nnx.Module):
    """Computes between its layers, and calls one of them twice."""

    def __init__(self):
        self.first = nnx.Linear(8, 8, rng=0)
        self.inner = nnx.Model([nnx.ReLU(), nnx.Dropout(0.5, seed=0), nnx.BatchNorm1d(8)])

    def forward(self, x):
        return self.first(self.inner(self.first(x))) + x


class Pair(nnx.Module):
    def __init__(self):
        self.layer = nnx.Linear(8, 3, rng=0)

    def forward(self, pair, scale=None):
        a, b = pair["a"], pair["b"]
        return {"sum": self.layer(a + b), "other": [a, self.layer(a)]}


FLOPS = {
    "Linear": (lambda: nnx.Linear(8, 5), X, 2 * 12 * 8 * 5),
    "Conv2d": (lambda: nnx.Conv2d(4, 6, 3, padding=1), IMAGES, 2 * 2 * 6 * 9 * 7 * 4 * 9),
    "ConvTranspose2d": (lambda: nnx.ConvTranspose2d(4, 6, 3, stride=2), IMAGES, 2 * 2 * 4 * 9 * 7 * 6 * 9),
    "LSTM": (lambda: nnx.LSTM(8, 5), X[None], 2 * 12 * 4 * 5 * (8 + 5)),
    "MultiHeadAttention": (lambda: nnx.MultiHeadAttention(8, 2), X[None], 4 * 2 * 12 * 8 * 8 + 2 * (2 * 12 * 12 * 8)),
    "ReLU": (nnx.ReLU, X, X.size),
    "LayerNorm": (lambda: nnx.LayerNorm(8), X, X.size),
    "Flatten": (nnx.Flatten, IMAGES, 0),
}


@pytest.mark.parametrize("name", FLOPS)
def test_operations(name):
    make, x, expected = FLOPS[name]
    assert nnx.profile(make(), x, repeats=1).rows[0]["flops"] == expected


def test_the_floor_is_of_products_forward_and_backward():
    model = nnx.Model([nnx.Linear(8, 6), nnx.ReLU(), nnx.Linear(6, 3)])
    whole, first, relu, last = nnx.profile(model, X, repeats=1).rows
    # The gradient of the input is not wanted: two products in the first layer, and three in the last.
    assert first["floor"] / (2 * first["flops"]) == pytest.approx(last["floor"] / (3 * last["flops"]))
    assert relu["floor"] == 0
    assert whole["floor"] == pytest.approx(first["floor"] + last["floor"])


@pytest.mark.parametrize(("make", "x"), [(Block, X), (lambda: nnx.LSTM(8, 4), X[None]), (nnx.ReLU, X)])
def test_times_sum_up(make, x):
    found = nnx.profile(make(), x)
    assert found.total == pytest.approx(sum(row["own"] for row in found.rows))
    assert found.rows[0]["share"] == 1
    for row in found.rows:
        inside = [other for other in found.rows if other["path"].startswith(f"{row['path']}.") or row["path"] == ""]
        inside = {other["path"]: other["own"] for other in [row, *inside]}
        assert row["forward"] + row["backward"] == pytest.approx(sum(inside.values()))
        assert row["share"] == pytest.approx((row["forward"] + row["backward"]) / found.total)
        assert min(row["forward"], row["backward"], row["own"]) >= 0


def test_a_row():
    row = row_of(nnx.profile(Block(), X), "first")
    assert row["calls"] == 2
    assert row["flops"] == 2 * (2 * 12 * 8 * 8)
    assert row["output_bytes"] == 2 * 12 * 8 * 4
    assert row["parameter_bytes"] == (8 * 8 + 8) * 4
    assert row["forward"] > 0 < row["backward"]
    assert (row["layer"], row["depth"]) == ("Linear", 0)


@pytest.mark.parametrize("tier", ["portable", "native"])
def test_kernels(tier):
    with nnx.use_kernels(tier):
        found = nnx.profile(Block(), X, repeats=1)
        assert row_of(found, "first")["kernels"] == {
            "linear": nnx.kernels.explain(nnx.functional.linear, X, X.T).chosen
        }
    assert found.rows[0]["kernels"] == {"add": "numpy"}
    assert row_of(found, "inner")["kernels"] == {}


def test_the_table():
    lines = str(nnx.profile(Block(), X)).splitlines()
    assert lines[0].split() == [
        *("layer", "forward", "backward", "share", "floor", "FLOPs", "output", "parameters", "kernels")
    ]
    assert [line.split()[0] for line in lines[2:-2]] == ["first", "inner", "inner.0", "inner.1", "inner.2"]
    assert lines[-1].split()[0] == "total"
    assert "100.0%" in lines[-1]
    assert len(str(nnx.profile(nnx.ReLU(), X)).splitlines()) == 5


def test_what_is_never_called_has_no_time():
    lines = str(nnx.profile(nnx.LSTM(8, 4), X[None])).splitlines()
    assert lines[2].split()[:5] == ["cells.0", "LSTMCell", "-", "-", "-"]


def test_the_model_is_as_before():
    model = Block()
    model.inner[1].eval()
    gradient = nnx.vjp(model, X)[1](X)
    model(X)
    before = {path: np.array(value) for path, value in model.state_dict().items()}
    modes = [module.training for _, module in model.named_modules()]
    nnx.profile(model, X)
    assert_close({path: np.array(value) for path, value in model.state_dict().items()}, before, rtol=0.0)
    assert [module.training for _, module in model.named_modules()] == modes
    assert_close(model.backward(X), gradient[0])  # of the call before


def test_inputs_and_outputs_may_be_trees():
    found = nnx.profile(Pair(), {"a": X, "b": X}, None)
    assert row_of(found, "layer")["calls"] == 2
    assert found.rows[0]["output_bytes"] == 4 * (12 * 3 + 12 * 8 + 12 * 3)
    assert nnx.profile(nnx.Embedding(5, 3), np.arange(4)).rows[0]["backward"] > 0


def test_frozen_parameters_take_no_time_on_the_way_back():
    model = nnx.freeze(nnx.Model([nnx.Linear(8, 8), nnx.ReLU(), nnx.Linear(8, 8)]), "0")
    found = nnx.profile(model, X)
    assert row_of(found, "0")["backward"] == row_of(found, "1")["backward"] == 0 < row_of(found, "2")["backward"]
    assert nnx.profile(nnx.freeze(model), X).rows[0]["backward"] > 0  # of the input, as in a layer without parameters


def test_what_runs_again_is_of_the_layer_that_forgets():
    inner = nnx.Model([nnx.Linear(8, 8), nnx.ReLU()])
    found = nnx.profile(nnx.Model([nnx.remat(inner)]), X)
    assert row_of(found, "0.inner")["forward"] > 0 == row_of(found, "0.inner")["backward"]
    assert row_of(found, "0")["backward"] > 0
    assert row_of(found, "0.inner.0")["flops"] == 2 * 12 * 8 * 8


def test_every_result_is_waited_for_where_a_device_has_a_queue(monkeypatch):
    seen = []
    monkeypatch.setattr(profiling, "waiting_for", lambda array: seen.append)
    nnx.profile(nnx.Model([nnx.Linear(8, 8), nnx.ReLU()]), X, repeats=1)
    assert sum(isinstance(made, np.ndarray) for made in seen) >= 2  # outputs
    assert any(isinstance(made, (tuple, list)) for made in seen)  # and what pullbacks return


def test_a_tape_charges_all_that_its_meter_counts():
    steps = itertools.count()
    tape = MeteredTape(lambda: next(steps))
    x = tape.trace(X)
    y = tape.run_for("a", lambda: tape.run_for("b", lambda: nnx.functional.relu(x)) * 2)
    tape.go_back([(y.entry, np.ones_like(X))])
    assert set(tape.forward) == {"", "a", "b"}
    assert sum(tape.forward.values()) + sum(tape.backward.values()) == next(steps) - 1


def test_every_library(xp):
    with nnx.use_backend(xp.spec):
        model = nnx.Model([nnx.Linear(8, 5, rng=0), nnx.Tanh(), nnx.Linear(5, 2, rng=0)])
    found = nnx.profile(model, xp.asarray(X, "float32"), repeats=2)
    assert [row["flops"] for row in found.rows[1:]] == [960, 60, 240]
    assert found.rows[0]["backward"] > 0


def test_wrong_arguments():
    model = nnx.Linear(8, 5)
    for inputs in ((), (3,), ((3, 8),)):
        with pytest.raises(ArgumentError, match=r"expected the inputs of Linear, .* got no array"):
            nnx.profile(model, *inputs)
    with pytest.raises(ArgumentError, match="expected a module, got function"):
        nnx.profile(lambda x: x, X)
    with pytest.raises(ArgumentError, match="repeats"):
        nnx.profile(model, X, repeats=0)
    with pytest.raises(ArgumentError, match="plain arrays"):
        nnx.grad(lambda x: nnx.profile(model, x))(X)
    with pytest.raises(ShapeError, match="Linear"):
        nnx.profile(model, X[:, :3])
    with pytest.raises(UsageError, match=r"settle"):
        nnx.profile(nnx.Linear(None, 3), X)

"""Callbacks that look at a run and change nothing of it."""

import io
import json
import sys

import numpy as np
import pytest

import nnx
from nnx.callbacks import (
    Callback,
    Checkpoints,
    GradientNorms,
    Memory,
    MoveBackend,
    ProgressBar,
    StopAfter,
    Timing,
    WriteHistory,
)
from nnx.errors import ArgumentError, MissingExtraError, UsageError
from nnx.testing import assert_close
from nnx.training import History


def prepare(callbacks, xp=None, folder=None, optimizer=nnx.SGD, **options):
    rng = nnx.generator(0)
    x = rng.normal(size=(22, 3)).astype("float32")
    x = x if xp is None else xp.asarray(x)
    with nnx.use_backend("numpy" if xp is None else xp.spec):
        model = nnx.Model([nnx.Linear(3, 4, rng=rng), nnx.Dropout(0.3, seed=1), nnx.Linear(4, 3, rng=rng)])
    checkpoints = [] if folder is None else [Checkpoints(folder)]
    trainer = nnx.Trainer(
        model, nnx.MSE(), optimizer(model, 0.01), callbacks=[*callbacks, *checkpoints],
        metrics=[nnx.metrics.MeanAbsoluteError()], average=nnx.EMA(model, 0.9), **options
    )  # fmt: skip
    for part in checkpoints:
        part.resume(trainer)
    return trainer, nnx.data.DataLoader((x, x), 4, seed=2)


def run(callbacks, epochs=3, **options):
    trainer, loader = prepare(callbacks, **options)
    trainer.fit(loader, loader.dataset[:], epochs=epochs)
    return trainer


class StopOnce(Callback):
    def on_batch_end(self, trainer, value, outputs):
        if trainer.step == 8:
            raise KeyboardInterrupt


def run_in_two(folder, make):
    """Interrupt a run in its second epoch of 6 batches and resume it; return the callback of the second part."""
    with pytest.raises(KeyboardInterrupt):
        run([make(), StopOnce()], folder=folder)
    callback = make()
    run([callback], folder=folder)
    return callback


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_and_a_line_for_each_epoch():
    file = Terminal()
    trainer = run([ProgressBar(file=file)])
    text = file.getvalue()
    last = trainer.history.rows[-1]
    assert "epoch 2:" in text
    assert "/6 " in text
    assert (
        f"\repoch 3: loss {last['loss']:.4g}, mean absolute error {last['mean_absolute_error']:.4g}, validation" in text
    )
    assert text.count("\n") == 3


@pytest.mark.parametrize(("file", "quiet"), [(io.StringIO(), None), (Terminal(), True)])
def test_no_bar_without_a_terminal_or_where_none_is_wanted(file, quiet):
    run([ProgressBar(file=file, quiet=quiet)])
    assert file.getvalue() == ""


def test_a_bar_is_removed_when_a_fit_is_interrupted(tmp_path):
    file = Terminal()
    with pytest.raises(KeyboardInterrupt):
        run([ProgressBar(file=file), StopOnce()], folder=tmp_path)
    assert file.getvalue().endswith("\r")
    file = Terminal()
    run([ProgressBar(file=file)], folder=tmp_path)
    assert "epoch 2:  33%" in file.getvalue()  # 2 of 6 batches were there


def test_a_bar_without_tqdm_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(MissingExtraError, match=r"tqdm to show progress.*pip install 'nnx-array\[cli\]'"):
        run([ProgressBar(quiet=False)])


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_the_file_of_a_resumed_run_is_that_of_one_never_stopped(suffix, tmp_path):
    whole = tmp_path / "new" / f"whole.{suffix}"
    trainer = run([WriteHistory(whole)])
    path = tmp_path / f"run.{suffix}"
    run_in_two(tmp_path / "checkpoints", lambda: WriteHistory(path))
    assert path.read_bytes() == whole.read_bytes()
    rows = History.read_csv(path).rows if suffix == "csv" else json.loads(path.read_text())
    assert rows == trainer.history.rows
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == [path.name]


def test_numbers_that_json_does_not_have(tmp_path):
    metrics = {"strange": lambda outputs, target: outputs[0, 0] * np.float32("nan")}
    model = nnx.Linear(1, 1, rng=0)
    trainer = nnx.Trainer(
        model, nnx.MSE(), nnx.SGD(model, 0.1), metrics=metrics, callbacks=[WriteHistory(tmp_path / "a.json")]
    )
    trainer.fit((np.ones((2, 1), np.float32),), epochs=1)
    assert json.loads((tmp_path / "a.json").read_text())[0]["strange"] is None


def test_other_suffixes():
    with pytest.raises(ArgumentError, match=r"a path that ends with \.csv or \.json, got 'history\.txt'"):
        WriteHistory("history.txt")


def test_timing_divides_an_epoch(tmp_path):
    timing = Timing()
    trainer = run([timing])
    assert trainer.objective is not timing
    assert [row["epoch"] for row in timing.rows] == [1, 2, 3]
    for row in timing.rows:
        phases = {name: seconds for name, seconds in row.items() if name not in ("epoch", "total")}
        assert min(phases.values()) > 0.0
        assert sum(phases.values()) == row["total"]
    assert [row["epoch"] for row in run_in_two(tmp_path, Timing).rows] == [1, 2, 3]


def test_timing_of_data_whose_length_is_unknown():
    timing = Timing()
    x = np.ones((2, 1), np.float32)
    model = nnx.Linear(1, 1, rng=0)

    loader = nnx.data.DataLoader(nnx.data.Stream(lambda epoch: iter([(x[0], x[0])] * 6)), 2, shuffle=False)
    with pytest.raises(TypeError, match="a stream of known length"):
        len(loader)
    trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1), callbacks=[timing])
    objective = trainer.objective
    trainer.fit(loader, loader, epochs=1)
    assert (trainer.step, trainer.batches) == (3, None)
    assert timing.rows[0]["validation"] > 0.0
    assert trainer.objective is objective


def test_timing_leaves_a_function_around_the_objective_where_it_is():
    class Penalty(Callback):
        def on_fit_start(self, trainer):
            if trainer.epoch == 0:
                objective = trainer.objective

                def penalized(model, batch):
                    value, outputs = objective(model, batch)
                    return value + 1.0, outputs

                trainer.objective = penalized

    def losses(*callbacks):
        model, x = nnx.Linear(1, 1, rng=0), np.ones((4, 1), np.float32)
        trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1), callbacks=callbacks)
        trainer.fit((x, x), epochs=2)
        found = trainer.evaluate((x, x))["loss"]
        return [found, *trainer.fit((x, x), epochs=2).column("loss")]

    assert losses(Timing(), Penalty()) == losses(Penalty(), Timing()) == losses(Penalty())


def test_memory(xp, tmp_path):
    memory = Memory()
    run([memory], xp=xp)
    assert [row["epoch"] for row in memory.rows] == [1, 2, 3]
    assert 2**24 < memory.rows[0]["process"] <= memory.rows[1]["process"] < 2**40
    if xp.name == "numpy":
        assert [row["epoch"] for row in run_in_two(tmp_path, Memory).rows] == [1, 2, 3]


@pytest.mark.parametrize("accumulate", [1, 4])
def test_norms_of_gradients(xp, accumulate, tmp_path):
    norms = GradientNorms(each=True)
    run([norms], xp=xp, accumulate=accumulate)
    steps = list(range(18)) if accumulate == 1 else [3, 6, 9, 12, 15, 18]
    assert [row["step"] for row in norms.rows] == steps
    for row in norms.rows:
        each = [row[path] for path in ("0.weight", "0.bias", "2.weight", "2.bias")]
        np.testing.assert_allclose(row["norm"], np.linalg.norm(each), rtol=1e-5)
    if xp.name == "numpy":
        assert run_in_two(tmp_path, lambda: GradientNorms(each=True)).rows == norms.rows if accumulate == 1 else True
        assert [row["step"] for row in run_every(5)] == [0, 5, 10, 15]


def run_every(every):
    norms = GradientNorms(every=every)
    run([norms])
    return norms.rows


def test_a_norm_of_a_batch_that_was_not_finished_is_not_kept(tmp_path):
    class Raises(Callback):
        def on_gradients(self, trainer, gradients):
            if trainer.step == 8:
                raise OSError
            return gradients

    with pytest.raises(OSError):
        run([GradientNorms(), Raises()], folder=tmp_path)
    norms = GradientNorms()
    run([norms], folder=tmp_path)
    assert [row["step"] for row in norms.rows] == list(range(18))


@pytest.mark.parametrize("options", [{}, {"accumulate": 4}, {"optimizer": nnx.AdamW}])
def test_a_run_that_moves_between_backends(xp, options):
    expected = run([], **options)
    trainer = run([MoveBackend({2: xp.spec, 3: "numpy"})], **options)
    tolerance = 1e-4
    np.testing.assert_allclose(trainer.history.column("loss"), expected.history.column("loss"), rtol=tolerance)
    assert isinstance(trainer.model[0].weight, np.ndarray)
    assert_close(trainer.model.state_dict(), expected.model.state_dict(), rtol=tolerance, atol=tolerance)
    there = run([MoveBackend({1: xp.spec})], epochs=1, **options)
    assert type(there.model[0].weight) is type(xp.asarray(np.ones(1, "float32")))
    assert type(there.predict(np.ones((2, 3), "float32"))) is type(there.model[0].weight)
    assert there.evaluate((np.ones((2, 3), "float32"),) * 2)["loss"] > 0.0


def test_a_run_that_moves_is_resumed_where_it_was(xp, tmp_path):
    expected = run([MoveBackend({2: xp.spec})])
    with pytest.raises(KeyboardInterrupt):
        run([MoveBackend({2: xp.spec}), StopOnce()], folder=tmp_path)
    resumed = run([MoveBackend({2: xp.spec})], folder=tmp_path)
    assert resumed.history.rows == expected.history.rows
    assert_close(resumed.model.state_dict(), expected.model.state_dict(), rtol=0.0, atol=0.0)


def test_errors_of_moving():
    for places in ({0: "numpy"}, {"2": "numpy"}, {2: 3}, "torch"):
        with pytest.raises(ArgumentError, match="expected places by epoch from 1"):
            MoveBackend(places)

    class MovesInTheMiddle(Callback):
        def on_batch_end(self, trainer, value, outputs):
            trainer.to("numpy")

    with pytest.raises(UsageError, match=r"Trainer\.to between two epochs, got a call in one"):
        run([MovesInTheMiddle()])


def test_a_run_divided_by_time_ends_with_the_same_bits(tmp_path):
    expected = run([])
    parts = []
    while not parts or parts[-1].paused:
        parts.append(run([StopAfter(1e-9)], folder=tmp_path))
        assert len(parts) < 30
    assert len(parts) == 19
    assert parts[-1].history.rows == expected.history.rows
    assert_close(parts[-1].model.state_dict(), expected.model.state_dict(), rtol=0.0, atol=0.0)


def test_observers_change_nothing(tmp_path):
    observers = [Timing(), Memory(), GradientNorms(), StopAfter(1e6), WriteHistory(tmp_path / "a.csv"), ProgressBar()]
    expected, trainer = run([]), run(observers)
    assert trainer.history.rows == expected.history.rows
    assert_close(trainer.model.state_dict(), expected.model.state_dict(), rtol=0.0, atol=0.0)


def test_errors_of_numbers():
    with pytest.raises(ArgumentError, match="every to be an integer of at least 1, got 0"):
        GradientNorms(every=0)
    with pytest.raises(ArgumentError, match="seconds"):
        StopAfter(0)

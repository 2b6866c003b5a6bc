"""Event files are opened with TensorBoard's own reader."""

import sys

import numpy as np
import pytest

import nnx
from nnx.callbacks import Callback, Checkpoints, TensorBoard
from nnx.errors import ArgumentError, MissingExtraError


def prepare(xp, folder, callbacks=()):
    rng = nnx.generator(0)
    x = xp.asarray(rng.normal(size=(22, 3)).astype("float32"))
    with nnx.use_backend(xp.spec):
        model = nnx.Model([nnx.Linear(3, 4, rng=rng), nnx.Linear(4, 3, rng=rng)])
    checkpoints = Checkpoints(folder / "checkpoints", keep=3)
    every = [TensorBoard(folder / "events"), *callbacks, checkpoints]
    trainer = nnx.Trainer(model, nnx.MSE(), nnx.Adam(model, 0.01), callbacks=every)
    checkpoints.resume(trainer)
    return trainer, nnx.data.DataLoader((x, x), 4, seed=2)


def fit(trainer, loader):
    return trainer.fit(loader, loader.dataset[:], epochs=3)


def read(folder):
    """Return (step, value) by tag: curves as scripts read them, and all as TensorBoard does itself."""
    reason = "tensorboard is not installed"
    scripts = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator", reason=reason)
    itself = pytest.importorskip("tensorboard.backend.event_processing.plugin_event_accumulator", reason=reason)
    tensors = pytest.importorskip("tensorboard.util.tensor_util", reason=reason)
    curves = scripts.EventAccumulator(str(folder / "events")).Reload()
    everything = itself.EventAccumulator(str(folder / "events"))
    everything.Reload()
    found = {
        tag: [(event.step, tensors.make_ndarray(event.tensor_proto)) for event in everything.Tensors(tag)]
        for tag in everything.Tags()["tensors"]
    }
    for tag in curves.Tags()["scalars"]:
        assert [(event.step, event.value) for event in curves.Scalars(tag)] == found[tag]
    return found


def test_curves_and_histograms(xp, tmp_path):
    trainer, loader = prepare(xp, tmp_path)
    history = fit(trainer, loader)
    found = read(tmp_path)
    weights = [f"weights/{path}" for path in trainer.model.parameters()]
    assert sorted(found) == sorted(["loss/training", "loss/validation", *weights])
    for tag, column in (("loss/training", "loss"), ("loss/validation", "validation_loss")):
        assert [step for step, _ in found[tag]] == [6, 12, 18]
        np.testing.assert_allclose([value for _, value in found[tag]], history.column(column), rtol=1e-6)
    buckets = found["weights/0.weight"][-1][1]  # left edge, right edge and count
    weight = nnx.to_device(trainer.model[0].weight, "numpy")
    assert buckets[:, 2].sum() == weight.size
    np.testing.assert_allclose([buckets[0, 0], buckets[-1, 1]], [weight.min(), weight.max()], rtol=1e-6)


def test_a_resumed_run_has_no_event_twice(tmp_path):
    class NumPy:
        spec, asarray = "numpy", staticmethod(np.asarray)

    class StopAt14(Callback):
        def on_batch_end(self, trainer, value, outputs):
            if trainer.step == 14:
                raise KeyboardInterrupt

    fit(*prepare(NumPy, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        fit(*prepare(NumPy, tmp_path / "run", [StopAt14()]))
    for name in ("checkpoint-14.safetensors", "checkpoint-12.safetensors"):  # as if they had been lost
        newest = tmp_path / "run" / "checkpoints" / name
        newest.unlink()
    trainer, loader = prepare(NumPy, tmp_path / "run")
    assert trainer.step == 6
    fit(trainer, loader)
    expected, found = read(tmp_path / "whole"), read(tmp_path / "run")
    assert found.keys() == expected.keys()
    for tag in expected:
        assert [step for step, _ in found[tag]] == [6, 12, 18]
        np.testing.assert_array_equal([value for _, value in found[tag]], [value for _, value in expected[tag]])


def test_errors(monkeypatch, tmp_path):
    with pytest.raises(ArgumentError, match="the path of a folder for event files, got ''"):
        TensorBoard("")
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    model = nnx.Linear(1, 1, rng=0)
    trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1), callbacks=[TensorBoard(tmp_path)])
    with pytest.raises(MissingExtraError, match=r"tensorboard to write.*pip install 'nnx-array\[tensorboard\]'"):
        trainer.fit((np.ones((1, 1), np.float32),), epochs=1)

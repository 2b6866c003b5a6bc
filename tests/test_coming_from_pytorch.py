"""The programs on the page "Coming from PyTorch" do the same: from the same weights, on the same batches."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from pages import blocks_of, run

import nnx

torch = pytest.importorskip("torch")

PAGE = Path(__file__).parents[1] / "docs" / "coming-from-pytorch.md"


class Losses(nnx.callbacks.Callback):
    """Keeps the loss of each batch."""

    def __init__(self):
        self.found = []

    def on_batch_end(self, trainer, value, outputs):
        self.found.append(float(value))


@pytest.fixture
def theirs(monkeypatch):
    """Have PyTorch compute in float64, on batches in the order of nnx; return its first weights and its losses."""
    losses, starts, epochs, sequential = [], [], itertools.count(), torch.nn.Sequential

    def recording(function):
        def recorded(*args):
            value = function(*args)
            losses.append(value.item())
            return value

        return recorded

    def start(*layers):
        module = sequential(*layers)
        starts.append({name: value.clone() for name, value in module.state_dict().items()})
        return module

    def batches(data, batch_size, shuffle):
        order = nnx.data.DataLoader((np.arange(len(data)),), batch_size, shuffle=shuffle)
        return [data[torch.asarray(indices)] for (indices,) in order.batches(next(epochs))]

    for name in ("cross_entropy", "mse_loss"):
        monkeypatch.setattr(torch.nn.functional, name, recording(getattr(torch.nn.functional, name)))
    monkeypatch.setattr(torch.nn, "Sequential", start)
    monkeypatch.setattr(torch.utils.data, "DataLoader", batches)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield starts, losses
    torch.set_default_dtype(before)


@pytest.fixture
def ours(monkeypatch, theirs):
    """Have nnx compute in float64, from the weights with which PyTorch began; return its losses."""
    losses, model, trainer = Losses(), nnx.Model, nnx.Trainer

    def start(layers):
        return nnx.io.load_torch_state_dict(model(layers).to(dtype="float64"), theirs[0][0])

    def observed(*args, callbacks=(), **options):
        return trainer(*args, callbacks=[*callbacks, losses], **options)

    monkeypatch.setattr(nnx, "Model", start)
    monkeypatch.setattr(nnx, "Trainer", observed)
    return losses.found


@pytest.mark.parametrize(
    ("program", "tolerance"),
    [("A classifier", 1e-12), ("A regression", 1e-7)],  # of the latter PyTorch's schedule begins at 1e-8, not at 0
)
def test_the_losses_are_those_of_pytorch_step_for_step(program, tolerance, theirs, ours, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for heading, source in blocks_of(PAGE):
        if heading.startswith(("Coming from PyTorch", program)):
            run(source.replace("float32", "float64"), PAGE, names)
    assert len(ours) > 200
    assert ours[-1] < 0.2 * ours[0]
    assert len(ours) == len(theirs[1])  # where it stops early, it is after the same epoch
    np.testing.assert_allclose(ours, theirs[1], rtol=tolerance)

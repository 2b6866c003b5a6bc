"""Peak memory of one training step, in nnx on NumPy arrays and in PyTorch, each in a process of its own.

A step is the model, the mean of the squares of its output, the gradients of all parameters, and an update. What counts
is by how much the resident memory of the process rises at most above what it was with model and data in place. A small
step goes before, so that libraries are loaded. Linux only: it is the kernel that keeps the peak.

Run: ``python benchmarks/memory.py``. A row more is an entry in ``ROWS``.
"""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from peak import rise


@dataclass(frozen=True)
class Row:
    """A model in both libraries, and the shape of its input for a batch size.

    ``by_torch`` returns a callable of the input with the output that nnx's model has, and its parameters.
    """

    by_nnx: Callable[[], Any]
    by_torch: Callable[[], tuple[Callable[[Any], Any], list[Any]]]
    shape: Callable[[int], tuple[int, ...]]
    batch: int


def convolutions_of_nnx():
    """Return two convolutions with a ReLU between them."""
    import nnx

    return nnx.Model([nnx.Conv2d(16, 32, 3, padding=1, rng=0), nnx.ReLU(), nnx.Conv2d(32, 32, 3, padding=1, rng=1)])


def convolutions_of_torch():
    """Return the same in PyTorch."""
    from torch import nn

    model = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1))
    return model, list(model.parameters())


def lstm_of_nnx():
    """Return one layer; only its outputs count."""
    import nnx

    class Outputs(nnx.Module):
        def __init__(self):
            self.lstm = nnx.LSTM(128, 128, rng=0)

        def forward(self, x):
            return self.lstm(x)[0]

    return Outputs()


def lstm_of_torch():
    """Return the same in PyTorch."""
    from torch import nn

    lstm = nn.LSTM(128, 128, batch_first=True)
    return lambda x: lstm(x)[0], list(lstm.parameters())


def attention_of_nnx():
    """Return self-attention with eight heads."""
    import nnx

    return nnx.MultiHeadAttention(256, 8, rng=0)


def attention_of_torch():
    """Return the same in PyTorch."""
    from torch import nn

    module = nn.MultiheadAttention(256, 8, batch_first=True)
    return lambda x: module(x, x, x, need_weights=False)[0], list(module.parameters())


ROWS = {
    "Conv2d, 16-32-32 channels, 3 x 3, images of 56 x 56, batch 64": Row(
        convolutions_of_nnx, convolutions_of_torch, lambda batch: (batch, 16, 56, 56), 64
    ),
    "LSTM, 128 features, 128 hidden, 128 steps, batch 256": Row(
        lstm_of_nnx, lstm_of_torch, lambda batch: (batch, 128, 128), 256
    ),
    "MultiHeadAttention, 8 heads, 256 features, 128 steps, batch 64": Row(
        attention_of_nnx, attention_of_torch, lambda batch: (batch, 128, 256), 64
    ),
    "MultiHeadAttention, 8 heads, 256 features, 2048 steps, batch 4": Row(
        attention_of_nnx, attention_of_torch, lambda batch: (batch, 2048, 256), 4
    ),
}


def step_of_nnx(row):
    """Return a function that makes a training step on an input."""
    import numpy as np

    import nnx

    model = row.by_nnx()

    def loss(model, x):
        y = model(x)
        return nnx.namespace(y).mean(y * y)

    optimizer = nnx.SGD(model, 0.01)

    def step(x):
        optimizer.step(nnx.value_and_grad(loss)(model, x)[1])

    return step, lambda shape: np.ones(shape, np.float32)


def step_of_torch(row):
    """Return the same in PyTorch."""
    import torch

    model, parameters = row.by_torch()
    optimizer = torch.optim.SGD(parameters, 0.01)

    def step(x):
        optimizer.zero_grad()
        y = model(x)
        (y * y).mean().backward()
        optimizer.step()

    return step, torch.ones


def measure(name, library):
    """Print the rise of a step in this process, in bytes."""
    row = ROWS[name]
    step, ones = {"nnx": step_of_nnx, "torch": step_of_torch}[library](row)
    step(ones(row.shape(1)))
    x = ones(row.shape(row.batch))
    print(rise(lambda: step(x)))


def main():
    """Print a row for each model."""
    if sys.argv[1:]:
        return measure(*sys.argv[1:])
    print(f"{'peak of a step':65} {'nnx MB':>8} {'torch MB':>9} {'ratio':>6}")
    for name in ROWS:
        found = []
        for library in ("nnx", "torch"):
            command = [sys.executable, __file__, name, library]
            found.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(f"{name:65} {found[0] / 2**20:8.1f} {found[1] / 2**20:9.1f} {found[0] / found[1]:6.2f}")
    return None


if __name__ == "__main__":
    main()

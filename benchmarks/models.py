"""Whole training steps, with Adam or AdamW: nnx on NumPy arrays, against PyTorch with the same model and values.

Times are of the processor, in one thread: ``OMP_NUM_THREADS=1 python benchmarks/models.py [NAME]``. With
``--profile`` it prints where nnx spends its time instead.
"""

import argparse
import cProfile
import pstats
import time

import numpy as np
import torch
from timing import ratio, settle_allocator

import nnx

CHARACTERS = 65


def lenet(library, **options):
    """Return LeNet for images of 28 x 28; the names are the same in both libraries."""
    pool = nnx.MaxPool2d if library is nnx else torch.nn.MaxPool2d
    return (nnx.Model if library is nnx else lambda layers: torch.nn.Sequential(*layers))(
        [
            library.Conv2d(1, 6, 5, padding=2, **options),
            library.ReLU(),
            pool(2),
            library.Conv2d(6, 16, 5, **options),
            library.ReLU(),
            pool(2),
            library.Flatten(),
            library.Linear(400, 120, **options),
            library.ReLU(),
            library.Linear(120, 84, **options),
            library.ReLU(),
            library.Linear(84, 10, **options),
        ]
    )


class ResidualBlock(nnx.Module):
    """Two convolutions, added to the input."""

    def __init__(self, channels_in, channels_out, stride):
        self.first = nnx.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.first_norm = nnx.BatchNorm2d(channels_out)
        self.second = nnx.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.second_norm = nnx.BatchNorm2d(channels_out)
        self.shortcut = nnx.Conv2d(channels_in, channels_out, 1, stride=stride) if stride > 1 else nnx.Identity()

    def forward(self, x):
        """Map images to images, of 1 / stride the height and width."""
        y = nnx.functional.relu(self.first_norm(self.first(x)))
        return nnx.functional.relu(self.second_norm(self.second(y)) + self.shortcut(x))


class ResidualBlockOfTorch(torch.nn.Module):
    """The same in PyTorch."""

    def __init__(self, channels_in, channels_out, stride):
        super().__init__()
        self.first = torch.nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.first_norm = torch.nn.BatchNorm2d(channels_out)
        self.second = torch.nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.second_norm = torch.nn.BatchNorm2d(channels_out)
        is_same = stride == 1
        self.shortcut = torch.nn.Identity() if is_same else torch.nn.Conv2d(channels_in, channels_out, 1, stride)

    def forward(self, x):
        """Map images to images, of 1 / stride the height and width."""
        y = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(y)) + self.shortcut(x))


def resnet(library):
    """Return a small residual network."""
    block = ResidualBlock if library is nnx else ResidualBlockOfTorch
    layers = [library.Conv2d(1, 16, 3, padding=1, bias=False), library.BatchNorm2d(16), library.ReLU()]
    layers += [block(16, 16, 1), block(16, 32, 2), block(32, 64, 2)]
    if library is nnx:
        return nnx.Model([*layers, nnx.GlobalAvgPool(), nnx.Flatten(), nnx.Linear(64, 10)])
    pool = torch.nn.AdaptiveAvgPool2d(1)
    return torch.nn.Sequential(*layers, pool, torch.nn.Flatten(), torch.nn.Linear(64, 10))


class Transformer(nnx.Module):
    """Four causal blocks of width 128."""

    def __init__(self, dropout):
        self.embedding = nnx.Embedding(CHARACTERS, 128)
        self.blocks = nnx.ModuleList(
            nnx.TransformerEncoderBlock(128, 4, norm_first=True, activation=nnx.GELU(), dropout=dropout)
            for _ in range(4)
        )
        self.norm = nnx.LayerNorm(128)
        self.output = nnx.Linear(128, CHARACTERS)

    def forward(self, tokens):
        """Map tokens (batch, time) to logits (batch, time, characters)."""
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, is_causal=True)
        return self.output(self.norm(x))


class TransformerOfTorch(torch.nn.Module):
    """The same in PyTorch."""

    def __init__(self, dropout):
        super().__init__()
        self.embedding = torch.nn.Embedding(CHARACTERS, 128)
        self.blocks = torch.nn.ModuleList(
            torch.nn.TransformerEncoderLayer(128, 4, 512, dropout, activation="gelu", batch_first=True, norm_first=True)
            for _ in range(4)
        )
        self.norm = torch.nn.LayerNorm(128)
        self.output = torch.nn.Linear(128, CHARACTERS)

    def forward(self, tokens):
        """Map tokens (batch, time) to logits (batch, time, characters)."""
        x = self.embedding(tokens)
        mask = torch.nn.Transformer.generate_square_subsequent_mask(tokens.shape[1])
        for block in self.blocks:
            x = block(x, src_mask=mask, is_causal=True)
        return self.output(self.norm(x))


class Recurrent(nnx.Module):
    """An LSTM of width 256."""

    def __init__(self):
        self.embedding = nnx.Embedding(CHARACTERS, 64)
        self.lstm = nnx.LSTM(64, 256)
        self.output = nnx.Linear(256, CHARACTERS)

    def forward(self, tokens):
        """Map tokens (batch, time) to logits (batch, time, characters)."""
        return self.output(self.lstm(self.embedding(tokens))[0])


class RecurrentOfTorch(torch.nn.Module):
    """The same in PyTorch."""

    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(CHARACTERS, 64)
        self.lstm = torch.nn.LSTM(64, 256, batch_first=True)
        self.output = torch.nn.Linear(256, CHARACTERS)

    def forward(self, tokens):
        """Map tokens (batch, time) to logits (batch, time, characters)."""
        return self.output(self.lstm(self.embedding(tokens))[0])


def images(rng):
    """Return a batch of images and their classes."""
    return rng.standard_normal((32, 1, 28, 28)).astype("float32"), rng.integers(0, 10, 32)


def text(batch):
    """Return a function that makes pieces of a text and the characters that follow."""
    return lambda rng: tuple(rng.integers(0, CHARACTERS, (2, batch, 128)))


# Name: the model of nnx, that of torch, the data, the optimizer, whether the values can be compared.
CASES = {
    "LeNet, batch 32": (lambda: lenet(nnx), lambda: lenet(torch.nn), images, "Adam", True),
    "ResNet, batch 32": (lambda: resnet(nnx), lambda: resnet(torch.nn), images, "Adam", True),
    "transformer, batch 16": (lambda: Transformer(0.0), lambda: TransformerOfTorch(0.0), text(16), "AdamW", True),
    "the same with dropout": (lambda: Transformer(0.1), lambda: TransformerOfTorch(0.1), text(16), "AdamW", False),
    "LSTM, batch 32": (Recurrent, RecurrentOfTorch, text(32), "Adam", True),
}


def step_of_nnx(model, x, y, name):
    """Return a function that takes a step of training and returns the loss."""
    optimizer = getattr(nnx, name)(model, 1e-3)
    differentiate = nnx.value_and_grad(lambda model, x, y: nnx.functional.cross_entropy(model(x), y, axis=-1))

    def step():
        value, gradients = differentiate(model, x, y)
        optimizer.step(gradients)
        return float(value)

    return step


def step_of_torch(model, x, y, name):
    """Return the same in PyTorch."""
    optimizer = getattr(torch.optim, name)(model.parameters(), 1e-3)

    def step():
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(model(x).reshape(y.numel(), -1), y.reshape(-1))
        value.backward()
        optimizer.step()
        return value.item()

    return step


def steps(name):
    """Return a step of each library, from the same values."""
    ours, theirs, data, optimizer, _ = CASES[name]
    torch.manual_seed(0)
    model, of_torch = ours(), theirs()
    nnx.io.load_torch_state_dict(model, of_torch.state_dict())
    x, y = data(np.random.default_rng(0))
    return step_of_nnx(model, x, y, optimizer), step_of_torch(of_torch, *map(torch.asarray, (x, y)), optimizer)


def main():
    """Print a row for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", default="", help="only models whose name has this in it")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    settle_allocator()
    torch.set_num_threads(1)
    print(f"{'step of training':24} {'torch ms':>9} {'nnx ms':>9} {'nnx/torch':>10}")
    for name in filter(lambda name: options.name in name, CASES):
        ours, theirs = steps(name)
        if CASES[name][4]:
            np.testing.assert_allclose([ours() for _ in range(3)], [theirs() for _ in range(3)], rtol=1e-3)
        if options.profile:
            with cProfile.Profile() as profile:
                for _ in range(options.rounds):
                    ours()
            pstats.Stats(profile).sort_stats("tottime").print_stats(25)
            continue
        found, own, base = ratio(ours, theirs, options.rounds, time.process_time)
        print(f"{name:24} {1e3 * base:9.2f} {1e3 * own:9.2f} {found:10.2f}", flush=True)


if __name__ == "__main__":
    main()

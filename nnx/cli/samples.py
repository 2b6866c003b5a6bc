"""The data sets that the command can read, split into training and validation samples."""

import contextlib
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from nnx.data import load_digits, load_mnist, train_validation_split
from nnx.errors import DataError
from nnx.types import Array

VALIDATION_FRACTION = 0.2
_PARTS = {"train": "train-images-idx3-ubyte", "test": "t10k-images-idx3-ubyte"}


class Division(NamedTuple):
    """Training samples, validation samples, and a description of the latter."""

    x_train: Array
    y_train: Array
    x_validation: Array
    y_validation: Array
    held_out: str


@dataclass(frozen=True)
class Samples:
    """Images and labels in the host's memory.

    Attributes
    ----------
    pairs : list of (x, y)
        Two pairs (train, test) if the files have such a split, otherwise one.
        ``x``: float32 in [0, 1], shape (batch, pixels); ``y``: class indices, shape (batch,).
    keeps_order : bool
        Whether to split a single pair in the order of its files instead of at random.
    """

    pairs: list[tuple[Array, Array]]
    keeps_order: bool

    def divide(self, seed: int) -> Division:
        """Return the training and validation samples, which are the same for the same seed."""
        if len(self.pairs) == 2:
            return Division(*self.pairs[0], *self.pairs[1], "the test set")
        x, y = self.pairs[0]
        last = len(y) - round(VALIDATION_FRACTION * len(y))
        # Not if the files are sorted by class: some classes would be missing on one side.
        if self.keeps_order and np.array_equal(np.unique(y[:last]), np.unique(y[last:])):
            return Division(x[:last], y[:last], x[last:], y[last:], "the last fifth")
        return Division(*train_validation_split(x, y, VALIDATION_FRACTION, seed), "a fifth drawn by the seed")

    @property
    def fingerprint(self) -> str:
        """The SHA-256 sum of all labels in order, which identifies a data set wherever it is stored."""
        return hashlib.sha256(b"".join(y.astype("<i8").tobytes() for _, y in self.pairs)).hexdigest()

    @property
    def classes(self) -> int:
        """The number of classes: the largest label + 1."""
        return 1 + max(int(y.max(initial=0)) for _, y in self.pairs)


def load_samples(source: str, *, quiet: bool = False) -> Samples:
    """Read ``"digits"``, ``"mnist"`` (downloaded if it is not in the cache) or a directory of IDX files.

    Raises
    ------
    DataError
        If the files are missing or damaged, or hold no sample.
    """
    # The downloader writes its log and progress bar to the standard error stream.
    with contextlib.redirect_stderr(io.StringIO()) if quiet else contextlib.nullcontext():
        samples = Samples(_read(source), keeps_order=source != "digits")
    if not all(len(y) for _, y in samples.pairs):
        raise DataError(f"{source}: expected at least one sample, got none")
    return samples


def _read(source: str) -> list[tuple[Array, Array]]:
    if source == "digits":
        return [load_digits()]
    if source == "mnist":
        return _pairs(load_mnist())
    folder = Path(source)
    present = [part for part, name in _PARTS.items() if any((folder / f"{name}{end}").is_file() for end in ("", ".gz"))]
    if not present:
        raise DataError(
            f"{folder}: expected IDX files named as those of MNIST, {' or '.join(_PARTS.values())} with their "
            "labels, plain or .gz, got none of them"
        )
    return [pair for part in present for pair in _pairs(load_mnist(folder, download=False, split=part))]


def _pairs(arrays: tuple[Array, ...]) -> list[tuple[Array, Array]]:
    return list(zip(arrays[::2], arrays[1::2], strict=True))

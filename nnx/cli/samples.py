"""The data sets that the command can read, split into training and validation samples."""

import contextlib
import gzip
import hashlib
import io
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnx.data import ImageFolder, load_digits, load_mnist, load_npz, read_csv, train_validation_split
from nnx.data.files import raise_unreadable
from nnx.errors import ArgumentError, DataError
from nnx.functional.checks import counted, nearest
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
    """Samples and targets in the host's memory.

    Attributes
    ----------
    pairs : list of (x, y)
        Two pairs (train, test) if the files have such a split, otherwise one. ``x``: float32, shape (batch, values),
        images in [0, 1]; ``y``: class indices, shape (batch,), or numbers of a regression, shape (batch, outputs).
    keeps_order : bool
        Whether to split a single pair in the order of its files instead of at random.
    shape : tuple of int
        Of a sample before its values were put in a row, such as (height, width).
    """

    pairs: list[tuple[Array, Array]]
    keeps_order: bool
    shape: tuple[int, ...]

    def divide(self, seed: int, fraction: float = VALIDATION_FRACTION) -> Division:
        """Return the training and validation samples, which are the same for the same seed."""
        if len(self.pairs) == 2:
            return Division(*self.pairs[0], *self.pairs[1], "the test set")
        x, y = self.pairs[0]
        last = len(y) - round(fraction * len(y))
        part = "a fifth" if fraction == VALIDATION_FRACTION else f"{100 * fraction:g} %"
        # Not if the files are sorted by class: some classes would be missing on one side.
        if self.keeps_order and np.array_equal(np.unique(y[:last]), np.unique(y[last:])):
            return Division(x[:last], y[:last], x[last:], y[last:], f"the last {part.removeprefix('a ')}")
        return Division(*train_validation_split(x, y, fraction, seed), f"{part} drawn by the seed")

    @property
    def is_regression(self) -> bool:
        """Whether the targets are numbers, not classes."""
        return bool(self.pairs[0][1].dtype.kind == "f")

    @property
    def fingerprint(self) -> str:
        """The SHA-256 sum of all targets in order, which identifies a data set wherever it is stored."""
        dtype = "<f8" if self.is_regression else "<i8"
        return hashlib.sha256(b"".join(y.astype(dtype).tobytes() for _, y in self.pairs)).hexdigest()

    @property
    def outputs(self) -> int:
        """The number of classes, the largest label + 1, or of the numbers that a regression predicts."""
        if self.is_regression:
            return int(self.pairs[0][1].shape[1])
        return 1 + max(int(y.max(initial=0)) for _, y in self.pairs)


def load_samples(source: str, options: Mapping[str, Any] | None = None, *, quiet: bool = False) -> Samples:
    """Read a data set.

    Parameters
    ----------
    source : str
        ``"digits"``, ``"mnist"`` (downloaded if it is not in the cache), a directory of IDX files, a directory with a
        folder of images for each class, an ``.npz`` file with the arrays ``x`` and ``y``, or a ``.csv`` file.
    options : mapping, optional
        Arguments of the reader: ``size`` and ``channels`` of :class:`nnx.data.ImageFolder`; ``target``, ``columns``,
        ``classes``, ``missing`` and ``delimiter`` of :func:`nnx.data.read_csv`.
    quiet : bool

    Raises
    ------
    DataError
        If the files are missing or damaged, hold no sample or NaN, or do not fit into the memory.
    ArgumentError
        If there is no such option.
    """
    # The downloader writes its log and progress bar to the standard error stream.
    with contextlib.redirect_stderr(io.StringIO()) if quiet else contextlib.nullcontext():
        try:
            pairs = _read(source, dict(options or {}))
        except MemoryError as error:
            raise DataError(
                f"{source}: expected samples that fit into the memory, got more ({error}); use fewer or smaller ones"
            ) from error
    if not all(len(y) for _, y in pairs):
        raise DataError(f"{source}: expected at least one sample, got none")
    shape = tuple(map(int, pairs[0][0].shape[1:]))
    rows = [(x.reshape(len(x), -1).astype(np.float32, copy=False), _target(source, y)) for x, y in pairs]
    for x, _ in rows:  # targets are left to the training, which can skip a batch
        if len(bad := np.flatnonzero(~np.isfinite(x).all(axis=1))):
            raise DataError(
                f"{source}: expected finite numbers, got NaN or infinity in {len(bad)} of {counted(len(x), 'sample')}, "
                f"the first at index {bad[0]}; remove or replace them"
            )
    if len({x.shape[1] for x, _ in rows}) > 1:
        raise DataError(f"{source}: expected training and test samples of one shape, got {[x.shape for x, _ in pairs]}")
    return Samples(rows, keeps_order=source != "digits", shape=shape)


def _read(source: str, options: dict[str, Any]) -> list[tuple[Array, Array]]:
    path = Path(source)
    near = "" if source in ("digits", "mnist") or path.exists() else nearest(source, ("digits", "mnist"))
    if not source or near:
        got = f"{source}{near}" if source else "an empty string"
        raise DataError(f"expected digits, mnist, a directory, or a file .npz or .csv as data, got {got}")
    if source not in ("digits", "mnist") and path.suffix in (".npz", ".csv"):
        return [_read_npz(path, options) if path.suffix == ".npz" else _read_csv(path, options)]
    if source not in ("digits", "mnist") and not _idx_parts(path):
        return [_read_images(path, options)]
    if options:
        raise ArgumentError(f"{source}: expected no data_options, since it has none, got {', '.join(options)}")
    if source == "digits":
        x, y = load_digits()
        return [(x.reshape(-1, 8, 8), y)]
    if source == "mnist":
        return [(_squares(x), y) for x, y in _pairs(load_mnist())]
    parts = _idx_parts(path)
    pairs = [pair for part in parts for pair in _pairs(load_mnist(path, download=False, split=part))]
    return [(x.reshape(-1, *_idx_shape(path, part)), y) for (x, y), part in zip(pairs, parts, strict=True)]


def _squares(x: Array) -> Array:
    side = math.isqrt(x.shape[1])
    return x.reshape(-1, side, side)


def _idx_shape(folder: Path, part: str) -> tuple[int, ...]:
    """Return the shape of an image of a file that could be read as a whole."""
    plain = folder / _PARTS[part]
    with open(plain, "rb") if plain.is_file() else gzip.open(f"{plain}.gz") as file:
        axes = file.read(4)[3]
        return struct.unpack(f">{axes}I", file.read(4 * axes))[1:]


def _idx_parts(folder: Path) -> list[str]:
    return [part for part, name in _PARTS.items() if any((folder / f"{name}{end}").is_file() for end in ("", ".gz"))]


def _read_npz(path: Path, options: dict[str, Any]) -> tuple[Array, Array]:
    names = tuple(options.pop("names", ("x", "y")))
    _refuse(path, options, ("names",))
    x, y = load_npz(path, names).arrays
    return np.asarray(x), np.asarray(y)


def _read_csv(path: Path, options: dict[str, Any]) -> tuple[Array, Array]:
    known = ("target", "columns", "classes", "missing", "delimiter", "header")
    _refuse(path, {name: value for name, value in options.items() if name not in known}, known)
    target = options.pop("target", -1)
    x, y = read_csv(path, target=target, **options).arrays
    return np.asarray(x), np.asarray(y)


def _read_images(folder: Path, options: dict[str, Any]) -> tuple[Array, Array]:
    size, channels = options.pop("size", None), options.pop("channels", 1)
    _refuse(folder, options, ("size", "channels"))
    try:
        folder.stat()
    except OSError as error:
        raise_unreadable(folder, "data set", error)
    if not folder.is_dir() or not any(path.is_dir() for path in folder.iterdir()):
        raise DataError(
            f"{folder}: expected IDX files named as those of MNIST, {' or '.join(_PARTS.values())} with their labels, "
            "plain or .gz, or a folder of images for each class, got none of them"
        )
    source = ImageFolder(folder, size=tuple(size) if isinstance(size, list) else size, channels=channels)
    images, labels = zip(*(source[i] for i in range(len(source))), strict=True)
    if len({image.shape for image in images}) > 1:
        raise DataError(f"{folder}: expected images of one size, got several; choose one with data_options.size=28")
    x = np.stack(images)
    return x[:, 0] if channels == 1 else x, np.asarray(labels)


def _refuse(path: Path, options: Mapping[str, Any], known: Sequence[str]) -> None:
    for name in options:
        raise ArgumentError(f"{path}: expected data_options among {', '.join(known)}, got {name}{nearest(name, known)}")


def _target(source: str, y: Array) -> Array:
    """Return class indices as they are, and numbers as float32 of shape (samples, outputs)."""
    if y.dtype.kind in "iub" and y.ndim == 1:
        return y
    if y.dtype.kind not in "iubf" or y.ndim > 2:
        raise DataError(
            f"{source}: expected targets of shape (samples,) or (samples, outputs), got {y.dtype} {y.shape}"
        )
    return y.reshape(len(y), -1).astype(np.float32)


def _pairs(arrays: tuple[Array, ...]) -> list[tuple[Array, Array]]:
    return list(zip(arrays[::2], arrays[1::2], strict=True))

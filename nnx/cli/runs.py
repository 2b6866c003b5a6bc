"""Run directories: the configuration, the outcome, and the trained model from its files."""

import json
import math
import platform
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nnx.backend import BACKENDS, asarray
from nnx.cli import LOSSES
from nnx.cli.architectures import perceptron
from nnx.cli.configuration import Configuration, without_none
from nnx.cli.framing import Framing
from nnx.cli.run_folder import CONFIG, WEIGHTS, metadata_of, read_begun, refresh
from nnx.data import DataLoader, Dataset, Normalize, index_to_one_hot
from nnx.errors import ArgumentError, CheckpointError, DataError
from nnx.io import load_weights
from nnx.layers import Module
from nnx.types import Array
from nnx.version import __version__

CONFIG_VERSION = 3


@dataclass(frozen=True)
class Run:
    """A run: its configuration and what follows from the data, as ``config.json`` holds it.

    Attributes
    ----------
    configuration : Configuration
    shape : tuple of int
        Of a sample, such as (height, width).
    classes : int
        The number of classes, or of the numbers that a regression predicts.
    is_regression : bool
    standard : Normalize
        With the mean and standard deviation of the training set's pixels.
    framing : Framing
        Size and place of the digits in the training images.
    fingerprint : str
        Of the data; see :class:`nnx.cli.samples.Samples`.
    """

    configuration: Configuration
    shape: tuple[int, ...]
    classes: int
    is_regression: bool
    standard: Normalize
    framing: Framing
    fingerprint: str

    @property
    def pixels(self) -> int:
        """The number of values of a sample."""
        return math.prod(self.shape)

    @property
    def kind(self) -> str:
        """What a sample is."""
        return "images" if len(self.shape) > 1 else "samples"

    @property
    def monitor(self) -> tuple[str, ...]:
        """What decides which epoch is the best."""
        return ("validation_loss",) if self.is_regression else ("validation_accuracy", "validation_loss")

    def make_loader(
        self, x: Array, y: Array, batch_size: int = 1000, *, shuffle: bool = False, transform: Any = None
    ) -> DataLoader:
        """Standardize samples, move them to the selected backend and device, and return their batches.

        Raises
        ------
        DataError
            If the images or the labels do not fit the network.
        """
        if x.shape[1] != self.pixels:
            raise DataError(f"expected images of {self.pixels} pixels, as the network takes, got {x.shape[1]}")
        configuration = self.configuration
        inputs = self.standard.apply(x.astype(configuration.dtype))
        dataset = Dataset(asarray(inputs), asarray(self._targets(y)))
        return DataLoader(dataset, batch_size, shuffle=shuffle, seed=configuration.seed, transform=transform)

    def _targets(self, y: Array) -> Array:
        if self.is_regression != (y.dtype.kind == "f"):
            wanted, got = ("numbers", "classes") if self.is_regression else ("classes", "numbers")
            raise DataError(f"expected targets that are {wanted}, as the network was trained on, got {got}")
        if self.is_regression:
            return y.astype(self.configuration.dtype)
        one_hot = index_to_one_hot(y, self.classes)  # which also checks the labels
        # Indices as int32: every backend has it, while JAX has int64 only in its 64-bit mode.
        is_index = self.configuration.target == "indices"
        return y.astype(np.int32) if is_index else one_hot.astype(self.configuration.dtype)

    def content(self) -> dict[str, Any]:
        """Return all that is needed to build the model again and to use it, as data for JSON."""
        standard = {name: getattr(self.standard, name) for name in ("mean", "std")}
        own = {"configuration": self.configuration.as_data(), **asdict(self.framing), "standard": standard}
        own |= {name: getattr(self, name) for name in ("classes", "is_regression", "fingerprint")}
        own["shape"] = list(self.shape)
        return {"format": CONFIG_VERSION, **own}

    @classmethod
    def parse(cls, content: Any, where: Path, allow: Mapping[str, Callable[..., Any]] | None = None) -> "Run":
        """Return a run from what :meth:`content` returned, or a file of an older version has.

        Raises
        ------
        CheckpointError
            If it is something else.
        """
        return _parse(where, content, allow)


def versions(backend: str | None) -> dict[str, str | None]:
    """Return what a run was computed with."""
    library = BACKENDS[backend or "numpy"]
    return {"nnx": __version__, "python": platform.python_version(), library.name: library.version}


def read_run(folder: Path, allow: Mapping[str, Callable[..., Any]] | None = None) -> tuple[Run, Module]:
    """Return a run and its trained model, on the selected backend.

    Raises
    ------
    CheckpointError
        If the directory or one of its files is missing, damaged, or written by a newer version.
    """
    if not (folder / WEIGHTS).exists() and (begun := read_begun(folder)) is not None:
        epochs = begun.get("configuration", {}).get("epochs")
        raise CheckpointError(
            f"{folder}: expected a run that has ended, got one that was stopped before its {epochs} epochs were over; "
            f"go on with nnx train --resume {folder}"
        )
    metadata = metadata_of(folder)
    if metadata:
        refresh(folder, metadata)
        where, run = folder / WEIGHTS, Run.parse(metadata["run"], folder / WEIGHTS, allow)
    else:  # of a version before 0.2, which kept the two apart
        where = folder / CONFIG
        run = Run.parse(_read_json(folder), where, allow)
    state, _ = load_weights(folder / WEIGHTS)
    try:
        model = run.configuration.make_model()
        model.load_state_dict(state)
    except ArgumentError as error:
        raise CheckpointError(f"{where}: {error}") from error
    except CheckpointError as error:
        raise CheckpointError(f"{folder}: {CONFIG} and {WEIGHTS} do not belong together: {error}") from error
    model.eval()
    return run, model


def _read_json(folder: Path) -> Any:
    path = folder / CONFIG
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            f"{folder}: expected a run directory that nnx train wrote, got none with a readable {CONFIG} "
            f"({error.strerror}); check the path"
        ) from error
    except (ValueError, RecursionError) as error:  # the second for JSON that is nested without end
        raise CheckpointError(f"{path}: expected JSON, got a damaged file ({error}); train again") from error


def _parse(path: Path, content: Any, allow: Any) -> Run:
    version = content.get("format") if isinstance(content, dict) else None
    if isinstance(version, int) and version > CONFIG_VERSION:
        raise CheckpointError(
            f"{path}: expected format {CONFIG_VERSION} or older, got {version}; "
            "install a newer nnx: pip install --upgrade 'nnx-array[cli]'"
        )
    try:
        if version == 1:
            content = {**content, **_of_format_1(content)}
        return Run(
            configuration=Configuration.parse(without_none(content["configuration"]), str(path), allow),
            shape=_shape(content),
            classes=int(content["classes"]),
            is_regression=bool(content.get("is_regression", False)),
            standard=Normalize(**content["standard"]),
            framing=Framing(float(content["fill"]), float(content.get("center", 0.5))),  # of old runs only the first
            fingerprint=str(content["fingerprint"]),
        )
    except (LookupError, TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{path}: expected the configuration of a run, got an unknown one ({error!r})") from error


def _shape(content: dict[str, Any]) -> tuple[int, ...]:
    """Return the shape of a sample; runs of old formats have the number of pixels alone."""
    if "shape" in content:
        return tuple(map(int, content["shape"]))
    pixels = int(content["pixels"])
    side = math.isqrt(pixels)
    return (side, side) if side * side == pixels else (pixels,)


def _of_format_1(content: dict[str, Any]) -> dict[str, Any]:
    """Convert the content of a file of format 1, which has the sizes of a network and options for everything else."""
    options, sizes = content["options"], tuple(map(int, content["sizes"]))
    kept = ("data", "epochs", "batch_size", "seed", "dtype", "backend", "device")
    configuration = {
        "model": perceptron(sizes, options["dtype"]),
        "loss": {"type": LOSSES[options["loss"]]},
        "optimizer": {"type": "SGD", "learning_rate": options["learning_rate"]},
        **{name: options[name] for name in kept},
    }
    return {"configuration": configuration, "pixels": sizes[0], "classes": sizes[-1]}

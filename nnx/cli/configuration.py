"""A training as data: named constructors of nnx and a few numbers, as they stand in a file of JSON."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from nnx.backend import generator
from nnx.cli import LOSSES
from nnx.configuration import from_config
from nnx.errors import ArgumentError, NnxError
from nnx.layers import Module
from nnx.losses import Loss
from nnx.optimizers import Optimizer

Config = Mapping[str, Any]


class _Kind(NamedTuple):
    """What may stand under a name: in words, and as a test."""

    text: str
    allows: Callable[[Any], bool]


def _at_least(least: int) -> _Kind:
    return _Kind(f"an integer >= {least}", lambda value: type(value) is int and value >= least)


_CONSTRUCTOR = _Kind("a mapping with a type", lambda value: isinstance(value, dict))
_STRING = _Kind("a string", lambda value: isinstance(value, str))
_KINDS = {
    **dict.fromkeys(("model", "loss", "optimizer"), _CONSTRUCTOR),
    **dict.fromkeys(("data", "backend", "device"), _STRING),
    **dict.fromkeys(("epochs", "batch_size"), _at_least(1)),
    "seed": _at_least(0),
    "dtype": _Kind("float32 or float64", lambda value: value in ["float32", "float64"]),
}


@dataclass(frozen=True)
class Configuration:
    """What ``nnx train`` is to do; ``config.json`` and the files of ``--config`` have these names.

    Attributes
    ----------
    model : mapping
        As :meth:`nnx.Module.config` returns it. It maps images (batch, pixels) to (batch, classes).
    loss, optimizer : mapping
        The same of a loss and of an optimizer.
    data : str
        The name of a data set, or a directory.
    epochs, batch_size, seed : int
    dtype : str
        Of the images.
    backend, device : str or None
        What to compute with; ``None`` is still to be chosen.
    """

    model: Config
    loss: Config = field(default_factory=lambda: {"type": "CrossEntropy"})
    optimizer: Config = field(default_factory=lambda: {"type": "SGD", "learning_rate": 0.1})
    data: str = "digits"
    epochs: int = 30
    batch_size: int = 16
    seed: int = 0
    dtype: str = "float32"
    backend: str | None = None
    device: str | None = None

    @classmethod
    def parse(cls, content: Any, where: str) -> "Configuration":
        """Check what a file holds; ``where`` names it in errors.

        Raises
        ------
        ArgumentError
            If it is no mapping, lacks a model, or has another name or a value of another type.
        """
        if not isinstance(content, dict) or "model" not in content:
            raise ArgumentError(f"{where}: expected a configuration, a mapping with a model, got none")
        if unknown := sorted(content.keys() - _KINDS):
            raise ArgumentError(f"{where}: expected a configuration of {', '.join(_KINDS)}, got {', '.join(unknown)}")
        for name, value in content.items():
            if not _KINDS[name].allows(value):
                raise ArgumentError(f"{where}: expected {name} to be {_KINDS[name].text}, got {value!r}")
        return cls(**content)

    @property
    def spec(self) -> str:
        """The backend and device, as :func:`nnx.use_backend` takes them."""
        return f"{self.backend}:{self.device}"

    @property
    def target(self) -> str:
        """Whether the loss takes class ``"indices"`` or ``"one-hot"`` targets.

        Raises
        ------
        ArgumentError
            If the loss is none of a classifier.
        """
        known, name = list(LOSSES.values()), self.loss.get("type")
        if name not in known:
            raise ArgumentError(f"expected a loss that trains a classifier, {' or '.join(known)}, got {name!r}")
        return "indices" if name == "CrossEntropy" else "one-hot"

    def make_model(self) -> Module:
        """Return the model with its initial values, on the selected backend; the seed decides them."""
        return _make("model", self.model, Module, rng=generator(self.seed))

    def make_loss(self) -> Loss:
        """Return a new loss."""
        return _make("loss", self.loss, Loss)

    def make_optimizer(self, model: Module) -> Optimizer:
        """Return a new optimizer of a model."""
        return _make("optimizer", self.optimizer, Optimizer, model=model)


def _make(name: str, config: Config, kind: type, **given: Any) -> Any:
    try:
        made = from_config(config, **given)
    except NnxError as error:
        raise ArgumentError(f"the configuration of the {name}: {error}") from error
    if not isinstance(made, kind):
        raise ArgumentError(f"the configuration of the {name}: expected a {kind.__name__}, got a {type(made).__name__}")
    return made


def read_configuration(path: Path, **instead: Any) -> Configuration:
    """Read the configuration in a file, or in the ``config.json`` of a run.

    Parameters
    ----------
    path : path
    **instead
        What to use in place of what the file says.

    Raises
    ------
    ArgumentError
        If the file cannot be read, or is no configuration.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArgumentError(f"{path}: expected a readable file of JSON ({error.strerror})") from error
    except ValueError as error:
        raise ArgumentError(f"{path}: expected JSON, got something else ({error})") from error
    if isinstance(content, dict) and "configuration" in content:
        content = content["configuration"]
    return Configuration.parse({**content, **instead} if isinstance(content, dict) else content, str(path))


def perceptron(sizes: tuple[int, ...], dtype: str) -> dict[str, Any]:
    """Return the configuration of a network of linear layers with ReLU between them."""
    layers: list[dict[str, Any]] = []
    for in_features, out_features in pairwise(sizes):
        layers += [
            {"type": "Linear", "in_features": in_features, "out_features": out_features, "dtype": dtype},
            {"type": "ReLU"},
        ]
    return {"type": "Sequential", "layers": layers[:-1]}

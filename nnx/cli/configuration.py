"""A training run as data: constructors of nnx by name and a few numbers, for a JSON file."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    """The values allowed under a name: in words, and as a predicate."""

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
    """What ``nnx train`` does; the names are those in ``config.json`` and in files for ``--config``.

    Attributes
    ----------
    model : mapping
        As :meth:`nnx.Module.config` returns it. It maps images (batch, pixels) to (batch, classes).
    loss, optimizer : mapping
        The same for a loss and an optimizer.
    data : str
        The name of a data set, or a directory.
    epochs, batch_size, seed : int
    dtype : str
        Of the images.
    backend, device : str or None
        What to compute with; ``None`` if not chosen yet.
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
        """Check the content of a file, whose name in errors is ``where``.

        Raises
        ------
        ArgumentError
            If it is not a mapping, lacks a model, or has an unknown name or a value of the wrong type.
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
            If the loss is not one for classifiers.
        """
        known, name = list(LOSSES.values()), self.loss.get("type")
        if name not in known:
            raise ArgumentError(f"expected a loss that trains a classifier, {' or '.join(known)}, got {name!r}")
        return "indices" if name == "CrossEntropy" else "one-hot"

    def make_model(self) -> Module:
        """Return the model with initial values determined by the seed, on the selected backend."""
        return _make("model", self.model, Module, rng=generator(self.seed))

    def make_loss(self) -> Loss:
        """Return a new loss."""
        return _make("loss", self.loss, Loss)

    def make_optimizer(self, model: Module) -> Optimizer:
        """Return a new optimizer for a model."""
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
        Values that replace those in the file.

    Raises
    ------
    ArgumentError
        If the file cannot be read, or does not hold a configuration.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArgumentError(f"{path}: expected a readable file of JSON ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # the second for JSON that is nested without end
        raise ArgumentError(f"{path}: expected JSON, got something else ({error})") from error
    if isinstance(content, dict) and "configuration" in content:
        content = content["configuration"]
    return Configuration.parse({**content, **instead} if isinstance(content, dict) else content, str(path))

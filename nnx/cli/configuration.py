"""A training run as data: constructors of nnx by name and a few numbers, for a file of TOML or JSON."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from nnx import callbacks as callbacks_of_nnx
from nnx.backend import generator
from nnx.callbacks import Callback
from nnx.cli import LOSSES
from nnx.cli.settings import changed, read_settings
from nnx.configuration import from_config
from nnx.errors import ArgumentError, NnxError
from nnx.functional.checks import nearest
from nnx.layers import Module
from nnx.layers.config import type_name
from nnx.losses import Loss
from nnx.metrics import Metric
from nnx.optimizers import Optimizer, WeightAverage
from nnx.training.mixed_precision import POLICIES

Config = Mapping[str, Any]
PRESETS = ("perceptron", "lenet")


class _Kind(NamedTuple):
    """The values allowed under a name: in words, and as a predicate."""

    text: str
    allows: Callable[[Any], bool]


def _at_least(least: int) -> _Kind:
    return _Kind(f"an integer >= {least}", lambda value: type(value) is int and value >= least)


def _one_of(*values: str) -> _Kind:
    return _Kind(" or ".join(values), lambda value: isinstance(value, str) and value in values)


_CONSTRUCTOR = _Kind("a mapping with a type", lambda value: isinstance(value, dict))
_STRING = _Kind("a string", lambda value: isinstance(value, str))
_MAPPINGS = _Kind("a mapping of mappings", lambda value: _all_dicts(value.values() if isinstance(value, dict) else 0))
_LIST = _Kind("a list of mappings with a type", lambda value: _all_dicts(value if isinstance(value, list) else 0))
_KINDS = {
    "data": _STRING,
    "data_options": _CONSTRUCTOR,
    **dict.fromkeys(("model", "loss", "optimizer", "average"), _CONSTRUCTOR),
    "metrics": _MAPPINGS,
    **dict.fromkeys(("callbacks", "transforms"), _LIST),
    **dict.fromkeys(("epochs", "batch_size", "accumulate"), _at_least(1)),
    "seed": _at_least(0),
    "dtype": _one_of("float32", "float64"),
    "policy": _one_of(*POLICIES),
    "not_finite": _one_of("raise", "skip"),
    **dict.fromkeys(("backend", "device"), _STRING),
}


def _all_dicts(values: Any) -> bool:
    return values != 0 and all(isinstance(value, dict) for value in values)


@dataclass(frozen=True)
class Configuration:
    """What ``nnx train`` does; the names are those in a file for it, and in ``config.json``.

    Attributes
    ----------
    model : mapping
        As :meth:`nnx.Module.config` returns it, mapping (batch, values) to (batch, classes); or a preset,
        ``{"preset": "perceptron", "hidden": [50]}`` or ``{"preset": "lenet"}``; or a class or function of the file of
        ``--code`` by name, with its arguments.
    loss, optimizer, average : mapping
        The same for a loss, an optimizer and an average of the weights; an empty one stands for the default, none.
    metrics : mapping
        By name; the accuracy of a classifier is always among them.
    callbacks, transforms : list of mapping
        Those of ``nnx.callbacks``, and of ``nnx.data`` for batches of training data.
    data : str
        The name of a data set, a file or a directory.
    data_options : mapping
        How to read it; see :func:`nnx.cli.samples.load_samples`.
    epochs, batch_size, accumulate, seed : int
    dtype : str
        Of the inputs.
    policy, not_finite : str
        As :class:`nnx.Trainer` takes them.
    backend, device : str or None
        What to compute with; ``None`` if not chosen yet.
    allow : mapping
        Classes and functions of the user's own by name; not a part of files.
    """

    model: Config
    loss: Config = field(default_factory=dict)
    optimizer: Config = field(default_factory=lambda: {"type": "SGD", "learning_rate": 0.1})
    average: Config = field(default_factory=dict)
    metrics: Mapping[str, Config] = field(default_factory=dict)
    callbacks: Sequence[Config] = ()
    transforms: Sequence[Config] = ()
    data: str = "digits"
    data_options: Config = field(default_factory=dict)
    epochs: int = 30
    batch_size: int = 16
    accumulate: int = 1
    seed: int = 0
    dtype: str = "float32"
    policy: str = "float32"
    not_finite: str = "raise"
    backend: str | None = None
    device: str | None = None
    allow: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    @classmethod
    def parse(cls, content: Any, where: str, allow: Mapping[str, Callable[..., Any]] | None = None) -> "Configuration":
        """Check the content of a file, whose name in errors is ``where``.

        Raises
        ------
        ArgumentError
            If it is not a mapping, lacks a model, or has an unknown name or a value of the wrong type.
        """
        if not isinstance(content, dict) or "model" not in content:
            raise ArgumentError(f"{where}: expected a configuration, a mapping with a model, got none")
        if unknown := sorted(map(str, content.keys() - _KINDS)):
            raise ArgumentError(
                f"{where}: expected a configuration of {', '.join(_KINDS)}, got {', '.join(unknown)}"
                f"{nearest(unknown[0], _KINDS)}"
            )
        for name, value in content.items():
            if not _KINDS[name].allows(value):
                raise ArgumentError(f"{where}: expected {name} to be {_KINDS[name].text}, got {value!r}")
        return cls(**content, allow=dict(allow or {}))

    def as_data(self) -> dict[str, Any]:
        """Return what :meth:`parse` takes."""
        content = asdict(self)
        del content["allow"]
        return {name: list(value) if isinstance(value, tuple) else value for name, value in content.items()}

    def changed(self, settings: Sequence[str]) -> "Configuration":
        """Return a configuration with values that ``--set`` gives."""
        return Configuration.parse(changed(without_none(self.as_data()), settings), "--set", self.allow)

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
        rng, name = generator(self.seed), str(self.model.get("type"))
        function = self.allow.get(name)
        if function is not None and not isinstance(function, type):
            arguments = {key: value for key, value in self.model.items() if key != "type"}
            return _checked("model", lambda: function(**arguments), Module)
        return self._make("model", self.model, Module, rng=rng)

    def make_loss(self) -> Loss:
        """Return a new loss."""
        return self._make("loss", self.loss, Loss)

    def make_optimizer(self, model: Module) -> Optimizer:
        """Return a new optimizer for a model."""
        config, given = dict(self.optimizer), {}
        if "groups" in config:  # which a file has as plain mappings, not as something to be made
            given["groups"] = [_group(group) for group in config.pop("groups")]
        return self._make("optimizer", config, Optimizer, model=model, **given)

    def make_average(self, model: Module) -> WeightAverage | None:
        """Return a new average of the weights of a model, if there is to be one."""
        return self._make("average", self.average, WeightAverage, model=model) if self.average else None

    def make_metrics(self) -> dict[str, Metric]:
        """Return the metrics by name."""
        return {name: self._make(f"metric {name!r}", config, Metric) for name, config in self.metrics.items()}

    def make_transforms(self) -> list[Any]:
        """Return the transforms of batches."""
        return [self._make(f"transform {i}", config, object) for i, config in enumerate(self.transforms)]

    def make_callbacks(self) -> list[Callback]:
        """Return the callbacks.

        Raises
        ------
        ArgumentError
            If one is none of nnx or of the user's own, or cannot be made.
        """
        known = {name: getattr(callbacks_of_nnx, name) for name in callbacks_of_nnx.__all__} | dict(self.allow)
        made = []
        for i, config in enumerate(self.callbacks):
            arguments = dict(config)
            kind = known.get(arguments.pop("type", ""))
            if not (isinstance(kind, type) and issubclass(kind, Callback)):
                advice = nearest(config.get("type", ""), known)
                raise ArgumentError(
                    f"callback {i}: expected the type of a callback, got {config.get('type')!r}{advice}"
                )
            values = {
                name: from_config(value) if isinstance(value, dict) and "type" in value else value
                for name, value in arguments.items()
            }
            takes = inspect.signature(kind).parameters
            if unknown := [name for name in values if name not in takes]:
                near = nearest(unknown[0], takes)
                raise ArgumentError(f"callback {i}: {kind.__name__} takes no {', '.join(unknown)}{near}")
            made.append(_checked(f"callback {i}", partial(kind, **values), Callback))
        return made

    def _make(self, name: str, config: Config, kind: type, **given: Any) -> Any:
        own = {key: value for key, value in self.allow.items() if isinstance(value, type)}
        return _checked(name, lambda: from_config(_qualified(config, own), allow=own.values(), **given), kind)


def _checked(name: str, make: Callable[[], Any], kind: type) -> Any:
    try:
        made = make()
    except (NnxError, TypeError) as error:
        raise ArgumentError(f"the configuration of the {name}: {error}") from error
    if not isinstance(made, kind):
        raise ArgumentError(f"the configuration of the {name}: expected a {kind.__name__}, got a {type(made).__name__}")
    return made


def _qualified(config: Any, own: Mapping[str, type]) -> Any:
    """Return a configuration that names the user's own classes as :func:`from_config` does, with their module."""
    if isinstance(config, dict):
        named = {key: _qualified(value, own) for key, value in config.items()}
        kind = own.get(named["type"]) if isinstance(named.get("type"), str) else None
        return named if kind is None else named | {"type": type_name(kind)}
    return [_qualified(value, own) for value in config] if isinstance(config, list) else config


def _group(group: Any) -> Any:
    """Return a group of parameters, in which values such as schedules are made."""
    if not isinstance(group, dict):
        return group
    items = group["items"] if group.get("type") == "dict" else group
    made = {
        name: from_config(value) if isinstance(value, dict) and "." in str(value.get("type")) else value
        for name, value in dict(items).items()
    }
    return {name: value["items"] if isinstance(value, dict) else value for name, value in made.items()}


def without_none(content: Any) -> Any:
    """Return a configuration without the names that have no value, which old formats spell out as null."""
    if not isinstance(content, dict):  # which parse refuses in words of its own
        return content
    return {name: value for name, value in content.items() if value is not None}


def read_configuration(
    path: Path, settings: Sequence[str] = (), allow: Mapping[str, Callable[..., Any]] | None = None
) -> Configuration:
    """Read the configuration in a file of TOML or JSON, or in the ``config.json`` of a run.

    Parameters
    ----------
    path : path
    settings : sequence of str
        Values that replace those in the file, as ``--set`` gives them.
    allow : mapping
        See :class:`Configuration`.

    Raises
    ------
    ArgumentError
        If the file cannot be read, or does not hold a configuration.
    """
    content = {"optimizer": {"type": "SGD", "learning_rate": 0.1}, **read_settings(path)}
    return Configuration.parse(without_none(changed(content, settings)), str(path), allow)

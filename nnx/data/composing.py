"""Transforms of batches: which parts of a batch one changes, and several in a row."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar

from nnx.backend import is_array
from nnx.data.parameters import takes
from nnx.data.sample_key import SampleKey
from nnx.errors import ArgumentError, DataError, ShapeError, UsageError
from nnx.functional.checks import counted
from nnx.layers.config import config_of
from nnx.types import Array

Part = int | str
"""A part of a batch: its position, or its name in a dict."""


@dataclass(frozen=True, repr=False)
class Transform:
    """A change of some parts of a batch, called as ``transform(batch)`` or ``transform(batch, key)``.

    A subclass is a frozen dataclass that defines ``apply(x)`` for one part. What it is given stays as it is: a
    transform returns new arrays of the same library, on the same device.

    Parameters
    ----------
    parts : int, str or tuple of them
        Which parts of a batch are changed; by default the first, which is the input where a batch is (input, target).
        In a dict an int counts the names in their order. A batch that is a single array is its own only part.

    Examples
    --------
    >>> import numpy as np
    >>> @dataclass(frozen=True)
    ... class Invert(Transform):
    ...     def apply(self, x):
    ...         return 1.0 - x
    >>> Invert()((np.zeros(2), np.ones(2)))
    (array([1., 1.]), array([1., 1.]))
    >>> Invert(parts="mask")({"image": np.zeros(2), "mask": np.zeros(2)})
    {'image': array([0., 0.]), 'mask': array([1., 1.])}
    """

    parts: Part | tuple[Part, ...] = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, list):  # as JSON or a user gives it; a tuple can be compared and hashed
                object.__setattr__(self, name, as_tuples(value))

    def __call__(self, batch: Any, key: SampleKey | None = None) -> Any:
        """Return the batch with its parts changed."""
        whole, rebuild = _opened(batch)
        names = self.parts if isinstance(self.parts, tuple) else (self.parts,)
        places = [_place(whole, name) for name in names]
        if len(set(places)) < len(places):
            raise ArgumentError(f"expected parts of the batch to be different, got {names} of {len(whole)}; set parts=")
        for place, changed in zip(places, self.change([whole[place] for place in places], key), strict=True):
            whole[place] = changed
        return rebuild(whole)

    def change(self, arrays: list[Array], key: SampleKey | None) -> list[Array]:
        """Return the parts, changed."""
        return [self.apply(x) for x in arrays]

    def apply(self, x: Array) -> Array:
        """Return one part, changed."""
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """Return the class and its arguments as data for JSON, from which :func:`nnx.from_config` makes it again."""
        return config_of(self)

    def __repr__(self) -> str:
        own = [each for each in fields(self) if each.name != "parts"]
        given = ((each.name, getattr(self, each.name), each.default) for each in (*own, *fields(self)[:1]))
        texts = (f"{name}={value!r}" for name, value, usual in given if usual is MISSING or value != usual)
        return f"{type(self).__name__}({', '.join(texts)})"


@dataclass(frozen=True, repr=False)
class RandomTransform(Transform):
    """A transform that draws some numbers for each sample.

    They are a function of the seed, the epoch and the number of the sample: neither the batch that it is in, nor the
    library, nor a restart of the run changes them. All parts of a sample are changed alike, such as an image and its
    mask. A subclass defines ``vary(x, draws)``, with ``draws`` a NumPy array (batch, count) of numbers in [0, 1).
    """

    count: ClassVar[int] = 1
    """How many numbers a sample takes."""

    def change(self, arrays: list[Array], key: SampleKey | None) -> list[Array]:
        """Return the parts, changed."""
        draws = self.key_for(arrays, key).uniform(self.count)
        return [self.vary(x, draws) for x in arrays]

    def vary(self, x: Array, draws: Array) -> Array:
        """Return one part, changed."""
        raise NotImplementedError

    def key_for(self, arrays: list[Array], key: SampleKey | None) -> SampleKey:
        """Return the key that this transform draws with; raises an error unless it is one for the batch."""
        if key is None:
            raise UsageError(
                f"expected a key for the draws of {type(self).__name__}, got none; let a DataLoader call it, or write "
                "transform(batch, nnx.data.SampleKey(seed=0, epoch=0, indices=range(len(x))))"
            )
        for x in arrays:
            if x.shape[0] != len(key.indices):
                raise ShapeError(
                    f"expected a batch of {counted(len(key.indices), 'sample')}, as many as the key has indices, "
                    f"got shape {tuple(x.shape)}"
                )
        return key.below(type(self).__name__)


@dataclass(frozen=True)
class Compose:
    """Apply transforms one after another.

    Parameters
    ----------
    transforms : sequence of callable
        Transforms, called with the batch and a key of their own, or plain functions of the batch. A function with a
        parameter named ``key`` is given one too.

    Raises
    ------
    ArgumentError
        If one of them cannot be called.

    Examples
    --------
    >>> import numpy as np
    >>> from nnx.data import Normalize, OneHot
    >>> x, y = Compose([Normalize(mean=1.0, std=2.0), OneHot(3)])((np.asarray([[1.0], [3.0]]), np.asarray([2, 0])))
    >>> x.tolist(), y.tolist()
    ([[0.0], [1.0]], [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    """

    transforms: Sequence[Callable[..., Any]]

    def __post_init__(self) -> None:
        object.__setattr__(self, "transforms", tuple(self.transforms))
        for transform in self.transforms:
            if not callable(transform):
                raise ArgumentError(f"expected transforms that can be called, got {transform!r}")

    def __call__(self, batch: Any, key: SampleKey | None = None) -> Any:
        """Return the batch, changed by all of them."""
        for number, transform in enumerate(self.transforms):
            own = {"key": key and key.below(str(number))} if takes(transform, "key") else {}
            batch = transform(batch, **own)
        return batch

    def config(self) -> dict[str, Any]:
        """Return the class and its arguments as data for JSON, from which :func:`nnx.from_config` makes it again."""
        return config_of(self)


def as_tuples(value: Any) -> Any:
    """Return nested lists as nested tuples."""
    return tuple(as_tuples(item) for item in value) if isinstance(value, (list, tuple)) else value


def _opened(batch: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return the parts of a batch in a new list or dict, and how to make a batch of them again."""
    if is_array(batch):
        return [batch], lambda parts: parts[0]
    if isinstance(batch, Mapping):
        return dict(batch), lambda parts: parts
    if isinstance(batch, (tuple, list)):
        kind = type(batch)
        return list(batch), functools.partial(_made, kind)
    raise DataError(
        f"expected a batch that is an array, or a tuple or dict of arrays, got {type(batch).__name__}; "
        "change it with a function of your own"
    )


def _made(kind: Any, parts: list[Any]) -> Any:
    return kind(*parts) if hasattr(kind, "_fields") else kind(parts)


def _place(whole: Any, name: Part) -> Any:
    known = list(whole) if isinstance(whole, dict) else list(range(len(whole)))
    if isinstance(name, int) and -len(known) <= name < len(known):
        found = known[name]
    elif name in known:
        found = name
    else:
        parts = ", ".join(map(repr, known))
        raise ArgumentError(f"expected parts to be among those of the batch, {parts}, got {name!r}; set parts=")
    if not is_array(whole[found]):
        raise DataError(
            f"expected an array as part {name!r} of the batch, got {type(whole[found]).__name__}; "
            "change it with a function of your own"
        )
    return found

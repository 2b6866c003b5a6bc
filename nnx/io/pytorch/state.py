"""Weights of a model of one's own from PyTorch's ``state_dict``, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nnx.autodiff import stop_gradient
from nnx.backend import copied, dtype_name, is_array, namespace, to_device, to_numpy
from nnx.errors import ArgumentError, CheckpointError
from nnx.functional.checks import nearest
from nnx.functional.precision import cast
from nnx.io.pytorch.layouts import Entry, Source, entries
from nnx.layers import Module
from nnx.layers.state import misfit
from nnx.types import Array


def load_torch_state_dict(model: Module, state: Mapping[str, Any], *, strict: bool = True) -> Module:
    """Replace a model's values by those of a PyTorch model that is built in the same way.

    The two correspond by name: the attributes of the modules have the names that they have in PyTorch, and each layer
    of nnx knows PyTorch's names and layouts of its own values, such as the transposed weight of a linear layer.

    Parameters
    ----------
    model : Module
        Changed in place. Values that PyTorch does not have, such as the counters of dropout, are kept.
    state : mapping from name to array
        What ``module.state_dict()`` returns in PyTorch, or the same from a file, on any library. It is copied.
    strict : bool
        Whether names that are missing, or that the model does not have, are errors. Wrong shapes and dtypes always are.

    Returns
    -------
    Module
        The model.

    Raises
    ------
    CheckpointError
        Lists every name that is missing or extra, every wrong shape or dtype, and tied values that differ. Then
        nothing is changed.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Model([nnx.Linear(2, 1), nnx.ReLU()])
    >>> state = {"0.weight": np.asarray([[1.0, 2.0]], "float32"), "0.bias": np.asarray([3.0], "float32")}
    >>> nnx.io.load_torch_state_dict(model, state)(np.asarray([[1.0, 1.0]], "float32"))
    array([[6.]], dtype=float32)
    """
    own = model.state_dict()
    found: dict[str, Any] = {}
    problems, aliases, known = [], [], set()
    for entry in entries(model):
        known.add(entry.name)
        if entry.name not in state:
            problems += [f"{entry.name}: missing"] if strict and not entry.is_alias else []
            continue
        stored = _stored(entry, own)
        value = _widened(stop_gradient(_detached(state[entry.name])), entry, stored)
        if text := misfit(entry.name, stored, value):
            problems.append(text)
        elif entry.is_alias:
            aliases.append((entry, value))
        else:
            found.update(_parts(entry, value, own))
    for entry, value in aliases:
        if all(source.path in found for source in entry.sources) and not _is_equal(value, _stored(entry, found)):
            problems.append(f"{entry.name}: expected the values that it is tied to, got others")
    problems += [f"{name}: not in the model" for name in state if name not in known] if strict else []
    if problems:
        raise CheckpointError(f"PyTorch's values do not fit {type(model).__name__}: " + "; ".join(problems))
    return model.load_state_dict(found, strict=False)


def to_torch_state_dict(model: Module, values: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a model's values with PyTorch's names and layouts, as torch tensors in the host's memory.

    Parameters
    ----------
    model : Module
    values : mapping from dotted path to array, optional
        Instead of the model's own values: others of the same shapes, such as gradients. Paths may be absent, but not
        some of those that are one array in PyTorch, such as query, key and value of an attention layer.

    Returns
    -------
    dict from name to tensor
        Copies, for ``module.load_state_dict`` in PyTorch. A value of several places stands under each of its names.

    Raises
    ------
    ArgumentError
        If the model has no value of some path, or a part of an array of PyTorch is absent.
    BackendError
        If PyTorch is not installed.

    Examples
    --------
    >>> import nnx
    >>> model = nnx.Model([nnx.Linear(2, 3, rng=0), nnx.ReLU()])
    >>> state = nnx.io.to_torch_state_dict(model)  # doctest: +SKIP
    >>> {name: tuple(tensor.shape) for name, tensor in state.items()}  # doctest: +SKIP
    {'0.weight': (3, 2), '0.bias': (3,)}
    """
    own = model.state_dict()
    given = own if values is None else values
    if unknown := [path for path in given if path not in own]:
        raise ArgumentError(
            f"expected paths of {type(model).__name__}, got {', '.join(map(str, unknown))}{nearest(unknown[0], own)}"
        )
    found = {}
    for entry in entries(model):
        absent = [source.path for source in entry.sources if source.path not in given]
        if not absent:
            found[entry.name] = _stored(entry, given)
        elif len(absent) < len(entry.sources):
            raise ArgumentError(
                f"expected all values that are {entry.name} in PyTorch, or none, got none of {', '.join(absent)}; add "
                "them, for example as zeros"
            )
    return {name: copied(to_device(value, "torch:cpu")) for name, value in found.items()}


def _stored(entry: Entry, values: Mapping[str, Any]) -> Array:
    """Return an entry as PyTorch stores it."""
    parts = [_there(values[source.path], source) for source in entry.sources]
    return parts[0] if len(parts) == 1 else namespace(*parts).concat(parts, axis=0)


def _parts(entry: Entry, value: Any, own: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the values of nnx, by path, that an entry consists of, in memory of their own."""
    start = 0
    for source in entry.sources:
        part = value
        if len(entry.sources) > 1:
            length = _there(own[source.path], source).shape[0]
            part = value[start : start + length, ...]
            start += length
        yield source.path, copied(_here(part, source)) if is_array(part) else part


def _there(value: Any, source: Source) -> Array:
    """Return a value of nnx as PyTorch has it."""
    if not is_array(value):  # a number, such as that of the batches seen
        return np.asarray(value, np.int64)  # on the host, since JAX may have no int64
    xp = namespace(value)
    if source.ones:
        return xp.reshape(value, (*value.shape, *(1,) * source.ones))
    return xp.matrix_transpose(value) if source.transposed else value


def _here(value: Array, source: Source) -> Array:
    """Return a value of PyTorch as nnx has it."""
    xp = namespace(value)
    if source.ones:
        return xp.reshape(value, value.shape[: value.ndim - source.ones])
    return xp.matrix_transpose(value) if source.transposed else value


def _widened(value: Any, entry: Entry, stored: Array) -> Any:
    """Return statistics that PyTorch has in 16 bits as nnx has them, in float32."""
    if not entry.sources[0].is_wide or not is_array(value) or dtype_name(value.dtype) not in ("float16", "bfloat16"):
        return value
    return cast(value, stored.dtype)


def _detached(value: Any) -> Any:
    return value.detach() if hasattr(value, "detach") else value


def _is_equal(first: Array, second: Array) -> bool:
    return bool((to_numpy(first) == to_numpy(second)).all())

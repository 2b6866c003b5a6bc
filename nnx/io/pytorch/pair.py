"""A class of ``torch.nn`` and the class of nnx that takes its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from nnx.backend import asarray, dtype_name, to_numpy
from nnx.errors import ArgumentError
from nnx.layers import Module

Convert = Callable[[Any], Module]
"""Converts a module inside the one that is being converted."""


class Pair(NamedTuple):
    """How a module of PyTorch is made in nnx.

    Attributes
    ----------
    name : str
        Of the class in nnx.
    build : callable
        Takes PyTorch's module and a :data:`Convert`.
    note : str
        What differs, for the table in the documentation.
    constants : tuple of str
        Entries of PyTorch's ``state_dict`` that the constructor was given, as class weights.
    """

    name: str
    build: Callable[[Any, Convert], Module]
    note: str = ""
    constants: tuple[str, ...] = ()


def pair_of(kind: type[Module], note: str = "", **renamed: str) -> Pair:
    """Return the pair of a class whose arguments are attributes of PyTorch's module, under its names for them."""

    def build(module: Any, convert: Convert) -> Module:
        return kind(**{name: _attribute(module, source) for name, source in renamed.items()})

    return Pair(kind.__name__, build, note)


def _attribute(module: Any, name: str) -> Any:
    value = getattr(module, name)
    return tuple(value) if isinstance(value, tuple) else value  # torch.Size is a tuple


def dtype_of(module: Any) -> str:
    """Return the dtype of a module's floating-point values, its own ones first; float32 if it has none."""
    values = [*module.parameters(recurse=False), *module.buffers(recurse=False), *module.parameters()]
    return next((dtype_name(value.dtype) for value in values if value.dtype.is_floating_point), "float32")


def constant(tensor: Any) -> Any:
    """Return a tensor, such as class weights, as an array of the selected backend; None stays None."""
    return None if tensor is None else asarray(to_numpy(tensor.detach()))


def refuse(module: Any, **expected: Any) -> None:
    """Raise ArgumentError if a module has an option that nnx does not have."""
    for name, value in expected.items():
        if getattr(module, name) != value:
            raise ArgumentError(
                f"torch.nn.{type(module).__name__}: expected {name}={value!r}, all that nnx has, got "
                f"{getattr(module, name)!r}"
            )


Table = Mapping[str, Pair]

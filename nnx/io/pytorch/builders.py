"""For each class of ``torch.nn``, how the same module is made in nnx."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import nnx.layers as nn
from nnx.backend import dtype_name
from nnx.layers import Module

Convert = Callable[[Any], Module]


def _dtype(module: Any) -> str:
    """Return the dtype of a module's own floating-point values."""
    values = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return next((dtype_name(value.dtype) for value in values if value.dtype.is_floating_point), "float32")


def _linear(module: Any, convert: Convert) -> Module:
    return nn.Linear(module.in_features, module.out_features, module.bias is not None, dtype=_dtype(module))


def _sequential(module: Any, convert: Convert) -> Module:
    return nn.Sequential([convert(layer) for layer in module])


BUILDERS: Mapping[str, Callable[[Any, Convert], Module]] = {
    "Linear": _linear,
    "Sequential": _sequential,
    "ReLU": lambda module, convert: nn.ReLU(),
    "Sigmoid": lambda module, convert: nn.Sigmoid(),
}

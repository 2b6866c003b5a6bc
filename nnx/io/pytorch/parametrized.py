"""Layers whose weight is computed, by ``torch.nn.utils.parametrizations`` and by the wrappers of nnx."""

from __future__ import annotations

from typing import Any

import nnx.layers as ours
from nnx.errors import ArgumentError
from nnx.io.pytorch.pair import Convert, Table
from nnx.layers import Module


def parametrized(module: Any, convert: Convert, table: Table) -> Module:
    """Return the layer under a parametrization of its weight, in the wrapper of nnx that computes the same.

    Raises
    ------
    ArgumentError
        If it is another one than weight or spectral normalization, of several parameters, or along another axis.
    """
    kind = type(module).__mro__[1].__name__  # PyTorch makes a class of its own for each such layer
    found = {name: [type(one).__name__ for one in chain] for name, chain in module.parametrizations.items()}
    known = (["_WeightNorm"], ["_SpectralNorm"])
    if list(found) != ["weight"] or found["weight"] not in known or kind not in table:
        raise ArgumentError(f"expected weight or spectral normalization of the weight of a layer, got {kind}: {found}")
    computed = module.parametrizations["weight"][0]
    layer = table[kind].build(module, convert)
    if found["weight"] == ["_SpectralNorm"]:
        axis = 1 if kind.startswith("ConvTranspose") else 0
        if computed.dim != axis:
            raise ArgumentError(f"expected spectral normalization along the outputs, got dim={computed.dim}")
        return ours.SpectralNorm(
            layer, iterations=computed.n_power_iterations, axis=1 if axis else None, eps=computed.eps
        )
    if computed.dim != 0:
        raise ArgumentError(f"expected weight normalization along dim=0, got dim={computed.dim}")
    return ours.WeightNorm(layer)

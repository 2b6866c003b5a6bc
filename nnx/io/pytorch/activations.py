"""The activations of ``torch.nn`` and of nnx."""

from __future__ import annotations

from typing import Any

import nnx.layers as ours
from nnx.errors import ArgumentError
from nnx.io.pytorch.pair import Convert, Pair, Table, dtype_of, pair_of, refuse
from nnx.layers import Module


def _along(kind: type[Any]) -> Pair:
    def build(module: Any, convert: Convert) -> Module:
        if module.dim is None:
            raise ArgumentError(f"torch.nn.{type(module).__name__}: expected an axis as dim, got None; name it")
        return kind(module.dim)

    return Pair(kind.__name__, build)


def _softplus(module: Any, convert: Convert) -> Module:
    refuse(module, threshold=20)
    return ours.Softplus(module.beta)


def _prelu(module: Any, convert: Convert) -> Module:
    return ours.PReLU(module.num_parameters, dtype=dtype_of(module))


_PLAIN = (
    *(ours.Hardsigmoid, ours.Hardswish, ours.LogSigmoid, ours.Mish, ours.ReLU, ours.ReLU6, ours.SELU, ours.SiLU),
    *(ours.Sigmoid, ours.Softsign, ours.Tanh),
)

ACTIVATIONS: Table = {
    **{kind.__name__: pair_of(kind) for kind in _PLAIN},
    "CELU": pair_of(ours.CELU, alpha="alpha"),
    "ELU": pair_of(ours.ELU, alpha="alpha"),
    "GELU": pair_of(ours.GELU, approximate="approximate"),
    "GLU": pair_of(ours.GLU, axis="dim"),
    "Hardtanh": pair_of(ours.Hardtanh, low="min_val", high="max_val"),
    "LeakyReLU": pair_of(ours.LeakyReLU, slope="negative_slope"),
    "LogSoftmax": _along(ours.LogSoftmax),
    "PReLU": Pair("PReLU", _prelu),
    "Softmax": _along(ours.Softmax),
    "Softmax2d": Pair("Softmax", lambda module, convert: ours.Softmax(-3)),
    "Softplus": Pair("Softplus", _softplus, "exact, where PyTorch returns x above a threshold"),
}

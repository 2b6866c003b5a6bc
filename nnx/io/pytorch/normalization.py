"""The layers of ``torch.nn`` and of nnx that normalize."""

from __future__ import annotations

from typing import Any

import nnx.layers as ours
from nnx.io.pytorch.pair import Convert, Pair, Table, dtype_of, refuse
from nnx.layers import Module


def _batch(kind: type[Any]) -> Pair:
    def build(module: Any, convert: Convert) -> Module:
        return kind(
            module.num_features,
            eps=module.eps,
            momentum=module.momentum,
            affine=module.affine,
            bias=_has_bias(module),
            track_statistics=module.track_running_stats,
            dtype=dtype_of(module),
        )

    return Pair(kind.__name__, build, "`running_var` is `running_variance`")


def _instance(kind: type[Any]) -> Pair:
    def build(module: Any, convert: Convert) -> Module:
        refuse(module, track_running_stats=False)
        return kind(
            module.num_features, eps=module.eps, affine=module.affine, bias=_has_bias(module), dtype=dtype_of(module)
        )

    return Pair(kind.__name__, build)


def _group(module: Any, convert: Convert) -> Module:
    sizes = (module.num_groups, module.num_channels)
    return ours.GroupNorm(*sizes, eps=module.eps, affine=module.affine, bias=_has_bias(module), dtype=dtype_of(module))


def _layer(module: Any, convert: Convert) -> Module:
    return ours.LayerNorm(
        tuple(module.normalized_shape),
        eps=module.eps,
        affine=module.elementwise_affine,
        bias=module.bias is not None,
        dtype=dtype_of(module),
    )


def _root_mean_square(module: Any, convert: Convert) -> Module:
    dtype = dtype_of(module)
    eps = module.eps
    if eps is None:
        eps = 2.0**-52 if dtype == "float64" else 2.0**-23
    return ours.RMSNorm(tuple(module.normalized_shape), eps=eps, affine=module.elementwise_affine, dtype=dtype)


def _has_bias(module: Any) -> bool:
    return module.bias is not None or not module.affine


NORMALIZATION: Table = {
    "BatchNorm1d": _batch(ours.BatchNorm1d),
    "BatchNorm2d": _batch(ours.BatchNorm2d),
    "BatchNorm3d": _batch(ours.BatchNorm3d),
    "GroupNorm": Pair("GroupNorm", _group),
    "InstanceNorm1d": _instance(ours.InstanceNorm1d),
    "InstanceNorm2d": _instance(ours.InstanceNorm2d),
    "InstanceNorm3d": _instance(ours.InstanceNorm3d),
    "LayerNorm": Pair("LayerNorm", _layer),
    "RMSNorm": Pair("RMSNorm", _root_mean_square),
}

"""The layers of ``torch.nn`` and of nnx that compute a function of one array."""

from __future__ import annotations

from typing import Any

import nnx.layers as ours
from nnx.io.pytorch.calls import NamedLayers
from nnx.io.pytorch.pair import Convert, Pair, Table, dtype_of, pair_of, refuse
from nnx.layers import Module


def _linear(module: Any, convert: Convert) -> Module:
    return ours.Linear(module.in_features, module.out_features, module.bias is not None, dtype=dtype_of(module))


def _bilinear(module: Any, convert: Convert) -> Module:
    sizes = (module.in1_features, module.in2_features, module.out_features)
    return ours.Bilinear(*sizes, module.bias is not None, dtype=dtype_of(module))


def _embedding(module: Any, convert: Convert) -> Module:
    refuse(module, max_norm=None, scale_grad_by_freq=False)
    return ours.Embedding(
        module.num_embeddings, module.embedding_dim, padding_index=module.padding_idx, dtype=dtype_of(module)
    )


def _list(module: Any, convert: Convert) -> Module:
    return ours.ModuleList([convert(layer) for layer in module])


def _dict(module: Any, convert: Convert) -> Module:
    return ours.ModuleDict({name: convert(layer) for name, layer in module.items()})


def _sequential(module: Any, convert: Convert) -> Module:
    layers = {name: convert(layer) for name, layer in module._modules.items()}  # named_children leaves out repetitions
    is_numbered = all(name == str(i) for i, name in enumerate(layers))
    return ours.Sequential([*layers.values()]) if is_numbered else NamedLayers(layers)


_DROPOUT = "other random masks"

LAYERS: Table = {
    "AlphaDropout": pair_of(ours.AlphaDropout, _DROPOUT, probability="p"),
    "Bilinear": Pair("Bilinear", _bilinear),
    "Dropout": pair_of(ours.Dropout, _DROPOUT, probability="p"),
    "Dropout1d": pair_of(ours.ChannelDropout, _DROPOUT, probability="p"),
    "Dropout2d": pair_of(ours.ChannelDropout, _DROPOUT, probability="p"),
    "Dropout3d": pair_of(ours.ChannelDropout, _DROPOUT, probability="p"),
    "Embedding": Pair("Embedding", _embedding),
    "Flatten": pair_of(ours.Flatten, start_axis="start_dim", end_axis="end_dim"),
    "Identity": pair_of(ours.Identity),
    "Linear": Pair("Linear", _linear, "the weight is transposed"),
    "ModuleDict": Pair("ModuleDict", _dict),
    "ModuleList": Pair("ModuleList", _list),
    "Sequential": Pair("Sequential", _sequential, "names of layers are kept, in a module around a `ModuleDict`"),
    "Unflatten": pair_of(ours.Unflatten, axis="dim", shape="unflattened_size"),
}

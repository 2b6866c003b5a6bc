"""How PyTorch names and stores the values of each layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from nnx import layers
from nnx.io.pytorch.attention_calls import AttentionCall
from nnx.io.pytorch.calls import NamedLayers, SequenceLayer
from nnx.io.pytorch.transformer_calls import DecoderCall, EncoderCall
from nnx.layers import Buffer, Module
from nnx.layers.drawing import Drawing
from nnx.layers.recurrent_base import Recurrent, RecurrentCell


class Stored(NamedTuple):
    """One entry of PyTorch's ``state_dict``, and the values of a module that it consists of.

    Attributes
    ----------
    name : str
        PyTorch's name, below the path of the module.
    own : tuple of str
        The paths of the values below the module. They follow each other along the first axis of PyTorch's.
    transposed : bool
        Whether each of them is the transpose of its part.
    ones : int
        How many axes of length 1 PyTorch's has at its end.
    is_wide : bool
        Whether nnx has it in float32 where PyTorch has 16 bits, as statistics.
    """

    name: str
    own: tuple[str, ...]
    transposed: bool = False
    ones: int = 0
    is_wide: bool = False


class Source(NamedTuple):
    """A value of the model by dotted path, and how PyTorch's differs, as in :class:`Stored`."""

    path: str
    transposed: bool
    ones: int
    is_wide: bool


class Entry(NamedTuple):
    """A name of PyTorch's ``state_dict``, and the values that follow each other along the first axis of its array.

    ``is_alias`` says that they belong to a shared module or a tie, so that PyTorch has them under another name too.
    """

    name: str
    sources: tuple[Source, ...]
    is_alias: bool


def _linear(layer: Any) -> list[Stored]:
    return [Stored("weight", ("weight",), transposed=True), Stored("bias", ("bias",))]


def _batch_norm(layer: Any) -> list[Stored]:
    buffers = {"running_mean": "running_mean", "running_var": "running_variance", "num_batches_tracked": "num_batches"}
    return [*_alike("weight", "bias"), *(Stored(name, (own,), is_wide=True) for name, own in buffers.items())]


def _cell(path: str, suffix: str) -> list[Stored]:
    weights = {"weight_ih": "weight", "weight_hh": "recurrent_weight"}
    biases = {"bias_ih": "bias", "bias_hh": "recurrent_bias"}
    return [
        *(Stored(name + suffix, (joined(path, own),), transposed=True) for name, own in weights.items()),
        *(Stored(name + suffix, (joined(path, own),)) for name, own in biases.items()),
    ]


def _recurrent(layer: Any) -> list[Stored]:
    directions = len(layer.cells) // layer.layers
    return [
        stored
        for k in range(len(layer.cells))
        for stored in _cell(f"cells.{k}", f"_l{k // directions}" + "_reverse" * (k % directions))
    ]


def _attention(there: str, own: str) -> list[Stored]:
    """Return the entries of an attention layer whose inputs have the same number of features."""
    inner = [joined(own, name) for name in ("query", "key", "value")]
    return [
        Stored(joined(there, "in_proj_weight"), tuple(f"{path}.weight" for path in inner), transposed=True),
        Stored(joined(there, "in_proj_bias"), tuple(f"{path}.bias" for path in inner)),
        *_linear_at(joined(there, "out_proj"), joined(own, "output")),
    ]


def _attention_call(call: Any) -> list[Stored]:
    layer = call.attention
    found = _attention("", "attention")
    if not layer.features == layer.key_features == layer.value_features:
        weights = {"q_proj_weight": "query", "k_proj_weight": "key", "v_proj_weight": "value"}
        separate = [Stored(there, (f"attention.{own}.weight",), transposed=True) for there, own in weights.items()]
        found = [*separate, *found[1:]]
    return [*found, *_alike("bias_k", "bias_v")]


def _block(block: Any) -> list[Stored]:
    parts = ["attention", "cross_attention", "feed_forward"]
    if not hasattr(block, "cross_attention"):
        del parts[1]
    found = _attention("self_attn", "attention")
    if "cross_attention" in parts:
        found += _attention("multihead_attn", "cross_attention")
    found += _linear_at("linear1", "feed_forward.expand") + _linear_at("linear2", "feed_forward.contract")
    for i, part in enumerate(parts, 1):
        found += [Stored(f"norm{i}.{name}", (f"{part}_norm.{name}",)) for name in ("weight", "bias")]
    return found


def _linear_at(there: str, own: str) -> list[Stored]:
    return [
        Stored(f"{there}.weight", (f"{own}.weight",), transposed=True),
        Stored(f"{there}.bias", (f"{own}.bias",)),
    ]


def _weight_norm(wrapper: Any) -> list[Stored]:
    name, ones = wrapper.name, wrapper.layer.parameters()[wrapper.name].ndim - 1
    magnitude = Stored(f"parametrizations.{name}.original0", ("magnitude",), ones=ones)
    return [magnitude, *_wrapped(wrapper, f"parametrizations.{name}.original1")]


def _spectral_norm(wrapper: Any) -> list[Stored]:
    prefix = f"parametrizations.{wrapper.name}"
    vectors = [Stored(f"{prefix}.0._u", ("left",)), Stored(f"{prefix}.0._v", ("right",))]
    return [*vectors, *_wrapped(wrapper, f"{prefix}.original")]


def _wrapped(wrapper: Any, name: str) -> list[Stored]:
    """Return the entries of the layer in a wrapper, with another name for that of the weight that it computes."""
    return [
        stored._replace(
            name=name if stored.own == (wrapper.name,) else stored.name,
            own=tuple(joined("layer", own) for own in stored.own),
        )
        for stored in _stored_of(wrapper.layer)
    ]


def _alike(*names: str) -> list[Stored]:
    return [Stored(name, (name,)) for name in names]


def _nothing(layer: Any) -> list[Stored]:
    return []


LAYOUTS: Mapping[type[Module], Callable[[Any], list[Stored]]] = {
    AttentionCall: _attention_call,
    Drawing: _nothing,  # the counter of its random numbers
    Recurrent: _recurrent,
    RecurrentCell: lambda cell: _cell("", ""),
    layers.BatchNorm1d: _batch_norm,
    layers.BatchNorm2d: _batch_norm,
    layers.BatchNorm3d: _batch_norm,
    layers.Linear: _linear,
    layers.MultiHeadAttention: lambda layer: _attention("", ""),
    layers.TransformerDecoderBlock: _block,
    layers.SpectralNorm: _spectral_norm,
    layers.TransformerEncoderBlock: _block,
    layers.WeightNorm: _weight_norm,
}
"""For each class whose values PyTorch names or stores in another way, all of them, down to the modules inside."""

RENAMED: Mapping[type[Module], Mapping[str, str]] = {
    DecoderCall: {"layer": ""},
    EncoderCall: {"layer": ""},
    NamedLayers: {"layers": ""},
    SequenceLayer: {"layer": ""},
    layers.TransformerDecoder: {"blocks": "layers"},
    layers.TransformerEncoder: {"blocks": "layers"},
}
"""Children that have another name in PyTorch; none where the module is PyTorch's own in a layer around it."""


def entries(model: Module) -> Iterator[Entry]:
    """Yield the entries of PyTorch's ``state_dict`` for a model, also those that PyTorch saves a second time."""
    found = list(_all_paths(model, "", ""))
    own_path = {id(module): path for path, module in model.named_modules()}
    first = [own_path[id(module)] == path for path, _, module in found]
    for (_, name, module), is_first in zip(found, first, strict=True):
        for stored in _stored_of(module):
            ends = [_end(module, path) for path in stored.own]
            if all(key in _held(end) for end, key in ends):
                sources = tuple(_source(end, key, stored, own_path) for end, key in ends)
                is_tied = any(key in end._ties for end, key in ends)
                yield Entry(joined(name, stored.name), sources, is_tied or not is_first)


def _stored_of(module: Any) -> list[Stored]:
    layout = _entry_of(LAYOUTS, module)
    return layout(module) if layout else _alike(*_held(module))


def _held(module: Any) -> list[str]:
    """Return the names of a module's own parameters, buffers and ties."""
    buffers = [name for name, value in vars(module).items() if isinstance(value, Buffer)]
    return [*module._parameter_names, *buffers, *module._ties]


def _end(module: Any, path: str) -> tuple[Any, str]:
    """Return the module below another that has a value, and the value's name in it."""
    inner, _, name = path.rpartition(".")
    return dict(module.named_modules())[inner] if inner else module, name


def _source(module: Any, name: str, stored: Stored, paths: Mapping[int, str]) -> Source:
    transposed = stored.transposed
    while (tie := module._ties.get(name)) is not None:
        module, name, transposed = tie.owner, tie.name, transposed != tie.transpose
    return Source(joined(paths[id(module)], name), transposed, stored.ones, stored.is_wide)


def _all_paths(module: Any, path: str, name: str) -> Iterator[tuple[str, str, Any]]:
    """Yield a module and all below it with their paths in nnx and in PyTorch, a shared one at each of its places."""
    yield path, name, module
    if _entry_of(LAYOUTS, module):
        return
    renamed = _entry_of(RENAMED, module) or {}
    for child, below in module.named_children():
        first, _, rest = child.partition(".")
        yield from _all_paths(below, joined(path, child), joined(name, joined(renamed.get(first, first), rest)))


def _entry_of(table: Mapping[type[Module], Any], module: Module) -> Any:
    return next((table[kind] for kind in type(module).__mro__ if kind in table), None)


def joined(path: str, name: str) -> str:
    """Return a name below a path, either of which may be empty."""
    return f"{path}.{name}" if path and name else path or name

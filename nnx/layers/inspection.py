"""Inspect a model: the output of every layer, and a table of the layers."""

import math
from typing import Any, NamedTuple

from nnx.backend import asarray, is_array, namespace
from nnx.layers.parameter import Buffer
from nnx.tree import tree_leaves


class LayerOutput(NamedTuple):
    """One call of a layer: its dotted path, the layer, and what it returned."""

    path: str
    module: Any
    output: Any


def layer_outputs(model: Any, *args: Any, **kwargs: Any) -> list[LayerOutput]:
    """Call a model and return the output of every module, in the order in which the calls return.

    The model is not changed, and nothing is kept for a backward pass.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Model([nnx.ReLU(), nnx.Softmax()])
    >>> [(path, type(layer).__name__) for path, layer, _ in nnx.layer_outputs(model, np.ones((1, 2)))]
    [('0', 'ReLU'), ('1', 'Softmax'), ('', 'Sequential')]
    """
    found: list[tuple[Any, Any]] = []
    copies = model.copies(_is_copy=True, _watcher=lambda module, output: found.append((module, output)))
    buffers: dict[int, Buffer] = {}  # the copies get their own, so that forward does not change the model's
    for module in copies.values():
        for name, value in vars(module).items():
            if isinstance(value, Buffer):
                vars(module)[name] = buffers.setdefault(id(value), Buffer(value.snapshot()))
    originals = {id(copies[id(module)]): (path, module) for path, module in model.named_modules()}
    copies[id(model)](*args, **kwargs)
    return [LayerOutput(*originals[id(module)], output) for module, output in found]


def summarize(model: Any, *args: Any) -> str:
    """Return the table of :meth:`nnx.Module.summary`."""
    shapes: dict[str, str] = {}
    if args:
        inputs = (_zeros(model, args[0]),) if _is_shape(args[0]) else args
        shapes = {path: _shapes(output) for path, _, output in layer_outputs(_in_eval_mode(model), *inputs)}
    rows = [("layer", "output shape", "parameters")]
    modules = [(path, module) for path, module in model.named_modules() if path or not list(model.named_children())]
    for path, module in modules:
        own = [vars(module)[name] for name in module._parameter_names]
        name = f"{path} {type(module).__name__}".strip()
        rows.append((name, shapes.get(path, "-"), f"{_count(own):,}"))
    total = _count(list(model.parameters().values()))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:], rule, f"total: {total:,} parameters"])


def _in_eval_mode(model: Any) -> Any:
    return model.copies()[id(model)].eval()


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(n, int) for n in value)


def _zeros(model: Any, shape: tuple[int, ...]) -> Any:
    # Like a parameter, so that the layers accept it; broadcast, so that it takes no memory.
    first = next(iter(model.parameters().values()), None)
    zero = asarray(0.0, dtype=None if first is None else first.dtype, like=first)
    return namespace(zero).broadcast_to(zero, shape)


def _shapes(output: Any) -> str:
    return ", ".join(str(tuple(leaf.shape)) for leaf in tree_leaves(output) if is_array(leaf))


def _count(arrays: list[Any]) -> int:
    return sum(math.prod(array.shape) for array in arrays)

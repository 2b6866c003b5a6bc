"""Inspect a model: the output of every layer, and a table of the layers."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from nnx.autodiff.counting import FlopCounter
from nnx.backend import asarray, is_array, namespace
from nnx.errors import TraceError
from nnx.functional.checks import counted
from nnx.layers.parameter import Buffer
from nnx.layers.plan import plan_of
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
    modules = dict(model.named_modules())
    return [LayerOutput(path, modules[path], output) for path, output, _ in _calls(model, args, kwargs)]


class _Call(NamedTuple):
    """One call of a layer: its path, what it returned, and the operations of it and of all inside it."""

    path: str
    output: Any
    flops: int


def _calls(model: Any, args: Sequence[Any], kwargs: dict[str, Any], counter: FlopCounter | None = None) -> list[_Call]:
    """Call copies of a model's modules, and return the calls in the order in which they return."""
    found: list[_Call] = []

    def watch(path: str, call: Callable[[], Any]) -> Any:
        before = 0 if counter is None else counter.flops
        output = call()
        found.append(_Call(path, output, 0 if counter is None else counter.flops - before))
        return output

    copy = watched(model, watch, None if counter is None else lambda array, _: counter.trace(array))
    copy(*(args if counter is None else [counter.trace(arg) for arg in args]), **kwargs)
    return found


def watched(
    model: Any, watch: Callable[[str, Callable[[], Any]], Any], trace: Callable[[Any, bool], Any] | None = None
) -> Any:
    """Return a copy of a model that has its own buffers, so that calls of it do not change the model.

    Parameters
    ----------
    model : Module
    watch : callable
        Called instead of each module as ``watch(path, call)``; returns what ``call()`` does.
    trace : callable, optional
        Called as ``trace(array, is_frozen)`` for each parameter; returns what the copy has in its place.
    """
    copies = model.copies(_is_copy=True)
    buffers: dict[int, Buffer] = {}
    for path, module in model.named_modules():
        members = vars(copies[id(module)])
        inner = members.get("_watcher")  # of a copy that computes in 16 bits
        members["_watcher"] = partial(_watching, watch, path, inner)
        for name, value in members.items():
            if isinstance(value, Buffer):
                members[name] = buffers.setdefault(id(value), value.of_copy(value.snapshot()))
            elif trace is not None and name in module._parameter_names:
                members[name] = trace(value, name in module._frozen)
    return copies[id(model)]


def _watching(watch: Any, path: str, inner: Any, module: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    if inner is None:
        return watch(path, lambda: module.forward(*args, **kwargs))
    return watch(path, lambda: inner(module, args, kwargs))


def summarize(model: Any, *args: Any) -> str:
    """Return the table of :meth:`nnx.Module.summary`."""
    shapes, flops = _measured(model, args) if args else ({}, {})
    counts = sizes_of_parameters(model, lambda array: math.prod(array.shape))
    rows = [("layer", "output shape", "parameters", "FLOPs")]
    for path, module, depth in shown_modules(model):
        name = f"{'  ' * depth}{path} {type(module).__name__}" if path else type(module).__name__
        rows.append((name, shapes.get(path, "-"), f"{counts[path]:,}", _number(flops.get(path))))
    if not args:
        rows = [(name, shape, count, "") for name, shape, count, _ in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}".rstrip() for a, b, c, d in rows]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:], rule, _total(model, counts[""], flops.get("") if args else None)])


def _measured(model: Any, args: Sequence[Any]) -> tuple[dict[str, str], dict[str, int]]:
    """Return the output shape of each layer's last call, and the operations of all its calls."""
    inputs = (_zeros(model, args[0]),) if _is_shape(args[0]) else args
    model = _in_eval_mode(model)
    flops: dict[str, int] = {}
    try:
        calls = _calls(model, inputs, {}, FlopCounter())
        for path, _, count in calls:
            flops[path] = flops.get(path, 0) + count
    except TraceError:
        calls = _calls(model, inputs, {})
    return {path: _shapes(output) for path, output, _ in calls}, flops


def sizes_of_parameters(model: Any, size: Callable[[Any], int]) -> dict[str, int]:
    """Return the sizes of the parameters in and below each module, by path."""
    plan = plan_of(model)
    modules = (model, *plan.below)
    own = dict.fromkeys(plan.module_paths, 0)
    for slot in plan.parameters:
        own[plan.module_paths[slot.module]] += size(vars(modules[slot.module])[slot.name])
    return with_inner(own)


def with_inner(own: Mapping[str, Any]) -> dict[str, Any]:
    """Return for each module, by path, the sum of its own number and of those of all below it."""
    sums = dict.fromkeys(own, 0)
    for module, number in own.items():
        for path in {"", *_containers(module)} & sums.keys():
            sums[path] += number
    return sums


def _containers(path: str) -> set[str]:
    """Return a dotted path and all paths that lead to it."""
    parts = path.split(".")
    return {".".join(parts[:i]) for i in range(1, len(parts) + 1)}


def shown_modules(model: Any) -> list[tuple[str, Any, int]]:
    """Return the modules to show, with their paths and how deep they are: all below a model, or a layer itself."""
    modules = dict(model.named_modules())
    if len(modules) == 1:
        return [("", model, 0)]
    return [(path, module, len(_containers(path) & modules.keys()) - 1) for path, module in modules.items() if path]


def _total(model: Any, count: int, flops: int | None) -> str:
    trained = sum(math.prod(array.shape) for array in model.trainable_parameters().values())
    text = f"total: {counted(count, 'parameter')}" + (f", {trained:,} of them trained" if trained < count else "")
    return text if flops is None else f"{text}, {flops:,} FLOPs"


def _number(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


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

"""The style of the post: a call keeps its pullback, and ``backward`` uses it up."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from nnx.autodiff import TracedArray, vjp
from nnx.backend import is_array, is_floating
from nnx.errors import UsageError
from nnx.layers.links import link_to_outputs, record_output, refuse_foreign
from nnx.layers.location import locate
from nnx.layers.node import STAMP
from nnx.layers.settling import settle_below
from nnx.tree import Rebuild, tree_split
from nnx.types import Array, Tree

NOT_KEPT = object()
"""Returned by :func:`call_and_keep` instead of an output if an argument is traced."""


class Kept(NamedTuple):
    """What a call in training mode keeps for the backward pass.

    Attributes
    ----------
    pullback : callable or None
        ``None`` after a backward pass.
    inputs : sequence of arrays
        Those of the arguments that have a gradient.
    of_inputs : callable
        Turns their gradients into what ``backward`` returns.
    origins : mapping
        Those of the output, by which a gradient made for another output is recognized.
    """

    pullback: Callable[..., Any] | None
    inputs: Sequence[Array]
    of_inputs: Rebuild
    origins: Mapping[str, Any]


def call_and_keep(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a module on plain arrays, and keep the residuals for :func:`backward`."""
    members, plan = module.__dict__, module._plan
    if plan is None or plan.unsettled or plan.stamp is not STAMP.structure:
        settle_below(module, args, kwargs)
    members["_kept"] = None  # before the call, so that two sets of residuals are never held
    if len(args) == 1 and not kwargs and is_array(args[0]) and is_floating(args[0]):  # most calls
        output, pullback = vjp(_forward, module, args[0])
        members["_kept"] = Kept(pullback, args, _only, record_output(output))
        return output
    leaves, rebuild = tree_split((args, kwargs))
    values = list(leaves.values())
    if TracedArray in map(type, values):
        return NOT_KEPT
    slots = [i for i, value in enumerate(values) if is_array(value) and is_floating(value)]

    # vjp differentiates with respect to positional arguments, so the floating-point arrays are passed one by one,
    # wherever they are in the arguments of the call.
    def run(model: Any, *inputs: Array) -> Any:
        replaced = list(values)
        for slot, value in zip(slots, inputs, strict=True):
            replaced[slot] = value
        again, named = rebuild(replaced)
        return _forward(model, *again, **named)

    form = tree_split((args, kwargs), objects_as_dicts=True)[1]

    def of_inputs(cotangents: Sequence[Array]) -> Any:
        found = dict(zip(slots, cotangents, strict=True))
        by_position, by_name = form([found.get(i) for i in range(len(values))])
        parts = (*by_position, by_name) if by_position and by_name else by_position or tuple(by_name.values())
        return parts[0] if len(parts) == 1 else parts

    arrays = [values[slot] for slot in slots]
    output, pullback = vjp(run, module, *arrays)
    members["_kept"] = Kept(pullback, arrays, of_inputs, record_output(output))
    return output


def backward(module: Any, gradient: Tree, input_gradient: bool) -> Any:
    """Do the work of :meth:`nnx.Module.backward`."""
    members, kept = module.__dict__, module._kept
    if kept is None:
        raise UsageError(
            f"{type(module).__name__}.backward needs a forward pass in training mode before it; call the model on "
            "plain arrays first, after model.train() if model.eval() was called"
        )
    pullback, inputs, of_inputs, origins = kept
    refuse_foreign(gradient, origins, type(module).__name__)
    if pullback is None:
        raise UsageError(
            f"{type(module).__name__}.backward was called already for the last forward pass, and has freed what that "
            "kept; call the model again before the next backward"
        )
    try:
        found = pullback(gradient, consume=True, wanted=(True, *(input_gradient,) * len(inputs)))
    except Exception as error:
        locate(error, module)
        raise
    members["_kept"] = Kept(None, (), of_inputs, origins)
    members["_gradients"] = found[0]
    if not input_gradient:
        return None
    link_to_outputs(found[1:], inputs)
    return of_inputs(found[1:])


def _forward(model: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return model.forward(*args, **kwargs)
    except Exception as error:
        locate(error, model, args)
        raise


def _only(cotangents: Sequence[Array]) -> Array:
    return cotangents[0]

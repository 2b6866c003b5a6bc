"""Functions that are run again in the backward pass instead of keeping their residuals."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.primitives import Primitive, Pullback
from nnx.autodiff.traced import TracedArray
from nnx.autodiff.transforms import vjp
from nnx.autodiff.tree_calls import TreeCall, scattered
from nnx.backend import copied, count_writes, is_array, read_only
from nnx.errors import NnxError, TraceError
from nnx.tree import tree_buffers, tree_leaves


def recomputed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of arrays, modules and trees that recomputes its residuals; see :func:`nnx.remat`."""

    @functools.wraps(function)
    def recomputing(*args: Any, **kwargs: Any) -> Any:
        def run(*again: Any) -> Any:
            return function(*again, **kwargs)

        node = TreeCall(run, args, f"remat({getattr(function, '__name__', function)})")
        node.primitive.counts_inside = True
        buffers = tree_buffers(args)

        @node.primitive.with_pullback
        def _(wanted: Sequence[Any], *leaves: Any) -> tuple[Any, Pullback]:
            before = [buffer.snapshot() for buffer in buffers]
            outputs = _run_once(node.primitive, leaves)
            indices = [i for i, want in enumerate(wanted) if want]

            def of_wanted(*moved: Any) -> Any:
                replaced = list(leaves)
                for index, value in zip(indices, moved, strict=True):
                    replaced[index] = value
                return run(*node.rebuild(replaced))

            def pullback(parts: Any) -> list[Any]:
                # The second run must draw the same noise, and must not advance counters or running statistics again.
                after = [buffer.value for buffer in buffers]
                _fill(buffers, [copied(value) if is_array(value) else value for value in before])
                try:
                    again, back = vjp(of_wanted, *(leaves[index] for index in indices))
                finally:
                    _fill(buffers, after)
                found = back(node.cotangent(parts, tree_leaves(again)), consume=True)
                return scattered(indices, found, len(leaves))

            return outputs, pullback

        return node()

    return recomputing


def _run_once(primitive: Primitive[..., Any], leaves: Sequence[Any]) -> Any:
    """Call a function that will run again on the same arrays: it must not write into them."""
    plain = [leaf for leaf in leaves if type(leaf) is not TracedArray]
    before = [count_writes(leaf) for leaf in plain]
    try:
        outputs = primitive(*map(read_only, leaves))
    except ValueError as error:
        if "read-only" not in str(error) or isinstance(error, NnxError):
            raise
        raise _wrote(primitive) from error
    if before != [count_writes(leaf) for leaf in plain]:
        raise _wrote(primitive)
    return outputs


def _wrote(primitive: Primitive[..., Any]) -> TraceError:
    return TraceError(
        f"{primitive!r} wrote into one of its arguments, from which the backward pass would run it again; write "
        "x = x + ... for a new array, and not x += ..."
    )


def _fill(buffers: Sequence[Any], values: Sequence[Any]) -> None:
    for buffer, value in zip(buffers, values, strict=True):
        buffer.value = value

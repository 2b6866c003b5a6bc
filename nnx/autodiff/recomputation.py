"""Functions that are computed again in the backward pass instead of remembered."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.primitives import Pullback
from nnx.autodiff.transforms import vjp
from nnx.autodiff.tree_calls import TreeCall, scattered
from nnx.tree import tree_boxes, tree_leaves


def recomputed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Do the work of :func:`nnx.remat` for a function of arrays, modules and trees of them."""

    @functools.wraps(function)
    def recomputing(*args: Any, **kwargs: Any) -> Any:
        def run(*again: Any) -> Any:
            return function(*again, **kwargs)

        node = TreeCall(run, args, f"remat({getattr(function, '__name__', function)})")
        buffers = tree_boxes(args)

        @node.primitive.with_pullback
        def _(wanted: Sequence[Any], *leaves: Any) -> tuple[Any, Pullback]:
            before = [buffer.value for buffer in buffers]
            outputs = node.primitive(*leaves)
            indices = [i for i, want in enumerate(wanted) if want]

            def of_wanted(*moved: Any) -> Any:
                replaced = list(leaves)
                for index, value in zip(indices, moved, strict=True):
                    replaced[index] = value
                return run(*node.rebuild(replaced))

            def pullback(parts: Any) -> list[Any]:
                after = [buffer.value for buffer in buffers]
                _fill(buffers, before)  # the same noise again, and no counter counts twice
                try:
                    again, back = vjp(of_wanted, *(leaves[index] for index in indices))
                finally:
                    _fill(buffers, after)
                found = back(node.cotangent(parts, tree_leaves(again)), consume=True)
                return scattered(indices, found, len(leaves))

            return outputs, pullback

        return node()

    return recomputing


def _fill(buffers: Sequence[Any], values: Sequence[Any]) -> None:
    for buffer, value in zip(buffers, values, strict=True):
        buffer.value = value

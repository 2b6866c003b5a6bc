"""Functions that are computed again in the backward pass instead of remembered."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.primitives import Pullback
from nnx.autodiff.transforms import vjp
from nnx.autodiff.tree_calls import TreeCall, scattered
from nnx.tree import tree_boxes, tree_leaves


def remat(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that keeps its arguments alone for the backward pass, which computes the rest again.

    Memory falls by what ``function`` would keep; time grows by one run of it. The gradient is the same bit for bit, if
    ``function`` gives the same result for the same arguments, and each argument goes into one such call; of an
    argument of several, the parts are added in another order, which may change the last bit. The buffers of modules
    among the arguments are put back for the second run, so that noise is the same.

    Parameters
    ----------
    function : callable
        Takes arrays, modules and trees of them by position, and constants by name; returns an array or a tree. Of a
        module it makes a module, with the same parameters below the name ``inner``.

    Returns
    -------
    callable

    Raises
    ------
    TraceError
        On a call, if ``function`` uses a traced array that is not among its arguments: its derivative would be lost.

    Notes
    -----
    Source: T. Chen et al., "Training deep nets with sublinear memory cost", arXiv:1604.06174.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> block = nnx.remat(lambda x: nnx.namespace(x).tanh(x) ** 2)
    >>> float(nnx.grad(block)(np.asarray(0.0)))
    0.0
    """
    own = getattr(type(function), "__remat__", None)  # a module's parameters are arguments too
    if own is not None:
        return own(function)

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

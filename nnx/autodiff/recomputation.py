"""Functions that are run again in the backward pass instead of keeping their residuals."""

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nnx.autodiff.primitives import Primitive, Pullback
from nnx.autodiff.traced import TracedArray
from nnx.autodiff.transforms import vjp
from nnx.autodiff.tree_calls import TreeCall, scattered
from nnx.backend import copied, count_writes, is_array, read_only
from nnx.errors import NnxError, TraceError
from nnx.tree import tree_buffers, tree_leaves, tree_refill


class _Runs(threading.local):
    """What the functions that run in this thread remember: for themselves, and of their first run."""

    logs: tuple[list[Any], ...] = ()
    first: Iterator[Any] | None = None


_RUNS = _Runs()


def remembered(make: Callable[[], Any]) -> Any:
    """Return ``make()`` or, where a function is run again to recompute its residuals, what the first run returned.

    A counter that several threads advance may stand elsewhere by then.
    """
    value = make() if _RUNS.first is None else next(_RUNS.first)
    for log in _RUNS.logs:
        log.append(value)
    return value


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
            log: list[Any] = []
            outer, _RUNS.logs = _RUNS.logs, (*_RUNS.logs, log)
            try:
                outputs = _run_once(node.primitive, leaves)
            finally:
                _RUNS.logs = outer
            indices = [i for i, want in enumerate(wanted) if want]

            def of_wanted(*moved: Any) -> Any:
                replaced = list(leaves)
                for index, value in zip(indices, moved, strict=True):
                    replaced[index] = value
                # The second run must draw the same noise, and must not advance counters or running statistics again:
                # its modules have buffers of their own, which no other thread sees.
                values = (copied(value) if is_array(value) else value for value in before)
                return run(*tree_refill(node.rebuild(replaced), values))

            def pullback(parts: Any) -> list[Any]:
                outer = _RUNS.logs, _RUNS.first
                _RUNS.logs, _RUNS.first = (), iter(log)
                try:
                    again, back = vjp(of_wanted, *(leaves[index] for index in indices))
                finally:
                    _RUNS.logs, _RUNS.first = outer
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

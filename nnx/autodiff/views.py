"""Which traced arrays show the same memory: an operator such as ``+=`` on one of them would change the others."""

from typing import Any
from weakref import ref

from nnx.autodiff.traced import TracedArray
from nnx.backend import owner_of_memory
from nnx.errors import TraceError

VIEWS = frozenset(
    {"asarray", "astype", "broadcast_to", "conj", "expand_dims", "flip", "getitem", "imag", "linalg.diagonal"}
    | {"linalg.matrix_transpose", "matrix_transpose", "moveaxis", "permute_dims", "positive", "real", "reshape"}
    | {"squeeze"}
)
"""Functions whose result may show the memory of their first argument; whether it does depends on the library."""


def remember(made: Any, source: Any) -> None:
    """Remember a result that may show the memory of another traced array, weakly, with its trace."""
    # Called for every index: whether it is a view is looked at when somebody writes, which is rare.
    if type(made) is TracedArray and type(source) is TracedArray:
        shown = made.trace.shown
        shown.append(ref(made))
        shown.append(ref(source))  # which the function may have handed back: then neither is a view


def refuse_shared(array: TracedArray, symbol: str) -> None:
    """Raise TraceError if another traced array shows the memory of this one, which is about to change."""
    owner, trace = owner_of_memory(array.untraced), array.trace
    trace.shown = [link for link in trace.shown if link() is not None]
    for link in trace.shown:
        other = link()
        if other is not None and other is not array and owner_of_memory(other.untraced) is owner:
            raise TraceError(
                f"{symbol}= on an array of which a view is in use, such as a row or a reshaped form of shape "
                f"{tuple(other.shape)}, would change that too on some libraries only; take the view afterwards, or "
                f"write y = y {symbol} ... for a new array"
            )

"""Which traced arrays show the same memory: an operator such as ``+=`` on one of them would change the others."""

from collections.abc import Iterator
from typing import Any
from weakref import ref

from nnx.autodiff.traced import TracedArray
from nnx.backend import owner_of_memory
from nnx.backend.links import Links
from nnx.errors import TraceError

VIEWS = frozenset(
    {"asarray", "astype", "broadcast_to", "conj", "expand_dims", "flip", "getitem", "imag", "linalg.diagonal"}
    | {"linalg.matrix_transpose", "matrix_transpose", "moveaxis", "permute_dims", "positive", "real", "reshape"}
    | {"squeeze"}
)
"""Functions whose result may show the memory of their first argument; whether it does depends on the library."""

_SHOWN = Links()  # for an array that owns memory, weak references to the traced arrays that show it


def remember(made: Any, source: Any) -> None:
    """Remember that two traced arrays show the same memory, if they do."""
    if type(made) is not TracedArray or type(source) is not TracedArray:
        return
    owner = owner_of_memory(made.untraced)
    if owner is None or owner is not owner_of_memory(source.untraced):
        return
    shown = _SHOWN.setdefault(owner, [])
    if shown is not None:
        # What they stand for in enclosing transforms is no longer anybody's variable, though a pullback may keep it.
        hidden = {None, *_inside(made), *_inside(source)}
        shown[:] = [link for link in shown if _id(link()) not in hidden] + [ref(made), ref(source)]


def refuse_shared(array: TracedArray, symbol: str) -> None:
    """Raise TraceError if another traced array shows the memory of this one, which is about to change."""
    owner = owner_of_memory(array.untraced)
    own = {id(array), *_inside(array)}
    for link in (owner is not None and _SHOWN.get(owner)) or ():
        other = link()
        if other is not None and id(other) not in own and owner_of_memory(other.untraced) is owner:
            raise TraceError(
                f"{symbol}= on an array of which a view is in use, such as a row or a reshaped form of shape "
                f"{tuple(other.shape)}, would change that too on some libraries only; take the view afterwards, or "
                f"write y = y {symbol} ... for a new array"
            )


def _inside(array: TracedArray) -> Iterator[int]:
    """Iterate over the ids of what a traced array stands for in enclosing transforms."""
    value = array.value
    while type(value) is TracedArray:
        yield id(value)
        value = value.value


def _id(array: TracedArray | None) -> int | None:
    return None if array is None else id(array)

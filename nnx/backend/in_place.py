"""Arithmetic in memory that the caller has allocated, for libraries whose arrays can be written.

For large arrays, fresh memory is most of the cost of an elementwise operation: its pages have to be mapped first.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.backend.inspection import is_floating
from nnx.backend.namespaces import IN_PLACE, namespace
from nnx.types import Array


def add_into(own: Array, other: Array) -> Array:
    """Return the sum of two arrays; ``own`` may be overwritten."""
    if _fits(own, other):
        own += other
        return own
    return own + other


def multiply_into(own: Array, other: Array | float) -> Array:
    """Return the product of two arrays, or of an array and a number; ``own`` may be overwritten."""
    if _fits(own, other):
        own *= other
        return own
    return own * other


def divide_into(own: Array, other: Array) -> Array:
    """Return the quotient of two arrays; ``own`` may be overwritten."""
    if _fits(own, other):
        own /= other
        return own
    return own / other


def maximum_into(own: Array, other: Array) -> Array:
    """Return the larger of two arrays, element by element; ``own`` may be overwritten."""
    xp: Any = namespace(own)
    if hasattr(own, "__array_ufunc__") and _fits(own, other):  # NumPy's and CuPy's functions write where they are told
        return xp.maximum(own, other, out=own)
    return xp.maximum(own, other)


def copied(x: Array) -> Array:
    """Return a copy in new memory, or the array itself if it cannot be written.

    The order in memory stays, since a product of matrices in another one may round otherwise.
    """
    if type(x) is np.ndarray:
        return x.copy("K")
    if is_immutable(x):
        return x
    method = getattr(x, "copy", None) or getattr(x, "clone", None)  # faster than asarray; torch's clone keeps its graph
    return method() if method else namespace(x).asarray(x, copy=True)


def unrecorded(x: Array) -> Array:
    """Return an array that an autograd of its library, as torch's, takes for a constant; it shares the memory.

    What is kept from step to step would otherwise keep all that it was ever computed from.
    """
    return x.detach() if getattr(x, "requires_grad", False) else x


def renewed(arrays: Sequence[Array], old: Sequence[Array] = ()) -> list[Array]:
    """Return arrays that take the place of old ones after a step, torch tensors without a record of that step.

    One that takes the place of a leaf of torch's autograd is a leaf too.
    """
    found = [*map(unrecorded, arrays)]
    for new, before in zip(found, old, strict=False):
        if getattr(before, "requires_grad", False):
            new.requires_grad_()
    return found


def read_only(x: Array) -> Array:
    """Return an array with the same memory that cannot be written; of other libraries than NumPy the array itself."""
    if type(x) is not np.ndarray:
        return x
    view = x.view()
    view.flags.writeable = False
    return view


def count_writes(x: Array) -> int:
    """Return how often an array was written since it was made; 0 for libraries that do not count it, as torch does."""
    return int(getattr(x, "_version", 0))


def is_immutable(x: Array) -> bool:
    """Return whether no operator can write into an array, as into NumPy's scalars and JAX arrays."""
    return not hasattr(type(x), "__iadd__")


def _fits(own: Array, other: Any) -> bool:
    # The result must be what the operator without "=" gives: not another dtype, and not the shape of a broadcast own.
    kind = type(own)
    if type(other) is float:
        return kind in IN_PLACE and is_floating(own)
    if kind not in IN_PLACE or type(other) is not kind or own.dtype != other.dtype:
        return False
    shape, stretched = own.shape, other.shape
    if shape == stretched:
        return True
    new = len(shape) - len(stretched)
    return new >= 0 and all(n in (1, shape[new + i]) for i, n in enumerate(stretched))

"""Indexed addition, which the standard lacks and every library spells its own way."""

import math
from typing import Any

from nnx.backend.namespaces import library_name, namespace
from nnx.backend.transfer import device_of
from nnx.types import Array, Namespace

_BLOCK = 1 << 22  # elements of a mask


def add_at(x: Array, key: Any, values: Array) -> Array:
    """Return ``x`` with ``values`` added at ``x[key]``, repeated indices adding up. ``x`` may be overwritten."""
    xp = namespace(x)
    library = library_name(xp)
    parts = key if isinstance(key, tuple) else (key,)
    if library == "jax":
        return x.at[key].add(values)
    if not any(hasattr(part, "shape") and part.ndim > 0 for part in parts):  # no place can come twice
        key = tuple(part for part in parts if part is not None)  # the standard reads with None, and cannot write
        here = x[key]
        x[key] = here + xp.reshape(values, here.shape)
        return x
    if library in ("numpy", "cupy"):
        xp.add.at(x, key, values)
        return x
    places = xp.reshape(xp.arange(math.prod(x.shape), device=device_of(x)), x.shape)[key]
    values = xp.broadcast_to(values, places.shape)
    flat, places, values = (xp.reshape(array, (-1,)) for array in (x, places, values))
    if library == "torch":
        added = flat.index_put_((places,), values, accumulate=True)
    else:
        added = _add_by_mask(xp, flat, places, values)
    return xp.reshape(added, x.shape)


def _add_by_mask(xp: Namespace, x: Array, places: Array, values: Array) -> Array:
    """Add by matrix products with the mask of equal places, a block of places at a time: all that the standard has."""
    size = x.shape[0]
    rows = max(1, _BLOCK // max(1, places.shape[0]))
    found = [xp.zeros_like(x[:0])]
    for start in range(0, size, rows):
        block = xp.arange(start, min(size, start + rows), device=device_of(x))
        mask = xp.astype(block[:, None] == places[None, :], x.dtype)
        found.append(mask @ values)
    return x + xp.concat(found)

"""Indexed addition, which the standard lacks and every library spells its own way."""

import math
from typing import Any

from nnx.backend.namespaces import library_name, namespace
from nnx.types import Array

_BLOCK = 1 << 22  # elements of a mask


def add_at(x: Array, key: Any, values: Array) -> Array:
    """Return ``x`` with ``values`` added at ``x[key]``, repeated indices adding up. ``x`` may be overwritten."""
    xp = namespace(x)
    library = library_name(xp)
    if library == "jax":
        return x.at[key].add(values)
    if not _may_repeat(key):
        x[key] = x[key] + values
    elif library in ("numpy", "cupy"):
        xp.add.at(x, key, values)
    elif library == "torch":
        parts = key if isinstance(key, tuple) else (key,)
        x.index_put_(tuple(parts), values, accumulate=True)
    else:
        return _add_by_mask(xp, x, key, values)
    return x


def _may_repeat(key: Any) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return any(hasattr(part, "shape") and part.ndim > 0 for part in parts)


def _add_by_mask(xp: Any, x: Array, key: Any, values: Array) -> Array:
    """Add by matrix products with the mask of equal places: the standard has nothing better."""
    size = math.prod(x.shape)
    places = xp.reshape(xp.arange(size, device=x.device), x.shape)[key]
    places = xp.reshape(places, (1, -1))
    column = xp.reshape(xp.broadcast_to(values, x[key].shape), (-1, 1))
    rows = max(1, _BLOCK // max(1, places.shape[1]))
    found = []
    for start in range(0, size, rows):
        block = xp.arange(start, min(size, start + rows), device=x.device)
        mask = xp.astype(xp.reshape(block, (-1, 1)) == places, x.dtype)
        found.append(xp.reshape(mask @ column, (-1,)))
    return x + xp.reshape(xp.concat(found), x.shape) if found else x

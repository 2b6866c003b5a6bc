"""Indexed addition, which the standard lacks and every library spells its own way."""

import math
from typing import Any

import numpy as np

from nnx.backend.namespaces import library_name, namespace
from nnx.backend.transfer import asarray, device_of, to_numpy
from nnx.types import Array


def add_at(x: Array, key: Any, values: Array) -> Array:
    """Return ``x`` with ``values`` added at ``x[key]``, repeated indices adding up. ``x`` may be overwritten."""
    if hasattr(x, "at"):  # JAX arrays are immutable
        return x.at[key].add(values)
    parts = key if isinstance(key, tuple) else (key,)
    if any(hasattr(part, "shape") or isinstance(part, list) for part in parts):
        return _accumulate(x, key, values)
    key = tuple(part for part in parts if part is not None)  # the standard reads with None in a key, and cannot write
    here = x[key]
    x[key] = here + namespace(values).reshape(values, here.shape)
    return x


def _accumulate(x: Array, key: Any, values: Array) -> Array:
    """Add where a key of arrays may point to one place several times."""
    xp = namespace(x)
    if library_name(xp) in ("numpy", "cupy"):
        xp.add.at(x, key, values)
        return x
    places = xp.reshape(xp.arange(math.prod(x.shape), device=device_of(x)), x.shape)[key]
    flat, places, values = (xp.reshape(array, (-1,)) for array in (x, places, values))
    if library_name(xp) == "torch":
        return xp.reshape(flat.index_put_((places,), values, accumulate=True), x.shape)
    host = to_numpy(flat).copy()
    np.add.at(host, to_numpy(places), to_numpy(values))
    return xp.reshape(asarray(host, like=x), x.shape)

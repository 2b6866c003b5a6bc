"""Indexed addition, which the standard lacks and every library spells its own way."""

from typing import Any

from nnx.types import Array


def add_at(x: Array, key: Any, values: Array) -> Array:
    """Return ``x`` with ``values`` added at ``x[key]``, repeated indices adding up. ``x`` may be overwritten."""
    if hasattr(x, "at"):  # JAX arrays are immutable
        return x.at[key].add(values)
    if not _may_repeat(key):
        x[key] = x[key] + values
        return x
    return _accumulate(x, key, values)


def _may_repeat(key: Any) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return any(hasattr(part, "shape") or isinstance(part, list) for part in parts)


def _accumulate(x: Array, key: Any, values: Array) -> Array:
    if hasattr(x, "index_put_"):
        return x.index_put_(key if isinstance(key, tuple) else (key,), values, accumulate=True)
    library = type(x).__module__.partition(".")[0]
    if library in ("numpy", "cupy"):
        add = __import__(library).add
        add.at(x, key, values)
        return x
    raise NotImplementedError(f"indexed addition with array keys is not known for {library}")

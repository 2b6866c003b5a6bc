"""Accurate sums over many batches, on the device of what is added, without reading it.

A sum is a Python integer, an array of integers, an array of float64 or, on a device without float64, a
:class:`Compensated` sum. :class:`Rows` are collected instead of added up. None is ever changed: adding returns a new
one.
"""

from typing import Any, NamedTuple

from nnx.backend import (
    asarray,
    dtype_name,
    host_full,
    is_beside,
    is_floating,
    namespace,
    to_numpy,
    widest_dtype,
)
from nnx.errors import ShapeError
from nnx.types import Array, DType


class Compensated(NamedTuple):
    """A sum in float32, and its rounding error."""

    value: Array
    error: Array


class Rows(NamedTuple):
    """Arrays that are kept, to be joined along their first axis."""

    parts: tuple[Array, ...]


_MOST_PARTS = 64  # then they are joined, so that the number of arrays stays small


def as_sum(value: Any, total: Any = None) -> Any:
    """Return an integer or an array as a sum, in the dtype of the sum that it will be added to."""
    if isinstance(value, (int, Compensated)):
        return value
    dtype, is_float = sum_dtype(value, total), is_floating(value)
    if value.dtype != dtype:
        value = namespace(value).astype(value, dtype)
    if is_float and dtype_name(dtype) == "float32":
        return Compensated(value, namespace(value).zeros_like(value))
    return value


def sum_dtype(value: Array, total: Any = None) -> DType:
    """Return the dtype in which to accumulate such arrays: the widest of their kind that the device has.

    JAX takes 0.1 ms to say which that is, so it is asked only once: a sum on the device has the dtype already.
    """
    total = total.value if isinstance(total, Compensated) else total
    is_float = is_floating(value)
    if total is None or isinstance(total, int) or is_floating(total) != is_float or not is_beside(total, value):
        return widest_dtype(value, "real floating" if is_float else "signed integer")
    return total.dtype


def add(total: Any, value: Any) -> Any:
    """Return the sum of two sums, on the device of the second."""
    if isinstance(total, int) and isinstance(value, int):
        return total + value
    if isinstance(total, Rows) and isinstance(value, Rows):
        like = value.parts[0]
        joined = Rows((*(_beside(part, like) for part in total.parts), *value.parts))
        return joined if len(joined.parts) < _MOST_PARTS else Rows((read(joined),))
    like = total if isinstance(value, int) else value
    if isinstance(total, Compensated) or isinstance(value, Compensated):
        like = like.value if isinstance(like, Compensated) else like
        return _add_compensated(_compensated(total, like), _compensated(value, like))
    if isinstance(total, int) or isinstance(value, int):
        return total + value
    _expect_one_shape(total, value)
    return _beside(total, like) + value


def read(total: Any) -> Any:
    """Return the value of a sum: an integer, or an array."""
    if isinstance(total, Rows):
        return namespace(*total.parts).concat(total.parts, axis=0)
    if not isinstance(total, Compensated):
        return total
    xp = namespace(total.value)
    return xp.where(xp.isfinite(total.value), total.value + total.error, total.value)


def count_of_rows(rows: Rows) -> int:
    """Return the length of rows along their first axis."""
    return sum(part.shape[0] for part in rows.parts)


def first_rows(rows: Rows, count: int) -> Rows:
    """Return the rows that there were when they were so many: adding appends to them."""
    parts = []
    for part in rows.parts:
        parts.append(part[: min(count, part.shape[0]), ...])
        count -= part.shape[0]
        if count <= 0:
            break
    return Rows(tuple(parts))


def ratio(top: Any, bottom: Any) -> Any:
    """Return the quotient of two values from :func:`read`, in the widest floating-point dtype of the device."""
    found = [number for number in (top, bottom) if not isinstance(number, int)]
    if not found:
        return top / bottom
    xp, dtype = namespace(*found), widest_dtype(found[0], "real floating")
    top, bottom = (number if isinstance(number, int) else xp.astype(number, dtype) for number in (top, bottom))
    return top / bottom


def _add_compensated(total: Compensated, value: Compensated) -> Compensated:
    """Add with the two-sum of Knuth, The Art of Computer Programming 2, 4.2.2: ``a + b = added + lost``, exactly."""
    a, b = total.value, value.value
    _expect_one_shape(a, b)
    xp, added = namespace(b), a + b
    is_finite = xp.isfinite(added)  # elsewhere there is no rounding error, and infinity - infinity would warn
    a, b, s = (xp.where(is_finite, part, xp.zeros_like(part)) for part in (a, b, added))
    own = s - a
    return Compensated(added, total.error + value.error + ((a - (s - own)) + (b - own)))


def _compensated(part: Any, like: Array) -> Compensated:
    """Return any sum as a compensated one on the device of an array."""
    if isinstance(part, int):
        part = host_full((), part)
    if not isinstance(part, Compensated):
        xp = namespace(part)
        value = xp.astype(part, xp.float32)
        part = Compensated(value, xp.astype(part - xp.astype(value, part.dtype), xp.float32))
    return Compensated(_beside(part.value, like), _beside(part.error, like))


def _beside(part: Array, like: Array) -> Array:
    """Move an array to the device of another: a sum that was loaded, or comes from another process."""
    return part if is_beside(part, like) else asarray(to_numpy(part), dtype=like.dtype, like=like)


def _expect_one_shape(total: Array, value: Array) -> None:
    if tuple(total.shape) != tuple(value.shape):
        raise ShapeError(
            f"expected sums of one shape, got {tuple(total.shape)} and {tuple(value.shape)}; "
            "every batch must have the same number of classes"
        )

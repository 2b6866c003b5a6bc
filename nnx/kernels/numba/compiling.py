"""How the loops are compiled."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import float32, njit
from numba.extending import overload

from nnx.kernels.numba.caching import Kept


def compiled(loop: Callable[..., Any]) -> Any:
    """Return a loop over arrays as machine code; a decorator.

    Division by zero gives infinity or NaN, as in NumPy. If there is no place for a cache, or Numba's has changed, it is
    compiled in each process.
    """
    try:
        made = njit(loop, cache=True, nogil=True, error_model="numpy")
        made._cache = Kept(made._cache)
        return made
    except (RuntimeError, AttributeError, OSError):  # such as folders of the source and the user without write access
        return njit(loop, nogil=True, error_model="numpy")


def inlined(part: Callable[..., Any]) -> Any:
    """Return a function that loops call, which becomes a part of each of them; a decorator.

    It does so before references are counted: what a function that the compiler inlines later does to the counts of its
    arguments costs more than a short row.
    """
    return njit(part, error_model="numpy", inline="always")


def by_precision(single: Callable[..., Any], double: Callable[..., Any]) -> Any:
    """Return a function of one number that loops may call: one of two inlined ones, for float32 and for float64."""

    def chosen(x: Any) -> Any:
        return double(x)

    def of_single(x: Any) -> Any:
        return single(x)

    def of_double(x: Any) -> Any:
        return double(x)

    @overload(chosen)  # type: ignore[untyped-decorator]
    def _(x: Any) -> Any:  # of types instead of numbers
        return of_single if x == float32 else of_double

    return chosen


def like(number: float, x: Any) -> Any:
    """Return a number with the precision of ``x``, in loops: a Python number there would make the arithmetic double."""
    return type(x)(number)


@overload(like)  # type: ignore[untyped-decorator]
def _(number: float, x: Any) -> Any:
    def single(number: float, x: Any) -> Any:
        return np.float32(number)

    def double(number: float, x: Any) -> Any:
        return np.float64(number)

    return single if x == float32 else double

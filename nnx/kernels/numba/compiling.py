"""How the loops are compiled."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(loop: Callable[..., Any]) -> Any:
    """Return a loop over arrays as machine code; a decorator.

    Division by zero gives infinity or NaN, as in NumPy. If there is no place for a cache, it is compiled in each
    process.
    """
    try:
        return njit(loop, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:  # neither the source's folder nor the user's can be written
        return njit(loop, nogil=True, error_model="numpy")

"""Who owns an array: whether it may be written into without anybody seeing it.

Optimizers, buffers and averages want to write in place; whoever holds an array may rely on its values. So an array is
written only by its one holder, and in CPython the reference count tells whether there is another.
"""

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

Slot = tuple[Any, Any]
"""A dict and a key, or a list and an index: where one array is held."""


def writable(slots: Iterable[Slot], *, alone: int | None = None) -> list[bool]:
    """Tell for each slot whether the array in it may be written into: nobody but the slot can see it.

    That is so for an exact ``numpy.ndarray`` of native floating-point numbers that owns its memory and has one
    holder. A view, a memoryview, a torch tensor that shares the memory, a pullback, a ``state_dict`` and a variable
    of any thread are holders: each of them refers to the array object. A weak reference is none.

    The answer is no for the arrays of all other libraries, whose views refer to the memory and not to the array
    object (CuPy, torch, array-api-strict), or that cannot be written (JAX). It is no where counts cannot be trusted:
    on free-threaded builds, where each thread counts its own references, and outside CPython.

    It holds until somebody else takes the array from the slot. A thread that reads a model while another one makes a
    step may find an array half written, as it may find one parameter old and the next one new.

    Parameters
    ----------
    slots : iterable of (dict, key) or (list, index)
        The caller must not hold the arrays elsewhere, not even by a variable.
    alone : int, optional
        The count of an array that has one holder; default as found when nnx was imported.
    """
    alone = _ALONE if alone is None else alone
    found = []
    for holder, key in slots:
        # The count first, while no variable here holds the array.
        may = getrefcount(holder[key]) == alone
        if may:
            array = holder[key]
            may = type(array) is np.ndarray and array.base is None and array.dtype.kind in "fc" and array.dtype.isnative
            if may:
                flags = array.flags
                may = flags.owndata and flags.writeable
        found.append(may)
    return found


def _calibrate() -> int:
    """Return the count of an array that only a slot holds, found by the code that asks; 0, which is none, if unknown.

    Interpreters differ: up to Python 3.13 the stack counts as a holder where 3.14 borrows.
    """
    if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return 0
    probe = _Probe()
    probe.array = np.zeros(1)
    slots = [(vars(probe), "array")]
    fitting = [count for count in range(1, 10) if writable(slots, alone=count) == [True]]
    second = probe.array
    is_seen = len(fitting) == 1 and writable(slots, alone=fitting[0]) == [False]
    del second
    return fitting[0] if is_seen else 0


class _Probe:
    """Holds an array as a module does."""

    array: Any


getrefcount = getattr(sys, "getrefcount", lambda array: -1)
_ALONE = _calibrate()

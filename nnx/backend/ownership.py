"""Who owns an array: whether it may be written into without anyone else noticing.

Optimizers, buffers and averages want to write in place, but anyone who refers to an array may rely on its values. So
an array is written only by its sole holder, and in CPython the reference count shows whether there is another one.
"""

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np

_NATIVE = frozenset(map(np.dtype, "efdgFDG"))

Slot = tuple[Any, Any]
"""A dict and a key, or a list and an index: where one array is held."""


def writable(slots: Iterable[Slot], *, alone: int | None = None) -> list[bool]:
    """Return for each slot whether the array in it may be written into, because nothing else refers to it.

    That is the case for an exact ``numpy.ndarray`` of native floating-point numbers that owns its memory and has a
    single holder. A view, a memoryview, a torch tensor that shares the memory, a pullback, a ``state_dict`` and a
    variable in any thread all count as holders, since each refers to the array object. A weak reference does not.

    It is never the case for other libraries: their views refer to the memory, not to the array object (CuPy, torch,
    array-api-strict), or their arrays cannot be written (JAX). Nor is it where counts cannot be trusted: on
    free-threaded builds, where each thread counts its own references, and outside CPython.

    The answer is valid until someone else takes the array from the slot. A thread that reads a model while another
    one updates it may find an array half written, just as it may find one parameter old and the next one new.

    Parameters
    ----------
    slots : iterable of (dict, key) or (list, index)
        The caller must not hold the arrays elsewhere, not even in a variable.
    alone : int, optional
        The reference count of an array with a single holder; by default as measured when nnx was imported.
    """
    alone = _ALONE if alone is None else alone
    found = []
    for holder, key in slots:
        may = False
        # The count first, while no variable of this function refers to the array.
        if getrefcount(holder[key]) == alone:
            array = holder[key]
            # A subclass may do anything on a write. A base, or memory of someone else's, can be seen from there.
            if type(array) is np.ndarray and array.dtype in _NATIVE and array.base is None:
                flags = array.flags
                may = flags.owndata and flags.writeable
        found.append(may)
    return found


def _calibrate() -> int:
    """Return the reference count of an array that only a slot holds, or 0, which no array has, if it is unknown.

    It is measured by the very code that will ask, since interpreters differ: up to Python 3.13 the evaluation stack
    holds a reference of its own, which 3.14 borrows.
    """
    if sys.implementation.name != "cpython" or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return 0
    probe = _Probe()
    probe.array = np.zeros(1)
    slots = [(vars(probe), "array")]
    fitting = [count for count in range(1, 10) if writable(slots, alone=count) == [True]]
    second = probe.array  # a second holder must change the answer, or counts mean nothing here
    is_seen = len(fitting) == 1 and writable(slots, alone=fitting[0]) == [False]
    del second
    return fitting[0] if is_seen else 0


class _Probe:
    """Holds an array in its ``__dict__``, as a module does."""

    array: Any


getrefcount = getattr(sys, "getrefcount", lambda array: -1)
_ALONE = _calibrate()

"""Weak links: data attached to an array from outside, for as long as the array lives."""

from contextlib import suppress
from functools import partial
from typing import Any
from weakref import ReferenceType, ref

from nnx.types import Array


class Links:
    """A weak dictionary keyed by the identity of arrays, which have no hash, and whose ``==`` compares elements.

    It keeps no array alive. Objects without weak references, such as ``numpy.float64``, are silently left out. Threads
    may share it: each operation on the dictionary is atomic.
    """

    def __init__(self) -> None:
        self._entries: dict[int, tuple[ReferenceType[Array], Any]] = {}

    def get(self, array: Array) -> Any:
        """Return the value linked to an array, or ``None``."""
        entry = self._entries.get(id(array))
        return None if entry is None or entry[0]() is not array else entry[1]

    def put(self, array: Array, value: Any) -> None:
        """Link a value to an array; it replaces an earlier one."""
        entries, key = self._entries, id(array)
        with suppress(TypeError):
            # The callback removes the entry before the memory, and with it the id, can be reused. It is a single call
            # in C, dict.pop(key, reference), which no other thread can interrupt.
            entries[key] = ref(array, partial(entries.pop, key)), value

    def setdefault(self, array: Array, value: Any) -> Any:
        """Return the value linked to an array, linking this one if there is none.

        ``None`` if the array supports no weak references.
        """
        entries, key = self._entries, id(array)
        try:
            entry = ref(array, partial(entries.pop, key)), value
        except TypeError:
            return None
        found = entries.setdefault(key, entry)
        if found[0]() is not array:
            found = entries[key] = entry
        return found[1]

    def __len__(self) -> int:
        return len(self._entries)


OWNERS = Links()
"""For the first array of a gradient, a weak reference to the object, such as a module, that was differentiated."""


def gradient_of(owner: ReferenceType[Any], gradient: dict[str, Array]) -> dict[str, Array]:
    """Link a gradient to the object that it belongs to, and return it."""
    for array in gradient.values():
        OWNERS.put(array, owner)
        break
    return gradient

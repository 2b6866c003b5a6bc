"""Weak links: what is known of an array beside its values, for as long as the array lives."""

from contextlib import suppress
from functools import partial
from typing import Any
from weakref import ReferenceType, ref

from nnx.types import Array


class Links:
    """A weak dictionary of arrays by identity: they have no hash, and ``==`` compares their elements.

    It keeps no array alive. What takes no weak reference, such as ``numpy.float64``, is passed over. Threads may
    share it: each operation on the dictionary is one step.
    """

    def __init__(self) -> None:
        self._entries: dict[int, tuple[ReferenceType[Array], Any]] = {}

    def get(self, array: Array) -> Any:
        """Return what an array is linked to, or ``None``."""
        entry = self._entries.get(id(array))
        return None if entry is None or entry[0]() is not array else entry[1]

    def put(self, array: Array, value: Any) -> None:
        """Link an array to a value, in place of an earlier one."""
        entries, key = self._entries, id(array)
        with suppress(TypeError):
            # The callback removes the entry before the memory, and with it the id, can go to another array. It is a
            # call in C, dict.pop(key, reference), so no other thread can come between.
            entries[key] = ref(array, partial(entries.pop, key)), value

    def setdefault(self, array: Array, value: Any) -> Any:
        """Return what an array is linked to, and link it to a value before if it is to nothing.

        ``None`` if the array takes no weak reference.
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
"""Of the first array of a gradient: a weak reference to the object, such as a module, that it is the gradient of."""


def gradient_of(owner: ReferenceType[Any], gradient: dict[str, Array]) -> dict[str, Array]:
    """Return the gradient of an object after linking it to the object."""
    for array in gradient.values():
        OWNERS.put(array, owner)
        break
    return gradient

"""The state before the first bad batch, kept on a device without reading which batch that is.

A flag on the device rises with the first bad batch. Of each tree that a batch meets, such as the state of the model,
there is one copy: ``copy = where(flag, copy, tree)`` renews it while the flag is down. What is on the host, such as a
count, is kept of every batch. When the flag is read, the number of good batches tells which of these belongs to it.
"""

from collections.abc import Mapping
from typing import Any

from nnx.backend import copied, device_of, dtype_name, namespace
from nnx.training.device_values import choose, is_here
from nnx.tree import tree_split
from nnx.types import Array, Tree

_ON_HOST = -1  # instead of the number of a kind


class LastGood:
    """What the batches of an epoch met, up to the first bad one: named trees, such as the batch itself.

    Parameters
    ----------
    value : array, shape ()
        A loss, on the device of all losses.
    """

    def __init__(self, value: Array) -> None:
        xp = namespace(value)
        self._value = value
        self._is_bad = xp.zeros((), dtype=xp.bool, device=device_of(value))
        self._good = xp.zeros((), dtype=xp.int32, device=device_of(value))
        self._trees: dict[str, _Kept] = {}
        self._forgotten = 0  # how many batches were found good, and dropped

    @property
    def kinds(self) -> int:
        """How many copies there are of the tree that has the most."""
        return max((kept.kinds for kept in self._trees.values()), default=0)

    @property
    def batches(self) -> int:
        """Of how many batches something is kept."""
        return max((kept.trees for kept in self._trees.values()), default=0)

    def add(self, trees: Mapping[str, Tree], value: Array, is_finite: Array) -> None:
        """Add what a batch met, its loss, and whether it is good."""
        xp, was_bad = namespace(value), self._is_bad
        for name, tree in trees.items():
            self._trees.setdefault(name, _Kept()).add(tree, was_bad)
        # In this order: the flag from before this batch decides whether its loss is the one to keep.
        self._value = xp.where(was_bad, self._value, value)
        self._is_bad = xp.logical_or(was_bad, xp.logical_not(is_finite))
        self._good = self._good + xp.astype(xp.logical_not(self._is_bad), xp.int32)

    def flags(self) -> list[Array]:
        """Return whether a batch was bad, how many were good before it, and its loss."""
        return [self._is_bad, self._good, self._value]

    def met_by(self, number: int) -> dict[str, Tree]:
        """Return what the first bad batch met, given its number, from 1."""
        return {name: kept.tree(number - 1 - self._forgotten) for name, kept in self._trees.items()}

    def forget(self, good: int) -> None:
        """Drop what is kept, once it is known that all batches so far were good."""
        self._trees.clear()
        self._forgotten = good


class _Kept:
    """The last of a sequence of trees that was added while a flag was down.

    Trees of one kind, with arrays of the same paths, shapes and dtypes, share a copy: arrays of other shapes could not
    be chosen against each other.
    """

    def __init__(self) -> None:
        self._kinds: dict[tuple[Any, ...], int] = {}
        self._copies: list[dict[str, Array]] = []  # of each kind
        self._forms: list[Tree] = []  # of each kind, a tree without its leaves
        self._met: list[tuple[int, Any]] = []  # of each tree its kind, and its leaves on the host

    @property
    def kinds(self) -> int:
        """How many copies there are."""
        return len(self._copies)

    @property
    def trees(self) -> int:
        """How many trees were added."""
        return len(self._met)

    def add(self, tree: Tree, flag: Array) -> None:
        """Add a tree, unless the flag is up."""
        leaves, rebuild = tree_split(tree)
        arrays = {path: leaf for path, leaf in leaves.items() if is_here(leaf, flag)}
        if not arrays:
            self._met.append((_ON_HOST, rebuild(list(leaves.values()))))
            return
        kind = (*leaves, *((path, tuple(x.shape), dtype_name(x.dtype)) for path, x in arrays.items()))
        number = self._kinds.setdefault(kind, len(self._copies))
        if number == len(self._copies):
            self._forms.append(rebuild([...] * len(leaves)))
            self._copies.append({path: copied(array) for path, array in arrays.items()})
        else:
            self._copies[number] = choose(flag, self._copies[number], arrays)
        self._met.append((number, tuple(leaf for path, leaf in leaves.items() if path not in arrays)))

    def tree(self, index: int) -> Tree:
        """Return the last tree that was added while the flag was down, given its index."""
        number, found = self._met[index]
        if number == _ON_HOST:
            return found
        leaves, rebuild = tree_split(self._forms[number])
        copies, rest = self._copies[number], iter(found)
        return rebuild([copies[path] if path in copies else next(rest) for path in leaves])

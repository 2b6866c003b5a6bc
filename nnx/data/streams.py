"""Data that come one after another and cannot be indexed: generators, files that are read on, sensors."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nnx.backend import dtype_name, is_array
from nnx.data.parameters import takes
from nnx.errors import ArgumentError, DataError, UsageError
from nnx.functional.checks import as_integer, counted
from nnx.tree import tree_flatten
from nnx.types import Tree


class Stream:
    """Samples or batches from an iterable, in its own order.

    A loader with ``batch_size=None`` takes the items for batches, otherwise for samples. Either needs
    ``shuffle=False``. A run resumes by pulling items and dropping them, so the iterable must give the same ones again.

    Parameters
    ----------
    make : iterable, or callable
        An iterable that can be iterated over once for each epoch, such as a list; or a function that returns a new
        iterator, such as a generator function, called as ``make(epoch=epoch)`` if it has a parameter of that name. An
        iterator itself, such as a generator, serves one epoch.
    length : int, optional
        How many items an epoch has. An endless iterable needs it. Without it the loader has no ``len``.
    ragged : bool
        Whether batches may differ in shape, beyond the number of samples. By default that is an error.

    Raises
    ------
    ArgumentError
        If ``make`` can be neither iterated over nor called, or ``length`` is not at least 1.

    Examples
    --------
    >>> from nnx.data import DataLoader
    >>> def steps(epoch):
    ...     for number in range(5):
    ...         yield {"x": [float(number), float(epoch)], "target": number}
    >>> for batch in DataLoader(Stream(steps, length=5), batch_size=3, shuffle=False):
    ...     print(batch["target"])
    [0 1 2]
    [3 4]
    """

    def __init__(
        self, make: Iterable[Tree] | Callable[..., Iterable[Tree]], length: int | None = None, *, ragged: bool = False
    ) -> None:
        if not callable(make) and not hasattr(make, "__iter__"):
            raise ArgumentError(f"expected an iterable, or a function that returns one, got {type(make).__name__}")
        self.make = make
        self.length = None if length is None else as_integer(length, "length", least=1)
        self.ragged = ragged
        self._used = False

    def batches(
        self,
        epoch: int,
        start: int,
        batch_size: int | None,
        drop_last: bool,
        collate: Callable[[Sequence[Tree], Iterable[int]], Tree],
    ) -> Iterator[tuple[Tree, Any]]:
        """Yield the batches of an epoch from number ``start`` on, each with the numbers of its samples.

        Raises
        ------
        DataError
            If the iterable is empty, ends before ``length`` or ``start``, or gives a batch of another shape.
        UsageError
            If it is an iterator that was used before.
        """
        items, first, seen, number = self._items(epoch), None, 0, -1
        for number, chunk in enumerate(_chunks(items, batch_size, drop_last)):
            rows = rows_of(chunk) if batch_size is None else len(chunk)
            seen += rows
            if number < start and (first is not None or self.ragged):
                continue
            indices = np.arange(seen - rows, seen)
            batch = chunk if batch_size is None else collate(chunk, indices)
            if not self.ragged:
                form = _form(batch)
                first = form if first is None else first
                _expect_same(form, first, number)
            if number >= start:
                yield batch, indices
        if number + 1 < max(start, 1):
            raise DataError(
                f"expected at least {counted(max(start, 1), 'batch')} in epoch {epoch}, got a stream with "
                f"{number + 1}; check that it gives the same data again, and drop_last"
            )

    def __repr__(self) -> str:
        kind = getattr(self.make, "__name__", type(self.make).__name__)
        return f"Stream({kind}, length={self.length})"

    def _items(self, epoch: int) -> Iterator[Tree]:
        count = 0
        for item in itertools.islice(self._open(epoch), self.length):
            yield item
            count += 1
        if count < (self.length or 1):
            raise DataError(
                f"expected {self.length or 'at least 1'} items in epoch {epoch}, got a stream that ended "
                f"after {count}; check what produces them, or its length"
            )

    def _open(self, epoch: int) -> Iterator[Tree]:
        if callable(self.make):
            made = self.make(epoch=epoch) if takes(self.make, "epoch") else self.make()
            return iter(made)
        opened = iter(self.make)
        if opened is self.make and self._used:
            raise UsageError(
                f"expected data for one more epoch, got an iterator that was used before ({type(self.make).__name__}); "
                "hand over the function that makes it"
            )
        self._used = True
        return opened


def _chunks(items: Iterator[Tree], batch_size: int | None, drop_last: bool) -> Iterator[Any]:
    if batch_size is None:
        yield from items
        return
    while chunk := list(itertools.islice(items, batch_size)):
        if len(chunk) == batch_size or not drop_last:
            yield chunk


def rows_of(batch: Tree) -> int:
    """Return the number of samples of a batch that came as it is."""
    arrays = [leaf for leaf in tree_flatten(batch).values() if is_array(leaf)]
    return int(arrays[0].shape[0]) if arrays and arrays[0].ndim else 1


def _form(batch: Tree) -> Mapping[str, str]:
    """Return what the arrays of all batches have in common, by path; the first axis is that of the samples."""
    arrays = {path: leaf for path, leaf in tree_flatten(batch).items() if is_array(leaf)}
    return {
        path: f"shape ({', '.join(['*' if leaf.ndim else '', *map(str, leaf.shape[1:])])}) of {dtype_name(leaf.dtype)}"
        for path, leaf in arrays.items()
    }


def _expect_same(form: Mapping[str, str], first: Mapping[str, str], number: int) -> None:
    for path in {**first, **form}:
        wanted, got = first.get(path, "nothing"), form.get(path, "nothing")
        if wanted != got:
            raise DataError(
                f"batch {number}{f', {path!r}' if path else ''}: expected {wanted}, as in the first batch, got {got}; "
                "if that is meant, pass nnx.data.Stream(..., ragged=True)"
            )

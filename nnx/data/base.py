"""What every data set can do: give a sample by its number, and a batch by several numbers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from nnx.backend import to_numpy
from nnx.data.collation import collate
from nnx.errors import ArgumentError, DataError, NnxError
from nnx.functional.checks import counted
from nnx.types import Tree


class Source:
    """Samples by number. A subclass defines ``__len__`` and :meth:`sample`, and :meth:`batch` if it has a faster way.

    ``source[3]`` is a sample, ``source[2:5]`` and ``source[[7, 0]]`` are batches: trees of the same form whose arrays
    have the samples as their first axis. A :class:`DataLoader` may call these methods from several threads at once.

    Examples
    --------
    >>> class Squares(Source):
    ...     def __len__(self):
    ...         return 10
    ...     def sample(self, row):
    ...         return {"x": float(row), "y": float(row) ** 2}
    >>> Squares()[[2, 3]]["y"]
    array([4., 9.], dtype=float32)
    """

    def __len__(self) -> int:
        raise NotImplementedError

    def sample(self, row: int) -> Tree:
        """Return a sample; ``row`` is from 0 to ``len(self) - 1``."""
        raise NotImplementedError

    def batch(self, rows: Any) -> Tree:
        """Return samples as a batch; ``rows`` is a NumPy array of int64, shape (rows,), within range."""
        return collate(self.samples(rows), rows)

    def samples(self, rows: Any) -> Sequence[Tree]:
        """Return samples one by one, for a function that makes a batch of them; ``rows`` is as for :meth:`batch`."""
        return [located(self.sample, row) for row in rows.tolist()]

    def span(self, start: int, stop: int, step: int = 1) -> Tree:
        """Return the samples from ``start`` to before ``stop`` as a batch; all three are within range and positive."""
        return self.batch(np.arange(start, stop, step))

    def reader(self, order: Any) -> Callable[[slice], Tree]:
        """Return a function that reads a part of an order, such as ``slice(64, 128)``, as a batch.

        Parameters
        ----------
        order : NumPy array of int64, shape (samples,), or None
            Within range. ``None`` is the order in which the samples stand.
        """
        if order is None:
            return lambda part: self.span(part.start, part.stop)
        return lambda part: self.batch(order[part])

    def __getitem__(self, index: Any) -> Any:
        """Return a sample for an int, and a batch for a slice or integers of shape (rows,).

        Parameters
        ----------
        index : int, slice, or integers of shape (rows,)
            Integers may repeat and may be an array of any library; negative ones count from the end.

        Raises
        ------
        DataError
            If an index is out of range. It is checked on the host, since a GPU would silently wrap it around.
        ArgumentError
            If the index is of any other type.
        """
        if isinstance(index, slice):
            rows = range(len(self))[index]
            if rows.step > 0:
                return self.span(rows.start, max(rows.start, rows.stop), rows.step)
            return self.batch(np.asarray(rows, dtype=np.int64))
        if isinstance(index, (int, np.integer)):
            return self.sample(int(rows_within(np.asarray([index]), len(self))[0]))
        return self.batch(rows_within(np.asarray(to_numpy(index)), len(self)))

    def __iter__(self) -> Iterator[Tree]:
        return (self[row] for row in range(len(self)))


def rows_within(rows: Any, length: int) -> Any:
    """Return row numbers as they are counted from 0; raises unless they are integers of rows that there are."""
    if rows.ndim != 1 or rows.dtype.kind not in "iu":
        raise ArgumentError(
            f"expected an int, a slice or integers of shape (rows,) as index, got {rows.dtype} of shape {rows.shape}"
        )
    wrong = rows[(rows < -length) | (rows >= length)]
    if wrong.size:
        raise DataError(f"expected rows from {-length} to {length - 1} of {counted(length, 'sample')}, got {wrong[0]}")
    return np.where(rows < 0, rows + length, rows)


def packed(names: Sequence[str] | None, parts: Iterable[Any]) -> Any:
    """Return the parts of a sample as a dict by name, or as a tuple if they have no names."""
    return tuple(parts) if names is None else dict(zip(names, parts, strict=True))


def add_context(error: Exception, where: str) -> None:
    """Say in an error where it happened: at the front of nnx's own messages, in a note of all others."""
    if isinstance(error, NnxError):
        error.message = f"{where}: {error.message}"
    else:
        error.add_note(f"This was {where}.")


def located(read: Callable[[int], Tree], row: int) -> Tree:
    """Read a sample; an error says which one it was."""
    try:
        return read(row)
    except Exception as error:
        add_context(error, f"sample {row}")
        raise

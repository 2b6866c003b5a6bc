"""Some samples of a data set, without copying them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnx.backend import to_numpy
from nnx.data.base import Source, rows_within
from nnx.data.sources import as_dataset
from nnx.types import Tree


class Subset(Source):
    """The chosen samples of a data set, which is read when they are asked for.

    Parameters
    ----------
    data : Source, or what :func:`as_dataset` takes
    rows : integers, shape (samples,)
        May repeat; negative ones count from the end.

    Attributes
    ----------
    source : Source
        Where the samples are read. That of a subset of a subset is the data set below both.
    rows : NumPy array of int64, shape (samples,)
        Their numbers in ``source``.

    Raises
    ------
    DataError
        If a row is out of range.
    ArgumentError
        If the rows are not integers of shape (samples,), or the data are none.

    Examples
    --------
    >>> odd = Subset((np.arange(10), np.arange(10) ** 2), [1, 3, 5, 7, 9])
    >>> len(odd), odd[2]
    (5, (array(5), array(25)))
    >>> odd[-2:]
    (array([7, 9]), array([49, 81]))
    """

    def __init__(self, data: Any, rows: Any) -> None:
        source = as_dataset(data)
        found = np.asarray(to_numpy(rows) if hasattr(rows, "dtype") else rows)
        if not found.size:
            found = found.astype(np.int64)
        self.rows = rows_within(found, len(source)).astype(np.int64)
        self.source = source
        if isinstance(source, Subset):
            self.source, self.rows = source.source, source.rows[self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, row: int) -> Tree:
        """Return a sample; ``row`` is from 0 to ``len(self) - 1``."""
        return self.source.sample(int(self.rows[row]))

    def batch(self, rows: Any) -> Tree:
        """Return samples as a batch, read by the data set below."""
        return self.source.batch(self.rows[rows])

    def samples(self, rows: Any) -> Sequence[Tree]:
        """Return samples one by one; an error has the number that a sample has in the data set below."""
        return self.source.samples(self.rows[rows])

    def reader(self, order: Any) -> Callable[[slice], Tree]:
        """Return a function that reads a part of an order as a batch; see :meth:`Source.reader`."""
        return self.source.reader(self.rows if order is None else self.rows[order])

    def __repr__(self) -> str:
        return f"Subset({len(self)} of {self.source!r})"

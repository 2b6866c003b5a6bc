"""Make a data set of whatever holds samples."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nnx.backend import is_array
from nnx.data.base import Source, packed
from nnx.data.dataset import Dataset
from nnx.errors import ArgumentError, DataError
from nnx.functional.checks import counted
from nnx.types import Array, Tree

_ACCEPTED = (
    "a Dataset, a tuple of arrays, a dict of them with names, a table of columns, "
    "or anything with samples that has __len__ and __getitem__"
)


def as_dataset(data: Any) -> Source:
    """Return a data set of arrays, of a table, or of any object that has samples.

    =============================================== ==========================================================
    data                                            a sample
    =============================================== ==========================================================
    :class:`Source`: :class:`Dataset` and so on     as it is
    tuple or list of arrays of one length           a tuple of their rows
    dict of arrays                                  a dict of their rows
    tuple or dict in which there are sources        a tuple or dict of their samples, and of the rows of arrays
    table: has ``keys()`` and ``table["column"]``,  a dict of the rows of its columns, which are read at once
    such as pandas', xarray's, or an opened NPZ
    anything else with ``__len__`` and              ``data[i]``; several are asked for in one call where the
    ``__getitem__``: a list of samples, a torch     object has ``__getitems__``
    ``Dataset``, a Hugging Face ``Dataset``
    =============================================== ==========================================================

    Samples that are not rows of arrays become batches by :func:`collate`.

    Raises
    ------
    ArgumentError
        If the data are none of these; a single array is not, as a batch could then be ``x`` or ``(x,)``.
    DataError
        If the parts of a tuple, dict or table do not fit together, or a column does not hold numbers.

    Examples
    --------
    >>> as_dataset([{"x": 1.0, "y": 0}, {"x": 2.0, "y": 1}])[[1, 0]]
    {'x': array([2., 1.], dtype=float32), 'y': array([1, 0], dtype=int32)}
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, dict) and data and all(isinstance(name, str) for name in data):
        return Joined(**data) if _has_source(data.values()) else Dataset(**data)
    if isinstance(data, tuple) or (isinstance(data, list) and any(map(is_array, data))):
        return Joined(*data) if _has_source(data) else Dataset(*data)
    is_one_array = is_array(data) or (hasattr(data, "dtype") and hasattr(data, "shape"))  # also a column of pandas
    if not (isinstance(data, dict) or is_one_array) and hasattr(data, "__getitem__"):
        if callable(getattr(data, "keys", None)):
            return Dataset(**{str(name): _column(name, data[name]) for name in data.keys()})  # noqa: SIM118
        if hasattr(data, "__len__") and not isinstance(data, (str, bytes)):
            return Indexed(data)
    advice = "write (x,) for a single array" if is_array(data) or not is_one_array else "write (np.asarray(x),)"
    if hasattr(data, "__iter__") and not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        advice = "wrap what can only be iterated over in nnx.data.Stream"
    raise ArgumentError(f"expected {_ACCEPTED}, got {type(data).__name__}; {advice}")


class Indexed(Source):
    """Samples of an object that has ``__len__`` and ``__getitem__``, such as a list or a torch ``Dataset``.

    Parameters
    ----------
    items : object
        ``items[i]`` is a sample. If it has a method ``__getitems__``, that is given a list of numbers and returns a
        list of samples, as torch's loader expects it.
    """

    def __init__(self, items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def sample(self, row: int) -> Tree:
        """Return ``items[row]``."""
        return self.items[row]

    def samples(self, rows: Any) -> Sequence[Tree]:
        """Return several samples, by ``__getitems__`` if there is one."""
        several = getattr(self.items, "__getitems__", None)
        return super().samples(rows) if several is None else several(rows.tolist())

    def __repr__(self) -> str:
        return f"Indexed({counted(len(self), 'sample')} of {type(self.items).__name__})"


class Joined(Source):
    """Sources and arrays of one length that belong together, sample by sample.

    Parameters
    ----------
    *parts : Source or array, shape (samples, ...)
    **named : Source or array
        Parts with names instead; samples are then dicts.

    Raises
    ------
    DataError
        If they differ in length.

    Examples
    --------
    >>> pictures = as_dataset([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    >>> x, y = Joined(pictures, np.asarray([7, 8, 9]))[[2, 0]]
    >>> y
    array([9, 7])
    """

    def __init__(self, *parts: Source | Array, **named: Source | Array) -> None:
        self.names = tuple(named) if named else None
        self.parts = [p if isinstance(p, Source) else _Column(Dataset(p)) for p in (*parts, *named.values())]
        lengths = [len(part) for part in self.parts]
        if len(set(lengths)) > 1:
            raise DataError(
                f"expected parts with the same number of samples, got {', '.join(map(str, lengths))}; "
                "check that they belong together"
            )

    def __len__(self) -> int:
        return len(self.parts[0])

    def sample(self, row: int) -> Tree:
        """Return a sample of each part."""
        return packed(self.names, [part.sample(row) for part in self.parts])

    def batch(self, rows: Any) -> Tree:
        """Return a batch of each part."""
        return packed(self.names, [part.batch(rows) for part in self.parts])

    def span(self, start: int, stop: int, step: int = 1) -> Tree:
        """Return consecutive samples of each part."""
        return packed(self.names, [part.span(start, stop, step) for part in self.parts])

    def __repr__(self) -> str:
        return f"Joined({counted(len(self), 'sample')} of {counted(len(self.parts), 'part')})"


class _Column(Source):
    """A single array, whose rows are not in tuples."""

    def __init__(self, rows: Dataset) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def sample(self, row: int) -> Array:
        return self.rows.arrays[0][row, ...]

    def batch(self, rows: Any) -> Array:
        return next(iter(self.rows.batch(rows)))

    def span(self, start: int, stop: int, step: int = 1) -> Array:
        return self.rows.arrays[0][start:stop:step, ...]


def _has_source(parts: Any) -> bool:
    return any(isinstance(part, Source) for part in parts)


def _column(name: Any, column: Any) -> Array:
    if is_array(column):
        return column
    host = np.asarray(column)
    if host.dtype.kind not in "biufc":
        raise DataError(
            f"column {name!r}: expected numbers, got {host.dtype}; select the columns that hold numbers, "
            "or hand over a list of rows"
        )
    return host

"""Make a batch of samples: trees of one form become one tree with an axis for the samples in front."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nnx.backend import asarray, dtype_name, is_array, namespace
from nnx.errors import DataError
from nnx.types import Array, Tree

_NUMBERS = (bool, int, float, complex, np.generic)


def collate(samples: Sequence[Tree], numbers: Iterable[int] | None = None) -> Tree:
    """Return samples as a batch.

    ============================ ===========================================================================
    in a sample                  in the batch
    ============================ ===========================================================================
    tuple, dict                  the same, of batches
    array of any library         an array of shape (batch, ...) of that library and device
    ``bool``, ``int``, ``float`` an array of bool, int32 or float32, shape (batch,)
    NumPy's numbers              an array of their dtype, shape (batch,)
    list of numbers              an array, as of numbers; lists of anything else are structure, as tuples are
    has ``__array__``            as ``numpy.asarray`` of it: a Pillow image, a column of another library
    ``str``, ``bytes``           a list of them
    ``None``                     ``None``
    ============================ ===========================================================================

    What is no array yet is moved to the library and device of the sample's first array or, if it has none, to those of
    the selected backend.

    Parameters
    ----------
    samples : sequence of tree
        At least one.
    numbers : iterable of int, optional
        Their numbers in the data set, which an error names. By default they count from 0.

    Raises
    ------
    DataError
        If there is no sample, two samples differ in structure, shape or dtype, or one holds something else. It names
        the sample and the path in it.

    Examples
    --------
    >>> collate([{"x": [1.0, 2.0], "y": 3}, {"x": [4.0, 5.0], "y": 6}])
    {'x': array([[1., 2.],
           [4., 5.]], dtype=float32), 'y': array([3, 6], dtype=int32)}
    """
    names = list(range(len(samples)) if numbers is None else map(int, numbers))
    if not samples:
        raise DataError("expected at least one sample to make a batch of, got none")
    return _Collation(names, _first_array(samples[0])).of(samples, "")


def _first_array(tree: Any) -> Array | None:
    if is_array(tree) and not isinstance(tree, np.generic):
        return tree
    children = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, (tuple, list)) else ()
    return next((array for child in children if (array := _first_array(child)) is not None), None)


@dataclass(frozen=True)
class _Collation:
    numbers: list[int]
    like: Array | None

    def of(self, samples: Sequence[Any], path: str) -> Tree:
        first = samples[0]
        if isinstance(first, _NUMBERS) or (isinstance(first, list) and _is_numeric(first)):
            return self.of_numbers(samples, path)
        if isinstance(first, Mapping):
            self.expect_alike(samples, path, _form_of_mapping)
            return {key: self.of([sample[key] for sample in samples], _join(path, key)) for key in first}
        if isinstance(first, (tuple, list)):
            self.expect_alike(samples, path, _form_of_sequence)
            parts = [self.of(column, _join(path, i)) for i, column in enumerate(zip(*samples, strict=True))]
            return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
        if first is None or isinstance(first, (str, bytes)):
            self.expect_alike(samples, path, _type)
            return None if first is None else list(samples)
        return self.of_arrays(samples, path)

    def of_numbers(self, samples: Sequence[Any], path: str) -> Array:
        self.expect_alike(samples, path, _form_of_numbers)
        try:
            host = np.asarray(samples)
        except ValueError as error:
            raise DataError(
                f"{_where(self.numbers[0], path)}expected lists of one length, got several; pad them"
            ) from error
        if not _has_dtype(samples[0]):  # Python's numbers take 32 bits, as everywhere in nnx
            if host.dtype == np.float64:
                host = host.astype(np.float32)
            elif host.dtype.kind in "iuO":
                host = self.as_int32(host, path)
        return asarray(host, like=self.like)

    def of_arrays(self, samples: Sequence[Any], path: str) -> Array:
        leaves = [self.as_array(leaf, number, path) for leaf, number in zip(samples, self.numbers, strict=True)]
        self.expect_alike(leaves, path, _form_of_array)
        stacked = namespace(*leaves).stack(leaves, axis=0)
        return stacked if is_array(samples[0]) else asarray(stacked, like=self.like)

    def expect_alike(self, samples: Sequence[Any], path: str, form: Callable[[Any], str]) -> None:
        wanted = form(samples[0])
        for sample, number in zip(samples, self.numbers, strict=True):
            if (got := form(sample)) != wanted:
                raise DataError(
                    f"{_where(number, path)}expected {wanted}, as in sample {self.numbers[0]}, got {got}; "
                    "make the samples alike, or pass a collate function of your own"
                )

    def as_int32(self, host: Any, path: str) -> Any:
        limits = np.iinfo(np.int32)
        if host.size and not (limits.min <= host.min() and host.max() <= limits.max):
            row = int(np.argmax([np.any((row < limits.min) | (row > limits.max)) for row in host]))
            raise DataError(
                f"{_where(self.numbers[row], path)}expected integers that fit into 32 bits, got {host[row]}; "
                "make them numpy.int64 when the sample is read"
            )
        return host.astype(np.int32)

    def as_array(self, leaf: Any, number: int, path: str) -> Array:
        if is_array(leaf):
            return leaf
        if hasattr(leaf, "__array__") or hasattr(leaf, "__array_interface__"):
            return np.asarray(leaf)
        raise DataError(
            f"{_where(number, path)}expected numbers, arrays, text, or tuples, lists and dicts of them, "
            f"got {_type(leaf)}; convert it when the sample is read"
        )


def _type(sample: Any) -> str:
    return f"an object of type {type(sample).__name__}"


def _form_of_mapping(sample: Any) -> str:
    # In any order, since the keys are looked up.
    return f"a dict with {', '.join(sorted(map(str, sample)))}" if isinstance(sample, Mapping) else _type(sample)


def _form_of_sequence(sample: Any) -> str:
    return f"a {type(sample).__name__} of {len(sample)}" if isinstance(sample, (tuple, list)) else _type(sample)


def _form_of_numbers(sample: Any) -> str:
    if isinstance(sample, _NUMBERS):
        return "a number"
    if not (isinstance(sample, list) and _is_numeric(sample)):
        return _type(sample)
    try:
        return f"numbers of shape {np.shape(sample)}"
    except ValueError:
        return "lists of several lengths"


def _form_of_array(leaf: Any) -> str:
    return f"shape {tuple(leaf.shape)} of {dtype_name(leaf.dtype)}"


def _is_numeric(values: Any) -> bool:
    return isinstance(values, _NUMBERS) or (isinstance(values, list) and all(map(_is_numeric, values)))


def _has_dtype(values: Any) -> bool:
    return isinstance(values, np.generic) or (isinstance(values, list) and any(map(_has_dtype, values)))


def _join(path: str, key: Any) -> str:
    return f"{path}.{key}" if path else str(key)


def _where(number: int, path: str) -> str:
    return f"sample {number}{f', {path!r}' if path else ''}: "

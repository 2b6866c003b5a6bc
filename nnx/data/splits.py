"""Splits of a data set: training and validation samples, any number of parts, and folds."""

from __future__ import annotations  # naming np.random in a signature would import it with nnx

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from nnx.backend import generator, is_array, to_numpy
from nnx.data.apportioning import apportion, as_fractions, drawn, drawn_by_class, drawn_by_group
from nnx.data.base import Source
from nnx.data.dataset import Dataset
from nnx.data.sources import as_dataset
from nnx.data.subsets import Subset
from nnx.errors import ArgumentError, DataError
from nnx.functional.checks import as_integer, counted
from nnx.types import Array


def split(
    data: Any,
    fractions: Sequence[float],
    *,
    stratify: Any = None,
    groups: Any = None,
    rng: int | np.random.Generator | None = 0,
) -> tuple[Subset, ...]:
    """Split a data set at random into parts that have no sample in common.

    Parameters
    ----------
    data : Source, or what :func:`as_dataset` takes
        Such as a tuple of arrays. It is not copied, and the parts keep its order.
    fractions : sequence of float
        The share of each part; their sum is 1. Sizes are rounded by the method of the largest remainder, so that a
        part differs from its share by less than one sample, and no sample is left out.
    stratify : sequence of labels, int or str, optional
        Split the samples of each class by themselves, and round each class likewise. The position or name of an array
        of the data set stands for its values.
    groups : sequence of labels, int or str, optional
        Keep samples with the same label in the same part, such as those of one patient. Whole groups seldom have the
        sizes asked for: the largest is placed first, and each goes to the part that misses most of it. With
        ``stratify`` the classes are in proportion as far as that goes.
    rng : int, numpy.random.Generator or None
        A seed gives the same split each time and on every backend; ``None`` gives a new one.

    Returns
    -------
    parts : tuple of Subset

    Raises
    ------
    ArgumentError
        If the fractions are not positive or do not sum to 1, or the data set has no such labels.
    DataError
        If a part would be empty or would have no sample of a class, or the labels differ in number from the samples.

    Examples
    --------
    >>> x, y = np.zeros((12, 3)), np.asarray([0, 1, 1] * 4)
    >>> train, validation, test = split((x, y), (0.5, 0.25, 0.25), stratify=-1)
    >>> [part[:][1].tolist() for part in (train, validation, test)]
    [[0, 1, 1, 1, 1, 0], [0, 1, 1], [1, 0, 1]]
    """
    source = as_dataset(data)
    return tuple(Subset(source, rows) for rows in _parts(source, as_fractions(fractions), stratify, groups, rng))


def k_fold(
    data: Any,
    folds: int,
    *,
    stratify: Any = None,
    groups: Any = None,
    rng: int | np.random.Generator | None = 0,
) -> list[tuple[Subset, Subset]]:
    """Return pairs (training, validation) for cross-validation: each sample validates once.

    Parameters
    ----------
    data, stratify, groups, rng
        As for :func:`split`.
    folds : int
        The number of pairs, 2 or more.

    Returns
    -------
    pairs : list of (Subset, Subset)

    Raises
    ------
    ArgumentError
        If there are fewer than two folds, or the data set has no such labels.
    DataError
        As :func:`split`.

    Examples
    --------
    >>> for train, validation in k_fold((np.arange(5),), folds=2):
    ...     print(train[:], validation[:])
    (array([2, 4]),) (array([0, 1, 3]),)
    (array([0, 1, 3]),) (array([2, 4]),)
    """
    source = as_dataset(data)
    folds = as_integer(folds, "folds", 2)
    parts = _parts(source, [Fraction(1, folds)] * folds, stratify, groups, rng)
    everything = np.arange(len(source))
    return [(Subset(source, np.delete(everything, rows)), Subset(source, rows)) for rows in parts]


def train_validation_split(
    x: Array, y: Array, fraction: float = 0.2, rng: int | np.random.Generator | None = 0
) -> tuple[Array, Array, Array, Array]:
    """Shuffle samples and split them into a training and a validation set.

    Parameters
    ----------
    x, y : array, shape (samples, ...)
    fraction : float
        Of ``n`` samples, ``round(fraction * n)`` are for validation.
    rng : int, numpy.random.Generator or None
        A seed gives the same split each time and on every backend; ``None`` gives a new one.

    Returns
    -------
    x_train, y_train, x_validation, y_validation : array
        Copies, in the library and on the device of ``x`` and ``y``.

    Raises
    ------
    ArgumentError
        If ``fraction`` is not between 0 and 1.
    DataError
        If ``x`` and ``y`` differ in length, or one part would be empty.

    Examples
    --------
    >>> x_train, y_train, x_validation, y_validation = train_validation_split(np.ones((10, 2)), np.arange(10))
    >>> x_train.shape, x_validation.shape
    ((8, 2), (2, 2))
    """
    if not 0 < fraction < 1:
        raise ArgumentError(f"expected a fraction between 0 and 1, got {fraction}")
    dataset = Dataset(x, y)
    validation = round(fraction * len(dataset))
    if not 0 < validation < len(dataset):
        raise DataError(
            f"expected samples on both sides, got {validation} of {len(dataset)} to validate; "
            f"change the fraction {fraction} or use more samples"
        )
    training, validating = drawn((len(dataset) - validation, validation), generator(rng))
    return (*dataset[training], *dataset[validating])


def _parts(source: Source, fractions: list[Fraction], stratify: Any, groups: Any, rng: Any) -> list[Any]:
    """Return the rows of each part, in ascending order."""
    rng = generator(rng)
    labels, group_of = _labels(source, stratify, "stratify"), _labels(source, groups, "groups")
    if group_of is not None:
        parts = drawn_by_group(group_of, labels, fractions, rng)
    elif labels is not None:
        parts = drawn_by_class(labels, fractions, rng)
    else:
        parts = drawn(apportion(len(source), fractions), rng)
    sizes = tuple(len(rows) for rows in parts)
    if 0 in sizes:
        raise DataError(
            f"expected samples in every part, got {sizes} of {counted(len(source), 'sample')}"
            f"{'' if group_of is None else ' in whole groups'}; change the fractions or use more samples"
        )
    return [np.sort(rows) for rows in parts]


def _labels(source: Source, given: Any, name: str) -> Any:
    """Return labels as a NumPy array (samples,), or None."""
    if given is None:
        return None
    if isinstance(given, (int, str)) and not isinstance(given, bool):
        given = _named(source, given, name)
    host = to_numpy(given) if is_array(given) else np.asarray(given)
    if host.shape != (len(source),):
        raise DataError(
            f"expected {name} to have one label for each of {counted(len(source), 'sample')}, got shape {host.shape}"
        )
    return host


def _named(source: Source, part: int | str, name: str) -> Array:
    if isinstance(source, Subset):
        return to_numpy(_named(source.source, part, name))[source.rows]
    if isinstance(source, Dataset):
        known = dict(zip(source.names or (), source.arrays, strict=False))
        if isinstance(part, str) and part in known:
            return known[part]
        if isinstance(part, int) and -len(source.arrays) <= part < len(source.arrays):
            return source.arrays[part]
    raise ArgumentError(
        f"expected {name} to be labels, or the position or name of an array of the data set, got {part!r} for "
        f"{source!r}"
    )

"""Splits of a data set: training and validation samples, any number of parts, and folds."""

from __future__ import annotations  # naming np.random in a signature would import it with nnx

import numpy as np

from nnx.backend import generator
from nnx.data.dataset import Dataset
from nnx.errors import ArgumentError, DataError
from nnx.types import Array


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
    order = generator(rng).permutation(len(dataset))
    x_train, y_train = dataset[order[validation:]]
    x_validation, y_validation = dataset[order[:validation]]
    return x_train, y_train, x_validation, y_validation

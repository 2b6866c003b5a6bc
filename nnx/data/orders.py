"""The order in which an epoch goes through the samples: a pure function of the seed and the epoch."""

from __future__ import annotations  # naming np.random in a signature would import it with nnx

from collections.abc import Callable
from typing import Any

import numpy as np

from nnx.backend import to_numpy
from nnx.data.base import rows_within
from nnx.errors import ArgumentError, DataError
from nnx.functional.checks import as_integer, counted
from nnx.types import Array

Sampler = Callable[[int, int], Any]
"""A function of ``(seed, epoch)`` that returns the numbers of the samples of that epoch in order."""


class WeightedSampler:
    """Draw samples with replacement, each with a probability in proportion to its weight.

    A sampler is any pure function ``sampler(seed, epoch)`` that returns row numbers; this is one.

    Parameters
    ----------
    weights : array or sequence of numbers, shape (samples,)
        Zero or more. For classes that occur equally often: ``1 / np.bincount(y)[y]``.
    samples : int, optional
        How many to draw for an epoch; by default as many as there are weights.

    Raises
    ------
    ArgumentError
        If the weights are not one axis of finite numbers >= 0 with a sum above 0, or ``samples`` is not at least 1.

    Examples
    --------
    >>> y = np.asarray([0, 0, 0, 1])
    >>> sampler = WeightedSampler(1 / np.bincount(y)[y], samples=1000)
    >>> bool(450 < np.sum(y[sampler(seed=0, epoch=0)]) < 550)
    True
    """

    def __init__(self, weights: Array, samples: int | None = None) -> None:
        host = np.asarray(to_numpy(weights), np.float64)
        if host.ndim != 1 or not np.isfinite(host).all() or (host < 0).any() or not host.sum() > 0:
            raise ArgumentError(
                "expected weights of shape (samples,), finite and >= 0, with a sum above 0, "
                f"got shape {host.shape} with values from {host.min(initial=np.inf)} to {host.max(initial=-np.inf)}"
            )
        self.probabilities = host / host.sum()
        self.samples = len(host) if samples is None else as_integer(samples, "samples", least=1)

    def __call__(self, seed: int, epoch: int) -> Any:
        """Return row numbers, a NumPy array of int64 of shape (samples,)."""
        rng = np.random.default_rng((seed, epoch))
        return rng.choice(len(self.probabilities), self.samples, p=self.probabilities)

    def __repr__(self) -> str:
        return f"WeightedSampler({counted(len(self.probabilities), 'weight')}, samples={self.samples})"


def order_of(samples: int, shuffle: bool, seed: int, epoch: int, sampler: Sampler | None = None) -> Any:
    """Return the row numbers of an epoch, a NumPy array of int64, or ``None`` for all rows as they stand.

    A sampler decides instead of ``shuffle``.

    Raises
    ------
    DataError
        If the sampler returns something else than numbers of rows, or none.
    """
    if sampler is None:
        return np.random.default_rng((seed, epoch)).permutation(samples) if shuffle else None
    try:
        rows = rows_within(np.asarray(to_numpy(sampler(seed, epoch))), samples)
    except (ArgumentError, DataError) as error:
        raise DataError(f"the sampler in epoch {epoch}: {error}") from error
    if not len(rows):
        raise DataError(f"the sampler in epoch {epoch}: expected at least one row number, got none")
    return rows.astype(np.int64)

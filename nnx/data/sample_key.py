"""What a random draw for a sample may depend on."""

from __future__ import annotations  # naming np.random in a signature would import it with nnx

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from nnx.backend import words_by_row
from nnx.types import Array


@dataclass(frozen=True, eq=False)
class SampleKey:
    """Which samples a batch holds, and in which epoch of which seed: all that a random transform may depend on.

    A :class:`DataLoader` calls ``transform(batch, key)`` if the transform has a parameter named ``key``. What it draws
    for the sample ``indices[i]`` is a function of ``(seed, epoch, indices[i])``. So the draws do not depend on the
    number of workers, on the batch that the sample is in, or on whether the run was resumed.

    Parameters
    ----------
    seed : int
        The loader's.
    epoch : int
        From 0.
    indices : NumPy array of int64, shape (batch,)
        The numbers of the samples in the data set, in the order of the batch.
    stream : str
        Distinguishes transforms of one seed, so that no two of them draw the same numbers; a :class:`Compose` gives
        each of its transforms another one.

    Examples
    --------
    >>> def brighten(x, key):
    ...     return x + key.below("brighten").uniform(1)
    >>> key = SampleKey(seed=0, epoch=3, indices=np.asarray([5, 2]))
    >>> brighten(np.zeros((2, 4)), key).shape
    (2, 4)
    """

    seed: int
    epoch: int
    indices: Any
    stream: str = "transform"

    def below(self, name: str) -> SampleKey:
        """Return the key for a part of a transform, which draws other numbers."""
        return replace(self, stream=f"{self.stream}/{name}")

    def uniform(self, count: int) -> Array:
        """Return numbers in [0, 1) for each sample: a NumPy array of float64, shape (batch, count).

        They are multiples of ``2**-32`` from a counter-based generator (:func:`nnx.backend.words_by_row`), and the same
        on every backend.
        """
        words = words_by_row(self.indices, count, seed=self.seed, stream=self.stream, step=self.epoch)
        return words.astype(np.float64) * 2.0**-32

    def generator(self) -> np.random.Generator:
        """Return a NumPy generator for what is drawn once for a batch; its seed is drawn for the first sample."""
        words = words_by_row(self.indices[:1], 4, seed=self.seed, stream=self.stream, step=self.epoch)
        return np.random.default_rng(words.reshape(-1).tolist())

"""What a random draw for a sample may depend on."""

from dataclasses import dataclass
from typing import Any


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

    Examples
    --------
    >>> import numpy as np
    >>> def jitter(x, key):
    ...     draws = [np.random.default_rng((key.seed, key.epoch, index)).normal() for index in key.indices]
    ...     return x + np.asarray(draws)[:, None]
    >>> key = SampleKey(seed=0, epoch=3, indices=np.asarray([5, 2]))
    >>> jitter(np.zeros((2, 4)), key).shape
    (2, 4)
    """

    seed: int
    epoch: int
    indices: Any

"""Batches of a data set, in an order determined by a seed."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nnx.data.dataset import Dataset, Sample, rows_like
from nnx.errors import ArgumentError, CheckpointError, DataError
from nnx.functional.checks import as_integer
from nnx.types import Array

_VERSION = 1  # of the state


class DataLoader:
    """Iterate over a data set in batches, in a new order for each epoch.

    The order of epoch ``e`` depends only on ``(seed, e)``. It is drawn on the host with NumPy and then moved, so it is
    the same on every backend. Without ``shuffle`` batches are slices, and views if the library has them.

    A new iterator always runs through a whole epoch. It starts the next epoch if the one before was finished, or
    abandoned after two batches or more. An epoch of which at most one batch was taken starts again: looking at
    ``next(iter(loader))``, or asking for an iterator, does not change later batches. The only exception is the first
    iterator after :meth:`load_state_dict`, which may continue in the middle of an epoch.

    Parameters
    ----------
    dataset : Dataset, tuple of array, or dict of array
        Arrays of shape (samples, ...). A dict gives batches that are dicts.
    batch_size : int
    shuffle : bool
    seed : int
        Zero or more.
    drop_last : bool
        Leave out a short last batch. By default it is kept, so that each epoch has every sample.

    Attributes
    ----------
    epoch : int
        The current epoch, from 0; it advances when an iterator is exhausted. Setting it chooses the next order.
    batch : int
        The number of batches of that epoch that were taken.

    Raises
    ------
    DataError
        If the data set is empty.
    ArgumentError
        If an argument is out of range, or ``drop_last`` would leave no batch.

    Examples
    --------
    >>> x, y = np.zeros((5, 2), np.float32), np.arange(5)
    >>> loader = DataLoader((x, y), batch_size=2, shuffle=False)
    >>> len(loader)
    3
    >>> for x_batch, y_batch in loader:
    ...     print(x_batch.shape, y_batch)
    (2, 2) [0 1]
    (2, 2) [2 3]
    (1, 2) [4]
    """

    def __init__(
        self,
        dataset: Dataset | tuple[Array, ...] | dict[str, Array],
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        self.dataset = _as_dataset(dataset)
        self.batch_size = as_integer(batch_size, "batch_size", least=1)
        self.shuffle = shuffle
        self.seed = as_integer(seed, "seed", least=0)
        self.drop_last = drop_last
        self._epoch = self._batch = 0
        self._taken = 0  # the number of batches that the current iterator has yielded
        self._iterator = 0  # the number of the current iterator: the last that was started
        if not len(self.dataset):
            raise DataError("expected a data set with samples, got one with none; check what was loaded or selected")
        if not len(self):
            raise ArgumentError(
                f"expected a batch_size of at most {len(self.dataset)} samples with drop_last, "
                f"got {batch_size}; use smaller batches or keep the last one"
            )

    def __len__(self) -> int:
        """Return the number of batches in an epoch."""
        full, rest = divmod(len(self.dataset), self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        """Run through an epoch. Of several iterators, only the last that was started moves the loader's position."""
        epoch, start = self._begin()
        own = self._iterator
        for number, batch in enumerate(self._batches(epoch, start), start=start + 1):
            if own == self._iterator:
                self._batch, self._taken = number, self._taken + 1  # before the yield: a state may be saved in the loop
            yield batch
        if own == self._iterator:
            self._go_to(epoch + 1, 0)

    @property
    def epoch(self) -> int:
        """The current epoch, from 0."""
        return self._epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        self._go_to(as_integer(value, "epoch", least=0), 0)

    @property
    def batch(self) -> int:
        """The number of batches of that epoch that were taken."""
        return self._batch

    def state_dict(self) -> dict[str, int]:
        """Return the position in the data: ``{"version": 1, "epoch": ..., "batch": batches taken of it}``.

        A batch counts as soon as it is yielded, so that a state saved in the body of a loop continues after the current
        batch. A batch that was only looked at counts too.
        """
        return {"version": _VERSION, "epoch": self._epoch, "batch": self._batch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a position that :meth:`state_dict` returned, with the rest of that epoch in the same order.

        After the last batch of an epoch the rest is empty, so that a loop that was stopped there first ends that epoch.
        The loader must have the same data, seed and batch size. A state of nnx 0.1, ``{"epoch": n}``, means the start
        of that epoch.

        Raises
        ------
        CheckpointError
            If the state is not such a position, or this loader does not have it.
        """
        epoch, batch = state.get("epoch", 0), state.get("batch", 0)
        known = [{"epoch"}, {"version", "epoch", "batch"}]
        if set(state) not in known or not all(type(value) is int and value >= 0 for value in state.values()):
            raise CheckpointError(
                f"expected a loader's state {self.state_dict()} with other numbers, got {dict(state)}"
            )
        if state.get("version", _VERSION) != _VERSION:
            raise CheckpointError(
                f"expected a loader's state of version {_VERSION}, got {state['version']}; update nnx"
            )
        if batch > len(self):
            raise CheckpointError(
                f"expected a position in an epoch of {len(self)} batches, got {batch} taken; "
                "make the loader with the data and the batch size that it had"
            )
        self._go_to(epoch, batch)

    def __repr__(self) -> str:
        order = f"seed={self.seed}" if self.shuffle else "shuffle=False"
        return f"DataLoader({self.dataset!r}, batch_size={self.batch_size}, {order}, drop_last={self.drop_last})"

    def _go_to(self, epoch: int, batch: int) -> None:
        self._epoch, self._batch, self._taken = epoch, batch, 0
        self._iterator += 1  # running iterators no longer move the position

    def _begin(self) -> tuple[int, int]:
        """Return where a new iterator starts: the epoch, and the number of its batches to skip."""
        # Taken is counted from where the last iterator started, so that one batch of a resumed epoch may be looked at.
        left = self._taken > 1
        self._go_to(self._epoch + left, 0 if left else self._batch - self._taken)
        return self._epoch, self._batch

    def _batches(self, epoch: int, start: int) -> Iterator[Sample]:
        size, samples = self.batch_size, len(self.dataset)
        slices = (slice(i * size, min((i + 1) * size, samples)) for i in range(start, len(self)))
        if not self.shuffle:
            return (self.dataset[rows] for rows in slices)
        order = np.random.default_rng((self.seed, epoch)).permutation(samples)
        rows = rows_like(order, self.dataset.arrays[0])  # moved once per epoch, not once per batch
        return (self.dataset.take(rows[batch]) for batch in slices)


def _as_dataset(data: Any) -> Dataset:
    if isinstance(data, Dataset):
        return data
    if isinstance(data, dict) and all(isinstance(name, str) for name in data):
        return Dataset(**data)
    if not isinstance(data, (tuple, list)):
        raise ArgumentError(
            "expected a Dataset, a tuple of arrays, or a dict of them with names, "
            f"got {type(data).__name__}; write (x,) for a single array"
        )
    return Dataset(*data)

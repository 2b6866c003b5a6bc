"""Batches of a data set, in an order that a seed decides."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nnx.data.dataset import Dataset, Sample, rows_like
from nnx.errors import ArgumentError, CheckpointError, DataError
from nnx.types import Array

_VERSION = 1  # of the state


class DataLoader:
    """Iterate over a data set in batches, each epoch in an order of its own.

    The order of epoch ``e`` is a function of ``(seed, e)`` alone, drawn on the host by NumPy and then moved:
    the same on every backend. Without ``shuffle`` batches are slices, views where the library has them.

    A new iterator always goes through a whole epoch. It is a new epoch if the one before was finished, or was left
    after its second batch. An epoch of which at most one batch was taken begins again: to look at
    ``next(iter(loader))``, or to ask for an iterator, changes no later batch. The one exception is the first iterator
    after :meth:`load_state_dict`, which goes on in the middle of an epoch.

    Parameters
    ----------
    dataset : Dataset, tuple of array, or dict of array
        Arrays of shape (samples, ...). A dict gives batches that are dicts.
    batch_size : int
    shuffle : bool
    seed : int
        Zero or more.
    drop_last : bool
        Leave out the last batch where it is short. It is kept by default, so each epoch sees every sample.

    Attributes
    ----------
    epoch : int
        The epoch in which the loader is, counted from 0; it moves on when an iterator says that there are no more
        batches. Setting it chooses the next order.
    batch : int
        How many batches of that epoch were taken.

    Raises
    ------
    DataError
        If the data set is empty.
    ArgumentError
        If an argument is out of its range, or ``drop_last`` would leave no batch.

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
        self.batch_size = _integer(batch_size, "batch_size", least=1)
        self.shuffle = shuffle
        self.seed = _integer(seed, "seed", least=0)
        self.drop_last = drop_last
        self._epoch = self._batch = 0
        self._taken = 0  # batches that the iterator took which moves the position
        self._iterator = 0  # its number: it is the last to have begun
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
        """Go through an epoch. Of several iterators at once, the last to have begun moves the loader's position."""
        epoch, start = self._begin()
        own = self._iterator
        for number, batch in enumerate(self._batches(epoch, start), start=start + 1):
            if own == self._iterator:
                self._batch, self._taken = number, self._taken + 1
            yield batch
        if own == self._iterator:
            self._go_to(epoch + 1, 0)

    @property
    def epoch(self) -> int:
        """The epoch in which the loader is."""
        return self._epoch

    @epoch.setter
    def epoch(self, value: int) -> None:
        self._go_to(_integer(value, "epoch", least=0), 0)

    @property
    def batch(self) -> int:
        """How many batches of that epoch were taken."""
        return self._batch

    def state_dict(self) -> dict[str, int]:
        """Return the position in the data: ``{"version": 1, "epoch": ..., "batch": batches taken of it}``.

        A batch counts from the moment it is handed out, so that a state saved in a loop's body goes on after the batch
        in hand; one that was only looked at counts too.
        """
        return {"version": _VERSION, "epoch": self._epoch, "batch": self._batch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a position that :meth:`state_dict` gave, with the rest of that epoch in the same order.

        After the last batch of an epoch the rest is empty, so that a loop that was stopped there ends the same epoch.
        The loader must have the same data, seed and batch size. A state of nnx 0.1, ``{"epoch": n}``, is the
        beginning of that epoch.

        Raises
        ------
        CheckpointError
            If the state is not such a position, or is one that this loader has not.
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
        self._iterator += 1  # those that are under way move the position no longer

    def _begin(self) -> tuple[int, int]:
        """Return where a new iterator starts: the epoch, and the batches of it that were taken already."""
        left = self._taken > 1
        self._go_to(self._epoch + left, 0 if left else self._batch - self._taken)
        return self._epoch, self._batch

    def _batches(self, epoch: int, start: int) -> Iterator[Sample]:
        size, samples = self.batch_size, len(self.dataset)
        slices = (slice(i * size, min((i + 1) * size, samples)) for i in range(start, len(self)))
        if not self.shuffle:
            return (self.dataset[rows] for rows in slices)
        order = np.random.default_rng((self.seed, epoch)).permutation(samples)
        rows = rows_like(order, self.dataset.arrays[0])  # moved once an epoch, not once a batch
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


def _integer(value: Any, name: str, least: int) -> int:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ArgumentError(f"expected {name} to be an integer of at least {least}, got {value!r}")
    return int(value)

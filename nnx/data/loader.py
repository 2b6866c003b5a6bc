"""Batches of a data set, in an order that a seed decides."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from nnx.data.dataset import Dataset, rows_like, take_rows
from nnx.errors import ArgumentError, CheckpointError, DataError
from nnx.types import Array


class DataLoader:
    """Iterate over a data set in batches, each time in a new order.

    The order of epoch ``e`` is a function of ``(seed, e)`` alone, drawn on the host by NumPy and then moved:
    the same on every backend. Without ``shuffle`` batches are slices, views where the library has them.

    Parameters
    ----------
    dataset : Dataset or tuple of array
        Arrays of shape (samples, ...).
    batch_size : int
    shuffle : bool
    seed : int
        Zero or more.
    drop_last : bool
        Leave out the last batch where it is short. It is kept by default, so each epoch sees every sample.

    Attributes
    ----------
    epoch : int
        Epochs begun so far, and so the number of the next one. Setting it chooses the next order.

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
        dataset: Dataset | tuple[Array, ...],
        batch_size: int,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        self.dataset = dataset if isinstance(dataset, Dataset) else Dataset(*_arrays(dataset))
        self.batch_size = _integer(batch_size, "batch_size", least=1)
        self.shuffle = shuffle
        self.seed = _integer(seed, "seed", least=0)
        self.drop_last = drop_last
        self.epoch = 0
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

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        """Begin an epoch."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        return self._shuffled(epoch) if self.shuffle else self._sliced()

    def state_dict(self) -> dict[str, int]:
        """Return the position in the data: ``{"epoch": epochs begun}``."""
        return {"epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a position that :meth:`state_dict` gave: the next epochs come in the same order.

        Raises
        ------
        CheckpointError
            If the state is not such a position.
        """
        epoch = state.get("epoch")
        if set(state) != {"epoch"} or not isinstance(epoch, int) or epoch < 0:
            raise CheckpointError(f"expected the loader's state {{'epoch': 0 or more}}, got {dict(state)}")
        self.epoch = epoch

    def __repr__(self) -> str:
        order = f"seed={self.seed}" if self.shuffle else "shuffle=False"
        return f"DataLoader({self.dataset!r}, batch_size={self.batch_size}, {order}, drop_last={self.drop_last})"

    def _sliced(self) -> Iterator[tuple[Array, ...]]:
        return (self.dataset[rows] for rows in self._batches())

    def _shuffled(self, epoch: int) -> Iterator[tuple[Array, ...]]:
        arrays = self.dataset.arrays
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.dataset))
        rows = rows_like(order, arrays[0])  # moved once an epoch, not once a batch
        return (take_rows(arrays, rows[batch]) for batch in self._batches())

    def _batches(self) -> Iterator[slice]:
        starts = range(0, len(self) * self.batch_size, self.batch_size)
        return (slice(start, min(start + self.batch_size, len(self.dataset))) for start in starts)


def _arrays(dataset: Any) -> tuple[Array, ...]:
    if not isinstance(dataset, (tuple, list)):
        raise ArgumentError(
            f"expected a Dataset or a tuple of arrays, got {type(dataset).__name__}; write (x,) for a single array"
        )
    return tuple(dataset)


def _integer(value: Any, name: str, least: int) -> int:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
        raise ArgumentError(f"expected {name} to be an integer of at least {least}, got {value!r}")
    return int(value)

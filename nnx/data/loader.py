"""Batches of a data set, in an order determined by a seed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

from nnx.data.batch_reader import BatchReader
from nnx.data.orders import Sampler
from nnx.errors import CheckpointError, UsageError
from nnx.functional.checks import as_integer, counted
from nnx.types import Tree

_VERSION = 1  # of the state


class LengthError(UsageError, TypeError):
    """The number of batches is not known. A TypeError, so that ``list(loader)`` does without it."""


class DataLoader(BatchReader):
    """Iterate over a data set in batches, in a new order for each epoch.

    The order of epoch ``e`` depends only on ``(seed, e)``. It is drawn on the host with NumPy, so it is the same on
    every backend. Without ``shuffle`` batches of arrays are slices, and views if the library has them.

    A new iterator always runs through a whole epoch. It starts the next epoch if the one before was finished, or
    abandoned after two batches or more. An epoch of which at most one batch was taken starts again: looking at
    ``next(iter(loader))``, or asking for an iterator, does not change later batches. The only exception is the first
    iterator after :meth:`load_state_dict`, which may continue in the middle of an epoch.

    Parameters
    ----------
    dataset : Source, Stream, or what :func:`as_dataset` takes
        Most often a tuple of arrays of shape (samples, ...). A dict gives batches that are dicts.
    batch_size : int or None
        ``None`` for a data set or stream whose items are batches already.
    shuffle : bool
    seed : int
        Zero or more.
    drop_last : bool
        Leave out a short last batch. By default it is kept, so that each epoch has every sample.
    sampler : callable, optional
        ``sampler(seed, epoch)`` returns the row numbers of an epoch in order, and ``shuffle`` has no effect; see
        :class:`WeightedSampler`. It must be a pure function, so that a run can be resumed.
    collate : callable, optional
        ``collate(samples)`` makes a batch of a list of samples, for example by padding them. By default data sets do it
        themselves: by slicing arrays, or with :func:`collate`.
    transform : callable, optional
        ``transform(batch)`` or, if it has a parameter of that name, ``transform(batch, key=key)`` with a
        :class:`SampleKey`. It may be called in several threads at once.
    workers : int
        The number of threads that read, collate, transform and move batches while the loop works on others. They
        change neither the order nor the values of batches. A stream has at most one.
    prefetch : int, optional
        How many batches are read ahead; by default two for each worker. They are in memory at the same time.
    to : str, optional
        Where batches are moved to last, as in :func:`nnx.to_device`: ``"torch:cuda:0"``, ``"cupy"``. With workers this
        happens ahead of use. Memory is not pinned.

    Attributes
    ----------
    epoch : int
        The current epoch, from 0; it advances when an iterator is exhausted. Setting it chooses the next order.
    batch : int
        The number of batches of that epoch that were taken. Batches that are only read ahead do not count.

    Raises
    ------
    DataError
        If the data set is empty. While iterating: what is wrong with a sample, with its number.
    ArgumentError
        If an argument is out of range or does not fit the data, or ``drop_last`` would leave no batch.
    BackendError, DeviceError
        If ``to`` is not available.

    Examples
    --------
    >>> import numpy as np
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
        dataset: Any,
        batch_size: int | None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
        *,
        sampler: Sampler | None = None,
        collate: Callable[[Sequence[Tree]], Tree] | None = None,
        transform: Callable[..., Tree] | None = None,
        workers: int = 0,
        prefetch: int | None = None,
        to: str | None = None,
    ) -> None:
        super().__init__(
            dataset, batch_size, shuffle, seed, drop_last, sampler, collate, transform, workers, prefetch, to
        )
        self._epoch = self._batch = 0
        self._taken = 0  # the number of batches that the current iterator has yielded
        self._iterator = 0  # the number of the current iterator: the last that was started

    def __len__(self) -> int:
        """Return the number of batches in the current epoch.

        Raises
        ------
        LengthError
            If the data set is a stream without a length. It is a UsageError and a TypeError.
        """
        samples = self.samples(self._epoch)
        if samples is None:
            raise LengthError("expected a stream of known length, got one without; pass nnx.data.Stream(..., length=n)")
        return self.count(samples)

    def __iter__(self) -> Iterator[Any]:
        """Run through an epoch. Of several iterators, only the last that was started moves the loader's position."""
        epoch, start = self._begin()
        own = self._iterator
        with closing(self.batches(epoch, start)) as batches:
            for number, batch in enumerate(batches, start=start + 1):
                if own == self._iterator:  # before the yield: a state may be saved in the loop
                    self._batch, self._taken = number, self._taken + 1
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
        if not isinstance(state, Mapping):
            raise CheckpointError(f"expected a loader's state, a dict, got a {type(state).__name__}")
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
        if self.samples(epoch) is not None and batch > len(self):
            raise CheckpointError(
                f"expected a position in an epoch of {counted(len(self), 'batch')}, got {batch} taken; "
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

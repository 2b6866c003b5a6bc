"""How the batches of an epoch are read, collated, transformed and moved."""

import itertools
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from typing import Any

import numpy as np

from nnx.backend import to_device
from nnx.data.base import Source, add_context, located
from nnx.data.collation import collate as collate_alike
from nnx.data.orders import Sampler, order_of
from nnx.data.parameters import takes
from nnx.data.reading_ahead import read_ahead
from nnx.data.sample_key import SampleKey
from nnx.data.sources import as_dataset
from nnx.data.streams import Stream, rows_of
from nnx.errors import ArgumentError, DataError
from nnx.functional.checks import as_integer, counted
from nnx.types import Tree

_END = object()  # of a stream
_OWN_NUMBERS = 2**32  # for the samples of each batch, if the source gives batches

Read = Callable[[int], tuple[Tree, Any]]
"""A function of the number of a batch in its epoch, that returns the batch and the numbers of its samples."""


class BatchReader:
    """The options of a :class:`DataLoader`, without a position in the data.

    Its parameters are described there.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None,
        shuffle: bool,
        seed: int,
        drop_last: bool,
        sampler: Sampler | None,
        collate: Callable[[Sequence[Tree]], Tree] | None,
        transform: Callable[..., Tree] | None,
        workers: int,
        prefetch: int | None,
        to: str | None,
    ) -> None:
        self.dataset: Any = dataset if isinstance(dataset, Stream) else as_dataset(dataset)
        self.batch_size = None if batch_size is None else as_integer(batch_size, "batch_size", least=1)
        self.shuffle = shuffle
        self.seed = as_integer(seed, "seed", least=0)
        self.drop_last = drop_last
        self.sampler, self.collate, self.transform, self.to = sampler, collate, transform, to
        self.workers = as_integer(workers, "workers", least=0)
        self.prefetch = 2 * self.workers if prefetch is None else as_integer(prefetch, "prefetch", least=1)
        self._check()

    def batches(self, epoch: int, start: int = 0) -> Generator[Tree, None, None]:
        """Yield the batches of an epoch from number ``start`` on; the threads end with the iterator."""
        source = self.dataset
        if isinstance(source, Stream):
            numbers: Iterable[int] = itertools.count(start)
            read = self._read_stream(source, epoch, start)
        else:
            order = self.order(epoch)
            count = len(source) if order is None else len(order)
            numbers = range(start, self.count(count))
            read = self._read_indexed(source, order, count)
        finished = self._finisher(read, epoch)
        with closing(read_ahead(finished, numbers, self.workers, self.prefetch)) as batches:
            yield from itertools.takewhile(lambda batch: batch is not _END, batches)

    def samples(self, epoch: int) -> int | None:
        """Return the number of samples in an epoch, if it is known; of batches, if the source gives these."""
        if isinstance(self.dataset, Stream):
            return self.dataset.length
        return len(self.dataset) if self.sampler is None else len(self.order(epoch))

    def count(self, samples: int) -> int:
        """Return how many batches that many samples make."""
        full, rest = divmod(samples, self.batch_size or 1)
        return full + (rest > 0 and not self.drop_last)

    def order(self, epoch: int) -> Any:
        """Return the row numbers of an epoch, a NumPy array of int64, or ``None`` for all rows as they stand."""
        assert isinstance(self.dataset, Source)
        return order_of(len(self.dataset), self.shuffle, self.seed, epoch, self.sampler)

    def _read_stream(self, stream: Stream, epoch: int, start: int) -> Read:
        collate = (lambda samples, numbers: self.collate(samples)) if self.collate else collate_alike
        batches = stream.batches(epoch, start, self.batch_size, self.drop_last, collate)
        return lambda number: next(batches, (_END, None))

    def _read_indexed(self, source: Source, order: Any, samples: int) -> Read:
        size, collate = self.batch_size, self.collate

        def rows(part: slice) -> Any:
            return np.arange(part.start, part.stop) if order is None else order[part]

        if size is None:

            def read_item(number: int) -> tuple[Tree, Any]:
                row = number if order is None else int(order[number])
                batch = located(source.sample, row)
                return batch, row * _OWN_NUMBERS + np.arange(rows_of(batch))

            return read_item
        of_part = source.reader(order) if collate is None else lambda part: collate(source.samples(rows(part)))

        def read(number: int) -> tuple[Tree, Any]:
            part = slice(number * size, min((number + 1) * size, samples))
            return of_part(part), rows(part)

        return read

    def _finisher(self, read: Read, epoch: int) -> Callable[[int], Tree]:
        """Return a function that reads a batch and does everything else to it, in whatever thread it runs."""
        transform = self.transform
        wants_key = transform is not None and takes(transform, "key")

        def finish(number: int) -> Tree:
            try:
                batch, numbers = read(number)
                if batch is _END:
                    return batch
                if transform is not None:
                    key = {"key": SampleKey(self.seed, epoch, numbers)} if wants_key else {}
                    batch = transform(batch, **key)
                return batch if self.to is None else to_device(batch, self.to)
            except Exception as error:
                add_context(error, f"batch {number} of epoch {epoch}")
                raise

        return finish

    def _check(self) -> None:
        if isinstance(self.dataset, Stream):
            if self.shuffle or self.sampler is not None:
                raise ArgumentError(
                    "expected shuffle=False and no sampler for a stream, which has an order of its own; "
                    "shuffle where it is made"
                )
            if self.workers > 1:
                raise ArgumentError(f"expected at most 1 worker for a stream, got {self.workers}; it is read in order")
        elif not len(self.dataset):
            raise DataError("expected a data set with samples, got one with none; check what was loaded or selected")
        for name in ("collate", "transform"):
            if (function := getattr(self, name)) is not None and not callable(function):
                raise ArgumentError(f"expected {name} to be a function, got {function!r}")
        if self.prefetch and not self.workers:
            raise ArgumentError(
                f"expected workers to read {counted(self.prefetch, 'batch')} ahead, got 0; pass workers=1 or more"
            )
        if self.batch_size is None and (self.drop_last or self.collate is not None):
            raise ArgumentError("expected no drop_last and no collate with batch_size=None; both are about samples")
        if self.to is not None:
            to_device(np.zeros(0, np.float32), self.to)
        samples = self.samples(0)
        if samples is not None and not self.count(samples):
            raise ArgumentError(
                f"expected a batch_size of at most {counted(samples, 'sample')} with drop_last, "
                f"got {self.batch_size}; use smaller batches or keep the last one"
            )

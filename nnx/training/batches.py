"""The batches of an epoch from whatever a user has: arrays, a loader, or any iterable of batches."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from nnx.backend import is_array, to_device
from nnx.data import DataLoader, Dataset
from nnx.errors import ArgumentError, DataError
from nnx.types import Tree


def as_batches(data: Any, batch_size: int, *, shuffle: bool, seed: int = 0) -> Any:
    """Return an iterable of batches: a loader of arrays, or ``data`` itself if it is one already.

    Raises
    ------
    ArgumentError
        If ``data`` is neither arrays nor an iterable of batches.
    """
    if is_array(data):
        data = Dataset(data)
    is_tuple = isinstance(data, (tuple, Dataset)) or (isinstance(data, Mapping) and all(map(is_array, data.values())))
    if is_tuple:
        return DataLoader(data, batch_size, shuffle=shuffle, seed=seed)
    if isinstance(data, list) and len(data) > 1 and all(map(is_array, data)):
        raise ArgumentError(
            f"expected arrays as a tuple, got a list of {len(data)}, which would be so many batches; write (x, target)"
        )
    if not isinstance(data, Iterable) or isinstance(data, (str, bytes, Mapping)):
        raise ArgumentError(
            "expected arrays (x, target), a DataLoader, or another iterable of batches, "
            f"got {type(data).__name__}; write DataLoader(data, batch_size=...)"
        )
    return data


def state_of(loader: Any) -> dict[str, Any] | None:
    """Return the position of a loader, or ``None`` if it has no state."""
    return dict(loader.state_dict()) if hasattr(loader, "state_dict") else None


def count_of(loader: Any) -> int | None:
    """Return the number of batches in an epoch, ``None`` if that is not known, as of a stream."""
    try:
        return len(loader)
    except TypeError:
        return None


def rest_of_epoch(loader: Iterable[Tree], taken: int, device: str | None = None) -> Iterator[Tree]:
    """Iterate over an epoch of which some batches were taken before.

    A loader that has a state knows its position. Of other iterables the batches that were taken are skipped, so they
    must be the same in each pass, or new ones each time they are asked. With a device, batches are moved there.

    Raises
    ------
    DataError
        If an epoch has no batch.
    """
    has_state = hasattr(loader, "load_state_dict")
    count = 0
    for attempt in range(2):  # a loader that was left at the end of an epoch has nothing left of it
        batches = iter(loader) if has_state else islice(iter(loader), taken, None)
        for batch in batches:
            count += 1
            yield batch if device is None else to_device(batch, device)
        if count or taken or not has_state or attempt:
            break
    if not count and not taken:
        raise DataError(
            "expected at least one batch, got none; an iterator is used up after one epoch: "
            "hand over a DataLoader or a list of batches"
        )


def one_pass(loader: Any, device: str | None = None) -> Iterator[Tree]:
    """Iterate over all batches to evaluate a model: always in the order of the first epoch, and without moving on."""
    return rest_of_epoch(loader.batches(0) if isinstance(loader, DataLoader) else loader, 0, device)

"""Find the batch whose loss or gradient is not finite, without repeating the epoch.

The loss of a batch and its gradients are examined before the update. Where values are cheap to read, that is all: the
first that is not finite ends the epoch, with the weights still as they were for that batch. On other devices nothing
may be read before the end of the epoch. There, the first such batch raises a flag on the device, and from then on
neither the batch that is kept nor the weights are replaced: ``where(flag, old, new)`` takes the old ones. At the end of
the epoch both are those of the bad batch. To skip bad batches instead, one flag is read in each step, on any device.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, NoReturn

from nnx.backend import device_of, dtype_name, is_array, is_cheap_to_read, is_finite, namespace, to_numpy
from nnx.layers import Module
from nnx.optimizers import all_finite
from nnx.training.diagnosis import not_finite, raise_not_finite, raise_not_finite_gradient
from nnx.tree import tree_flatten, tree_split
from nnx.types import Array, Tree

_KINDS_KEPT = 8  # after so many batches of different shapes, the flag is read and they are dropped


class Watch:
    """Examines the loss and the gradients of each batch of an epoch.

    For each batch call :meth:`begin`, then :meth:`examine` before the update, then :meth:`end`; after the last batch
    :meth:`flags` and :meth:`finish`.

    Parameters
    ----------
    model : Module
    loss : callable
        Named in the error.
    label : callable
        Gives the number of a batch, from 1, as text for the error: ``"epoch 3, batch 7"``.
    optimizer : optional
        Its state is kept from a bad batch too, if it has ``state_dict`` and ``load_state_dict``.
    start : int
        How many batches of the epoch came before.
    skips : bool
        Whether bad batches are skipped instead of ending the epoch.

    Attributes
    ----------
    first_skipped : str or None
        What was wrong with the first batch that was skipped.
    """

    def __init__(
        self,
        model: Module,
        loss: Any,
        label: Callable[[int], str],
        optimizer: Any = None,
        start: int = 0,
        *,
        skips: bool = False,
    ) -> None:
        self._model, self._loss, self._label = model, loss, label
        holders = (model, optimizer) if hasattr(optimizer, "load_state_dict") else (model,)
        self._holders: tuple[Any, ...] = holders
        self._updates = optimizer is not None
        self._skips = skips
        self._holds_all: bool | None = None  # known from the first batch
        self._number = self._start = start
        self._before: list[dict[str, Any]] = []
        self._record: _Record | None = None
        self.first_skipped: str | None = None

    def begin(self, batch: Tree) -> None:
        """Hold the state before the batch: all of it on a device, else only buffers, which the forward pass changes."""
        self._number += 1
        if self._holds_all is None:
            leaves = tree_flatten(batch).values()
            may_read = self._skips or not any(is_array(leaf) and not is_cheap_to_read(leaf) for leaf in leaves)
            self._holds_all = self._updates and not may_read
        if self._holds_all:
            self._before = [holder.state_dict() for holder in self._holders]
        else:
            self._before = [{path: buffer.snapshot() for path, buffer in self._model.buffers().items()}]

    def examine(self, batch: Tree, value: Array, gradients: Mapping[str, Array] | None = None) -> bool:
        """Examine the loss of the batch and, if there are any, its gradients; return whether the batch counts.

        Raises
        ------
        NonFiniteError
            If one is not finite and can be read without waiting for a device, and bad batches are not skipped.
        """
        if self._skips:
            if bool(to_numpy(finite(value, gradients))):
                return True
            self.first_skipped = self.first_skipped or self._describe(value, gradients)
            self.undo()
            return False
        if not is_cheap_to_read(value):
            self._record = self._record or _Record(value)
            numbers = [_numbers(state) for state in self._before]
            if self._record.add(batch, value, finite(value, gradients), numbers) > _KINDS_KEPT:
                self.finish(self.flags())
                self._record.forget()
        elif not (math.isfinite(value) and (gradients is None or all(map(is_finite, gradients.values())))):
            self._fail(self._number, batch, float(value), self._before, gradients)
        return True

    def undo(self) -> None:
        """Put the state from before the batch back, as far as it is held."""
        for holder, state in zip(self._holders, self._before, strict=False):
            arrays = {path: value for path, value in holder.state_dict().items() if is_array(value)}
            holder.load_state_dict(arrays | state)  # all numbers are held, and one may be new since

    def end(self) -> None:
        """On a device, undo the update if this batch or an earlier one was bad, without reading whether it was."""
        if self._record is not None and self._updates:
            for holder, before in zip(self._holders, self._before, strict=True):
                if any(is_array(value) for value in before.values()):
                    holder.load_state_dict(self._record.choose(before, holder.state_dict()))
        self._before = []

    def flags(self) -> list[Array]:
        """Return what :meth:`finish` needs from the device, as numbers that can be read together with others."""
        return [] if self._record is None else self._record.flags()

    def finish(self, flags: Iterable[Any]) -> None:
        """Raise NonFiniteError if there was a bad batch, given the values of :meth:`flags`, read or not."""
        read = [float(to_numpy(flag)) if is_array(flag) else flag for flag in flags]
        if self._record is None or not read[0]:
            return
        number = int(read[1]) + 1
        batch, numbers = self._record.batch(number)
        self._before = numbers
        self._fail(self._start + number, batch, read[2], numbers, None)

    def _describe(self, value: Array, gradients: Mapping[str, Array] | None) -> str:
        number, path = float(to_numpy(value)), not_finite(dict(gradients or {}))
        what = f"the loss became {number}" if not math.isfinite(number) else f"the gradient of {path!r} was not finite"
        return f"{what} in {self._label(self._number)}"

    def _fail(
        self,
        number: int,
        batch: Tree,
        value: float,
        before: list[dict[str, Any]],
        gradients: Mapping[str, Array] | None,
    ) -> NoReturn:
        self._before = before
        self.undo()
        where = self._label(number)
        if math.isfinite(value):
            raise_not_finite_gradient(not_finite(dict(gradients or {})), value, where)
        raise_not_finite(self._model, self._loss, batch, value, where)


def finite(value: Array, gradients: Mapping[str, Array] | None = None) -> Array:
    """Return whether a loss and its gradients are finite, as an array of shape (); nothing is read."""
    return all_finite({"loss": value, **(gradients or {})})


class _Met(NamedTuple):
    """What the host keeps of a batch: its kind, its leaves that are not on the device, and the numbers before it."""

    kind: tuple[Any, ...]
    rest: tuple[Any, ...]
    numbers: list[dict[str, Any]]


class _Record:
    """The first bad batch, kept on a device without reading anything.

    Arrays of one kind, that is of the same shapes and dtypes, share one batch, which each new one replaces unless a bad
    one came before. ``numbers`` are the parts of states that are Python numbers, and so on the host anyway.
    """

    def __init__(self, value: Array) -> None:
        xp = namespace(value)
        self._value = value
        self._is_bad = xp.zeros((), dtype=xp.bool, device=device_of(value))
        self._good = xp.zeros((), dtype=xp.int32, device=device_of(value))
        self._kept: dict[tuple[Any, ...], Tree] = {}
        self._met: list[_Met] = []

    def add(self, batch: Tree, value: Array, is_finite: Array, numbers: list[dict[str, Any]]) -> int:
        """Keep a batch, unless an earlier one was bad; return how many are kept, one of each kind."""
        xp, was_bad = namespace(value), self._is_bad
        leaves, rebuild = tree_split(batch)
        on_device = [self._is_here(leaf) for leaf in leaves.values()]
        kind = tuple(
            (path, tuple(leaf.shape), dtype_name(leaf.dtype)) if here else path
            for (path, leaf), here in zip(leaves.items(), on_device, strict=True)
        )
        rest = tuple(leaf for leaf, here in zip(leaves.values(), on_device, strict=True) if not here)
        self._met.append(_Met(kind, rest, numbers))
        # A batch that is not kept yet cannot be chosen against another of other shapes: each kind has its own.
        if kind in self._kept:
            kept = tree_flatten(self._kept[kind]).values()
            chosen = (
                xp.where(was_bad, old, new) if here else None
                for old, new, here in zip(kept, leaves.values(), on_device, strict=True)
            )
            self._kept[kind] = rebuild(list(chosen))
        else:
            self._kept[kind] = batch
        # In this order: the flag from before this batch decides whether its loss is the one to keep.
        self._value = xp.where(was_bad, self._value, value)
        self._is_bad = xp.logical_or(was_bad, xp.logical_not(is_finite))
        self._good = self._good + xp.astype(xp.logical_not(self._is_bad), xp.int32)
        return len(self._kept)

    def forget(self) -> None:
        """Drop the batches that are kept, once it is known that none of them was bad."""
        self._kept.clear()

    def choose(self, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
        """Return a state with the arrays from before if a batch was bad, else with those from after the update."""
        xp, chosen = namespace(self._is_bad), dict(after)
        for path, new in after.items():
            old = before.get(path)
            if new is not old and is_array(old) and self._is_here(new):  # frozen parameters need no selection
                chosen[path] = xp.where(self._is_bad, old, new)
        return chosen

    def flags(self) -> list[Array]:
        """Return whether a batch was bad, how many were good before it, and its loss."""
        return [self._is_bad, self._good, self._value]

    def batch(self, number: int) -> tuple[Tree, list[dict[str, Any]]]:
        """Return the bad batch, whose number, from 1, this must be, and the numbers before it."""
        met = self._met[number - 1]
        leaves, rebuild = tree_split(self._kept[met.kind])
        rest = iter(met.rest)
        found = [leaf if self._is_here(leaf) else next(rest) for leaf in leaves.values()]
        return rebuild(found), met.numbers

    def _is_here(self, leaf: Any) -> bool:
        return (
            is_array(leaf)
            and namespace(leaf) is namespace(self._is_bad)
            and bool(device_of(leaf) == device_of(self._is_bad))
        )


def _numbers(state: dict[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in state.items() if not is_array(value)}

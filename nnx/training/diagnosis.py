"""Find the batch whose loss is not finite, and the layer where it began, without repeating the epoch.

The loss of a batch is examined before the update. Where values are cheap to read, that is all: the first loss that is
not finite ends the epoch, with the weights still as they were for that batch. On other devices nothing may be read
before the end of the epoch. There, the first such batch raises a flag on the device, and from then on neither the batch
that is kept nor the weights are replaced: ``where(flag, old, new)`` takes the old ones. At the end of the epoch both
are those of the bad batch.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

from nnx.backend import device_of, dtype_name, is_array, is_cheap_to_read, is_finite, namespace, to_numpy
from nnx.errors import NonFiniteError
from nnx.layers import Module, layer_outputs
from nnx.training.step import parts_of
from nnx.tree import tree_flatten, tree_split
from nnx.types import Array, Tree

_ADVICE = "use a smaller learning rate, or check the data"
_KINDS_KEPT = 8  # after so many batches of different shapes, the flag is read and they are dropped


class Watch:
    """Examines the loss of each batch of an epoch.

    For each batch call :meth:`begin`, then :meth:`examine` before the update, then :meth:`end`; after the last batch
    :meth:`flags` and :meth:`finish`.

    Parameters
    ----------
    model : Module
    loss : callable
        Named in the error.
    where : str
        The text before the number of the batch in the error: ``"epoch 3, batch"``.
    optimizer : optional
        Its state is kept from a bad batch too, if it has ``state_dict`` and ``load_state_dict``.
    """

    def __init__(self, model: Module, loss: Any, where: str, optimizer: Any = None) -> None:
        self._model, self._loss, self._where = model, loss, where
        holders = (model, optimizer) if hasattr(optimizer, "load_state_dict") else (model,)
        self._holders: tuple[Any, ...] = holders
        self._updates = optimizer is not None
        self._holds_all: bool | None = None  # known from the first batch
        self._number = 0
        self._before: list[dict[str, Any]] = []
        self._record: _Record | None = None

    def begin(self, batch: Tree) -> None:
        """Hold the state before the batch: all of it on a device, else only buffers, which the forward pass changes."""
        self._number += 1
        if self._holds_all is None:
            leaves = tree_flatten(batch).values()
            self._holds_all = self._updates and any(is_array(leaf) and not is_cheap_to_read(leaf) for leaf in leaves)
        if self._holds_all:
            self._before = [holder.state_dict() for holder in self._holders]
        else:
            self._before = [{path: buffer.snapshot() for path, buffer in self._model.buffers().items()}]

    def examine(self, batch: Tree, value: Array) -> None:
        """Examine the loss of the batch.

        Raises
        ------
        NonFiniteError
            If it is not finite and can be read without waiting for a device.
        """
        if not is_cheap_to_read(value):
            self._record = self._record or _Record(value)
            if self._record.add(batch, value, [_numbers(state) for state in self._before]) > _KINDS_KEPT:
                self.finish(self.flags())
                self._record.forget()
        elif not math.isfinite(value):
            self._fail(self._number, batch, float(value), self._before)

    def end(self) -> None:
        """On a device, undo the update if this batch or an earlier one was bad, without reading whether it was."""
        if self._record is None or not self._updates:
            return
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
        self._fail(number, batch, read[2], numbers)

    def _fail(self, number: int, batch: Tree, value: float, before: list[dict[str, Any]]) -> NoReturn:
        for holder, state in zip(self._holders, before, strict=False):
            holder.load_state_dict(holder.state_dict() | state)
        raise_not_finite(self._model, self._loss, batch, value, f"{self._where} {number}")


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

    def add(self, batch: Tree, value: Array, numbers: list[dict[str, Any]]) -> int:
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
        self._is_bad = xp.logical_or(was_bad, xp.logical_not(xp.isfinite(value)))
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


def raise_not_finite(model: Module, loss: Any, batch: Tree, value: float, where: str) -> NoReturn:
    """Raise NonFiniteError with what went wrong first: the input, a layer, the loss or the target.

    The model must be in the state that it had before the batch.
    """
    args, kwargs, target = parts_of(batch)
    if (wrong := _not_finite((args, kwargs))) is not None:
        which = "" if len(tree_flatten((args, kwargs))) == 1 else f" at {wrong.partition('.')[2]!r}"
        raise NonFiniteError(f"the loss became {value} in {where}: the input{which} holds NaN or infinity; {_ADVICE}")
    for path, layer, output in layer_outputs(model, *args, **kwargs):
        if _not_finite(output) is not None:
            cause = _not_finite(layer.parameters())
            error = NonFiniteError(
                f"the loss became {value} in {where}, and the output of this layer was the first not finite"
                + ("" if cause is None else f": its parameter {cause!r} was not finite before that batch")
                + f"; {_ADVICE}"
            )
            error.layer, error.module_path = type(layer).__name__, tuple(path.split(".")) if path else ()
            raise error
    name = getattr(loss, "__name__", type(loss).__name__)
    cause = f"{name} overflowed" if _not_finite(target) is None else "the target holds NaN or infinity"
    raise NonFiniteError(
        f"the loss became {value} in {where}, though the output of every layer is finite: {cause}; {_ADVICE}"
    )


def _not_finite(tree: Tree) -> str | None:
    """Return the path of the first array that holds NaN or infinity."""
    return next((path for path, leaf in tree_flatten(tree).items() if not is_finite(leaf)), None)

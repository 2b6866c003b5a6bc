"""Callbacks: what may happen around the steps of a trainer."""

import inspect
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nnx.errors import ArgumentError, CheckpointError, NnxError, UsageError
from nnx.functional.checks import nearest
from nnx.types import Array, Tree


class Callback:
    """Base class of callbacks: a subclass defines any of the seven hooks.

    Callbacks are called in the order in which the trainer has them, at the end of a fit in the opposite one. What a
    callback remembers from batch to batch belongs into :meth:`state_dict`, so that a resumed run is the same as one
    that was never stopped. If a hook raises, the fit ends with the state of the last whole batch, and
    :meth:`on_fit_end` is still called, so that it is saved. When a batch, an epoch or the fit ends, all callbacks are
    called, even if one of them raises.

    A method named ``on_...`` that is none of the hooks, or takes other arguments, is an error when the trainer is made.
    In each hook ``trainer`` is the :class:`nnx.Trainer`.

    Attributes
    ----------
    is_last : bool
        Whether it is called after all others, as one that saves what they changed; at the end of a fit before them.
    columns : sequence of str
        The names of what its ``on_epoch_end`` adds to the row, so that callbacks after it may monitor them.
    name : str or None
        What its state is called in that of the trainer, given to the class or to an object. Default the class, with a
        number for the second of a class: ``KeepBest``, ``KeepBest-2``. Callbacks with names may change places between
        a run and the rest of it.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> class PrintLoss(nnx.training.Callback):
    ...     def on_epoch_end(self, trainer, row):
    ...         print(row["epoch"], row["loss"] < 1.0)
    >>> model = nnx.Linear(1, 1, rng=0)
    >>> x = np.asarray([[0.1], [0.2]], np.float32)
    >>> trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1), callbacks=[PrintLoss()])
    >>> _ = trainer.fit((x, x), epochs=2)
    1 True
    2 True
    """

    is_last: bool = False
    columns: Sequence[str] = ()
    name: str | None = None

    def on_fit_start(self, trainer: Any) -> None:
        """Act before the first batch of a fit, also of one that is resumed."""

    def on_epoch_start(self, trainer: Any) -> None:
        """Act before the first batch of an epoch; not again where a fit is resumed in the middle of one."""

    def on_batch_start(self, trainer: Any, batch: Tree) -> None:
        """Act on a batch that was taken from the data, before the forward pass."""

    def on_gradients(self, trainer: Any, gradients: dict[str, Array]) -> Mapping[str, Array]:
        """Return the gradients for the update, by dotted path: those given, or others; none may be written into."""
        return gradients

    def on_batch_end(self, trainer: Any, value: Array, outputs: Any) -> None:
        """Act after the update, on the loss and what the model returned; reading them waits for a GPU."""

    def on_epoch_end(self, trainer: Any, row: dict[str, float]) -> None:
        """Act on the metrics of an epoch, the last row of ``trainer.history``."""

    def on_fit_end(self, trainer: Any) -> None:
        """Act at the end of a fit, also after an error, which is ``trainer.error`` then."""

    def state_dict(self) -> dict[str, Any]:
        """Return what is remembered, as a tree of dicts and lists of numbers, strings and arrays."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""

    def snapshot(self) -> Any:
        """Return what :meth:`go_back` takes, a tree; by default the state.

        It is asked for in each batch on a device, where a batch that is not finite is found at the end of the epoch, of
        callbacks with a hook for batches. If the state is large, or must be read from the device, define the two.
        """
        return self.state_dict()

    def go_back(self, snapshot: Any) -> None:
        """Forget what came after a snapshot in the same epoch, since those batches are undone."""
        self.load_state_dict(snapshot)


_OF_BATCHES = ("on_batch_start", "on_gradients", "on_batch_end")


class Hooks:
    """The hooks that a list of callbacks defines; those that none defines cost nothing."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        _check(callbacks)
        self.callbacks = sorted(callbacks, key=lambda callback: callback.is_last)  # stable: else in their order
        names = [*filter(_is_hook, vars(Callback))]
        self._defined = {
            name: [c for c in self.callbacks if getattr(type(c), name) is not getattr(Callback, name)] for name in names
        }
        self._named()  # refuses names before the training
        called = [c for name in _OF_BATCHES for c in self._defined[name]]
        self._of_batches = [callback for callback in self.callbacks if callback in called]

    def call(self, name: str, *args: Any) -> None:
        """Call a hook of all callbacks that define it."""
        if name.endswith("_end"):
            self._call_all(name, args)
        else:
            for callback in self._defined[name]:
                getattr(callback, name)(*args)

    def end_fit(self, trainer: Any) -> None:
        """Call ``on_fit_end``; if the fit ended with an error, errors of callbacks become notes of that one."""
        try:
            self.call("on_fit_end", trainer)
        except Exception as error:
            if trainer.error is None:
                raise
            is_same = (type(error), str(error)) == (type(trainer.error), str(trainer.error))  # as of a folder twice
            for note in ([] if is_same else [_as_note(error)]) + getattr(error, "__notes__", []):
                trainer.error.add_note(note)

    def _call_all(self, name: str, args: tuple[Any, ...]) -> None:
        """Call a hook of all callbacks, even if one raises, since the state of each must be that after the step."""
        first: BaseException | None = None
        order = self._defined[name]
        for callback in reversed(order) if name == "on_fit_end" else order:
            try:
                getattr(callback, name)(*args)
            except BaseException as error:
                if first is None:
                    first = error
                else:
                    first.add_note(_as_note(error))
        if first is not None:
            raise first

    def gradients(self, trainer: Any, gradients: Mapping[str, Array]) -> Mapping[str, Array]:
        """Pass gradients from callback to callback.

        Raises
        ------
        UsageError
            If a callback returns something else than gradients.
        """
        for callback in self._defined["on_gradients"]:
            gradients = callback.on_gradients(trainer, dict(gradients))
            if not isinstance(gradients, Mapping):
                raise UsageError(
                    f"{type(callback).__name__}.on_gradients: expected the gradients for the update, a dict by path, "
                    f"got {type(gradients).__name__}; return those that were given to change nothing"
                )
        return gradients

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the callbacks by name."""
        return {name: callback.state_dict() for name, callback in self._named().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Hand each callback its state; a new one starts afresh, and for the state of a missing one there is a warning.

        Raises
        ------
        CheckpointError
            If a callback cannot read its state.
        """
        named = self._named()
        lost = [name for name, found in state.items() if isinstance(found, Mapping) and found and name not in named]
        for name in lost:
            warnings.warn(
                f"the state of the callback {name} is left out, since the trainer has none of that name; give it the "
                "callbacks that it had to keep it",
                RuntimeWarning,
                stacklevel=4,
            )
        for name, callback in named.items():
            if name not in state:
                continue
            try:
                callback.load_state_dict(state[name])
            except (LookupError, TypeError, AttributeError, ValueError) as error:
                if isinstance(error, NnxError):
                    raise
                raise CheckpointError(
                    f"expected the state of the callback {name}, got another ({error!r}); give the trainer the "
                    "callbacks that it had"
                ) from error

    def snapshot(self) -> list[Any]:
        """Return what :meth:`go_back` takes, of the callbacks that are called in each batch."""
        return [callback.snapshot() for callback in self._of_batches]

    def go_back(self, snapshots: Sequence[Any]) -> None:
        """Take callbacks back to a batch before."""
        for callback, snapshot in zip(self._of_batches, snapshots, strict=True):
            callback.go_back(snapshot)

    def _named(self) -> dict[str, Callback]:
        """Return the callbacks by name: their own, else their class, with a number where that is taken."""
        taken, found = _own_names(self.callbacks), {}
        for callback in self.callbacks:
            name, count = callback.name or type(callback).__name__, 1
            while callback.name is None and (name in found or name in taken):
                count += 1
                name = f"{type(callback).__name__}-{count}"
            found[name] = callback
        return found


def _own_names(callbacks: Sequence[Callback]) -> list[str]:
    """Return the names that callbacks were given, which must differ."""
    names: list[str] = []
    for callback in callbacks:
        name = callback.name
        if name is None:
            continue
        if not isinstance(name, str) or not name:
            raise ArgumentError(f"expected a string as the name of {type(callback).__name__}, or None, got {name!r}")
        if name in names:
            raise ArgumentError(f"expected callbacks with names that differ, got {name!r} twice; name one differently")
        names.append(name)
    return names


def _check(callbacks: Any) -> None:
    """Raise ArgumentError unless these are callbacks, each one once, whose hooks can be called."""
    if not isinstance(callbacks, Iterable):
        raise ArgumentError(f"expected a list of callbacks, got {callbacks!r}")
    seen: set[int] = set()
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise ArgumentError(f"expected callbacks, nnx.training.Callback, got {callback!r}")
        if id(callback) in seen:
            raise ArgumentError(f"expected each callback once, got one {type(callback).__name__} twice; make another")
        seen.add(id(callback))
        for name in filter(_is_hook, dir(type(callback))):
            _check_hook(type(callback), name)


def _check_hook(kind: type[Callback], name: str) -> None:
    if name not in vars(Callback):
        hooks = [*filter(_is_hook, vars(Callback))]
        raise ArgumentError(
            f"{kind.__name__}: expected methods on_... that are hooks, {', '.join(hooks)}, got {name}"
            f"{nearest(name, hooks)}"
        )
    arguments = [*inspect.signature(getattr(Callback, name)).parameters]
    try:
        inspect.signature(getattr(kind, name)).bind(*arguments)
    except TypeError:
        raise ArgumentError(
            f"expected {kind.__name__}.{name}({', '.join(arguments[1:])}), got other parameters"
        ) from None


def _is_hook(name: str) -> bool:
    return name.startswith("on_")


def _as_note(error: BaseException) -> str:
    return f"After it a callback raised {type(error).__name__}: {error}"

"""Everything that a fit needs to go on: where it is, and the parts that have a state of their own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from nnx.errors import ArgumentError, CheckpointError, NnxError, UsageError
from nnx.functional.checks import counted
from nnx.layers import Module
from nnx.optimizers import LBFGS, WeightAverage
from nnx.training.batches import count_of
from nnx.training.history import History
from nnx.training.hooks import Callback, Hooks
from nnx.training.mixed_precision import Policy
from nnx.training.state_checks import FORMAT, expect_trainer_state
from nnx.training.totals import Totals, as_metrics
from nnx.training.update import Update
from nnx.training.watch import Watch


class Resumable:
    """What a trainer trains and where it is, which :meth:`state_dict` returns as a tree for a file."""

    def __init__(
        self,
        model: Module,
        loss: Callable[..., Any],
        update: Update,
        metrics: Any,
        callbacks: Sequence[Callback],
    ) -> None:
        _check(model, loss, update.optimizer, update.average)
        self.model, self.loss, self._update = model, loss, update
        self.metrics = as_metrics(metrics)
        self.history = History()
        self.epoch = self.batch = self.step = self.skipped = 0
        self.batches: int | None = None
        self.columns: tuple[str, ...] = ()  # of the rows of the current fit
        self.device: str | None = None
        self.stopped: str | None = None
        self.paused: str | None = None
        self.error: BaseException | None = None
        self._hooks = Hooks(callbacks)
        self._totals = Totals(self.metrics, for_history=True)
        self._watch: Watch | None = None  # during an epoch
        self._start = 0  # the epoch in which the current fit began
        self._is_rest = self._is_running = False
        self._goes_on = False  # whether the next fit is the rest of one that was interrupted or saved
        self._position: dict[str, Any] | None = None  # of the data, after the last whole batch

    @property
    def goes_on(self) -> bool:
        """Whether the fit is the rest of one that was interrupted or saved; for callbacks at its start."""
        return self._is_rest

    @property
    def is_whole(self) -> bool:
        """Whether the parameters are those before or after an update, and not those of one that was cut short."""
        return self._update.is_whole

    @property
    def optimizer(self) -> Any:
        """The optimizer."""
        return self._update.optimizer

    @property
    def average(self) -> WeightAverage | None:
        """The average of the weights, if there is one."""
        return self._update.average

    @property
    def policy(self) -> Policy:
        """What the model computes in."""
        return self._update.policy

    @property
    def callbacks(self) -> Sequence[Callback]:
        """The callbacks, in the order in which they are called."""
        return tuple(self._hooks.callbacks)

    def to(self, device: str) -> None:
        """Move all that is trained to another backend or device, and from now on all batches.

        Between two epochs, as in ``on_epoch_start``.

        Parameters
        ----------
        device : str
            As in :func:`nnx.to_device`: ``"torch"``, ``"cupy:0"``.

        Raises
        ------
        UsageError
            In the middle of an epoch.
        BackendError, DeviceError
            If there is no such backend or device.
        """
        if self._watch is not None:
            raise UsageError("expected Trainer.to between two epochs, got a call in one; call it in on_epoch_start")
        states = {name: part.state_dict() for name, part in self._parts().items() if name != "callbacks"}
        for part in (self.model, self.loss, self.optimizer):
            if hasattr(part, "to"):
                part.to(device)
        self._load_parts(states)  # and what has no method for it moves to the model
        self.device = device

    def stop(self, reason: str) -> None:
        """End the fit: after the batch if a batch is being trained, and for good, so that a resumed fit ends too."""
        self.stopped = reason

    def pause(self, reason: str) -> None:
        """End the fit as :meth:`stop` does, but not for good: the next fit goes on, and so does a resumed one."""
        self.paused = reason

    @property
    def _is_ending(self) -> bool:
        return self.stopped is not None or self.paused is not None

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a fit needs to go on with the same bits, as a tree of numbers, strings and arrays.

        That is the model with its buffers, such as random counters, the optimizer, the position in the data, the sums
        of metrics in the current epoch, the history, and the states of the callbacks.

        Raises
        ------
        NonFiniteError
            If a batch of the current epoch was not finite, which is read from a GPU here.
        UsageError
            If an update was cut short, as by a second Ctrl-C: some parameters are updated and others not.
        """
        if not self.is_whole:
            raise UsageError("the last update was cut short, so that some parameters are new; load the last checkpoint")
        if self._watch is not None:
            self._watch.finish(self._watch.flags())
        return self._state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state; arrays move to the library and device of the model.

        Raises
        ------
        CheckpointError
            If it is not the state of such a trainer, or it is from the middle of an epoch with other metrics; nothing
            is changed then.
        """
        expect_trainer_state(state, self._parts(), self._totals.names)
        before, is_whole, goes_on = self._state(), self.is_whole, self._goes_on
        try:
            self._load(state)
        except BaseException as error:
            self._load(before)
            self._update.is_whole, self._goes_on = is_whole, goes_on
            if isinstance(error, (LookupError, TypeError, AttributeError, ValueError)) and not isinstance(
                error, NnxError
            ):
                raise CheckpointError(f"expected the state of a trainer, got another ({error!r})") from error
            raise

    def _state(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            **{name: getattr(self, name) for name in ("epoch", "batch", "step", "skipped", "stopped")},
            "start": self._start,
            "position": self._position,
            "batches": self.batches,
            "history": [dict(row) for row in self.history.rows],
            "metrics": self._totals.state_dict(),
            **{name: part.state_dict() for name, part in self._parts().items()},
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._load_parts({name: state[name] for name in self._parts()})
        for name in ("epoch", "batch", "step", "skipped", "stopped"):
            setattr(self, name, state[name])
        self._start, self.batches, self._position = state["start"], state.get("batches"), state["position"]
        self.history.rows[:] = [dict(row) for row in state["history"]]
        self._totals.load_state_dict(state["metrics"])
        self._goes_on = self._update.is_whole = True

    def _load_parts(self, states: Mapping[str, Any]) -> None:
        parts = self._parts()
        for name, state in states.items():
            if name == "accumulation":  # whose sums may be all that is left of an epoch
                parts[name].load_state_dict(state, self.model.trainable_parameters())
            else:
                parts[name].load_state_dict(state)

    def _parts(self) -> dict[str, Any]:
        """Return what has a state of its own, by name."""
        found = {"model": self.model, "loss": self.loss, **self._update.parts(), "callbacks": self._hooks}
        return {name: part for name, part in found.items() if hasattr(part, "load_state_dict")}

    def _snapshot(self, whole: bool) -> dict[str, Any]:
        """Return what :meth:`_restore` takes: all that a batch changes, or what it changes before the update."""
        place = {name: getattr(self, name) for name in ("batch", "step", "skipped", "stopped", "_position")}
        found = {"place": place, "totals": self._totals.snapshot()}
        if not whole:
            buffers = {path: buffer.snapshot() for path, buffer in self.model.buffers().items()}
            return {**found, "buffers": buffers, **self._update.snapshot()}
        states = {name: part.state_dict() for name, part in self._parts().items() if name != "callbacks"}
        return {**found, **states, "callbacks": self._hooks.snapshot()}

    def _restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a snapshot of the same epoch."""
        for name, part in state.items():
            match name:
                case "place":
                    vars(self).update(part)
                case "totals":
                    self._totals.restore(part)
                case "buffers":
                    self.model.load_state_dict(part, strict=False)
                case "callbacks":
                    self._hooks.go_back(part)
                case _:
                    self._load_parts({name: part})
        if "model" in state:
            self._update.is_whole = True

    @contextmanager
    def _running(self) -> Iterator[None]:
        self._is_running = True
        try:
            yield
        finally:
            self._is_running = False

    def _begin(self, loader: Any, *, validates: bool) -> int:
        """Prepare a fit; return the epoch in which it began."""
        if self._is_running:
            raise UsageError(
                "expected Trainer.fit after the fit that is running, got a call in it, as from a callback; make a "
                "trainer of its own for that"
            )
        measured = ["loss", *self.metrics]
        measured += [f"validation_{name}" for name in measured] if validates else []
        self.columns = ("epoch", *measured, *(name for callback in self.callbacks for name in callback.columns))
        self._is_rest = self._goes_on
        self.paused, self._update.is_whole = None, True
        had, count = self.batches, count_of(loader)
        if self._goes_on and self.batch and had is not None and count not in (None, had):
            raise UsageError(
                f"expected the data of the epoch that goes on, of {counted(had, 'batch')}, got "
                f"{counted(count or 0, 'batch')}; give the data and the batch size that it had"
            )
        if not self._goes_on:
            self._start, self.stopped, self.batch = self.epoch, None, 0
            self._update.rest()  # of a fit that was stopped in the middle of an update
        elif self._position is not None and hasattr(loader, "load_state_dict"):
            loader.load_state_dict(self._position)
        if not self.batch:
            self._totals = Totals(self.metrics, for_history=True)
        return self._start


def _check(model: Any, loss: Any, optimizer: Any, average: Any) -> None:
    if not isinstance(model, Module):
        raise ArgumentError(f"expected a model, an nnx.Module, got {type(model).__name__}")
    if not callable(loss) or isinstance(loss, type):
        raise ArgumentError(f"expected a loss such as nnx.CrossEntropy(), or an objective(model, batch), got {loss!r}")
    if not hasattr(optimizer, "step") or isinstance(optimizer, type):
        raise ArgumentError(f"expected an optimizer made for the model, such as nnx.Adam(model), got {optimizer!r}")
    if isinstance(optimizer, LBFGS):
        raise ArgumentError(
            "expected an optimizer that takes a step with gradients, got LBFGS, which evaluates all data several times "
            "for a step: call optimizer.step(function) in a loop of your own"
        )
    if average is not None and average.model is not model:
        raise ArgumentError("expected an average made for this model, got one for another; write nnx.EMA(model)")
    if getattr(optimizer, "model", model) is not model:
        raise ArgumentError("expected an optimizer made for this model, got one for another; make one for each model")

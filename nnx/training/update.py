"""From the gradients of batches to an update of the parameters: accumulation, loss scaling, callbacks, averages."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from nnx.backend import overflow_allowed
from nnx.errors import ArgumentError, NnxError
from nnx.functional.checks import as_integer
from nnx.optimizers import WeightAverage
from nnx.training.accumulation import Accumulation
from nnx.training.loss_scaling import LossScale, step_if
from nnx.training.mixed_precision import Objective, Policy, as_policy
from nnx.training.step import Optimizer
from nnx.types import Array

Gradients = Mapping[str, Array]


class Update:
    """What a trainer does between the gradients of a batch and the next batch; an optimizer to :func:`make_step`.

    Parameters
    ----------
    optimizer : Optimizer
    policy : Policy or str
        With one that needs it there is a :class:`LossScale`.
    accumulate : int
        After how many batches there is an update.
    average : WeightAverage or None
        Updated after each update.

    Attributes
    ----------
    is_whole : bool
        Whether the parameters are those before or after an update. Not so if an exception came from outside, as a
        second Ctrl-C does, while arrays were written.
    """

    def __init__(
        self, optimizer: Optimizer, policy: Policy | str, accumulate: int, average: WeightAverage | None
    ) -> None:
        if average is not None and not isinstance(average, WeightAverage):
            raise ArgumentError(f"expected an average such as nnx.EMA(model), got {average!r}")
        self.optimizer, self.average = optimizer, average
        self.policy = as_policy(policy)
        self.scale = LossScale() if self.policy.needs_loss_scale else None
        every = as_integer(accumulate, "accumulate", least=1)
        self.accumulation = Accumulation(every) if every > 1 else None
        self.is_whole = True
        self._finite: Any = True

    def objective(self, objective: Objective) -> Callable[[Any, Any], tuple[Array, tuple[Array, Any]]]:
        """Return what is differentiated: the loss, times the scale if there is one, and beside it loss and outputs."""
        narrow, scale = self.policy.objective(objective), self.scale

        def scaled(model: Any, batch: Any) -> tuple[Array, tuple[Array, Any]]:
            value, outputs = narrow(model, batch)
            return value if scale is None else scale.scale(value), (value, outputs)

        return scaled

    def gather(self, gradients: Gradients, divisor: int | Array | None) -> Gradients | None:
        """Take the gradients of a batch, and what its loss was divided by; return those of an update.

        ``None`` if there is none yet or it overflowed.
        """
        if self.accumulation is None:
            return self._unscaled(gradients)
        found = self.accumulation.add(gradients, divisor)
        return None if found is None else self._unscaled(found)

    def rest(self) -> Gradients | None:
        """Return the gradients of an update with what is left at the end of an epoch, if anything is."""
        found = None if self.accumulation is None else self.accumulation.flush()
        return None if found is None else self._unscaled(found)

    def overflow_expected(self) -> AbstractContextManager[Any]:
        """Return a block for a batch: where a loss scale looks for an overflow, NumPy does not warn of it."""
        return nullcontext() if self.scale is None else overflow_allowed()

    def step(self, gradients: Gradients) -> None:
        """Update the parameters, and their average."""
        self.is_whole = False
        try:
            self._step(gradients)
        except NnxError:  # an optimizer that refuses gradients has changed nothing
            self.is_whole = True
            raise
        self.is_whole = True

    def _step(self, gradients: Gradients) -> None:
        step_if(self._finite, self.optimizer, gradients, self.average)

    def snapshot(self, *, whole: bool = False) -> dict[str, Any]:
        """Return what :meth:`restore` takes, copies of sums only where the next batch ends them, or of the whole."""
        parts: dict[str, Any] = {"scale": self.scale}
        if self.accumulation is not None and (whole or self.accumulation.is_last):
            parts["accumulation"] = self.accumulation
        return {name: part.state_dict() for name, part in parts.items() if part is not None}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a snapshot."""
        for name, part in state.items():
            getattr(self, name).load_state_dict(part)

    def parts(self) -> dict[str, Any]:
        """Return what has a state of its own, by name."""
        found = {"optimizer": self.optimizer, "scale": self.scale, "accumulation": self.accumulation}
        return {name: part for name, part in {**found, "average": self.average}.items() if part is not None}

    def _unscaled(self, gradients: Gradients) -> Gradients | None:
        if self.scale is None:
            return gradients
        gradients, self._finite = self.scale.unscale(gradients)
        self.scale.update(self._finite)
        return None if self._finite is False else gradients

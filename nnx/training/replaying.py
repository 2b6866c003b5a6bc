"""The gradients of a batch for a trainer, from a recorded step if that is wanted and can be made."""

from collections.abc import Callable
from typing import Any

from nnx.autodiff import value_and_grad
from nnx.errors import TraceError, UsageError
from nnx.layers import Module
from nnx.replay import compile as recorded
from nnx.replay.discovery import state_of
from nnx.training.step import WEIGHT
from nnx.training.update import Update
from nnx.types import Tree

Differentiate = Callable[[Module, Tree], Any]


class Replay:
    """What gives a trainer the value, the outputs and the gradients of a batch.

    Parameters
    ----------
    wanted : bool
        Whether they come from a record, where one can be made.

    Attributes
    ----------
    why : str
        Why they do not; empty if they do.
    """

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._stated: Any = None
        self._made: Differentiate
        self.why = "" if wanted else "it was not wanted"

    def of(self, update: Update, stated: Any) -> Differentiate:
        """Return the function ``differentiate(model, batch)`` of an objective, as an update of the parameters has it.

        ``stated`` is the objective of the trainer, or what a callback has put in its place.
        """
        if stated is not self._stated:  # else the epoch before has recorded it
            self.why = "" if self._wanted else "it was not wanted"
            if update.scale is not None:
                self.why = "the loss is scaled by a factor that changes"
            differentiate = value_and_grad(update.objective(stated), has_aux=True)
            self._stated = stated
            self._made = differentiate if self.why else self._replayed(differentiate, stated)
        return self._made

    def _replayed(self, differentiate: Differentiate, objective: Any) -> Differentiate:
        others = state_of(objective)  # the loss, and models besides the one that is trained, such as a teacher
        step: Any = recorded(lambda model, others, batch: differentiate(model, batch))

        def run(model: Module, batch: Tree) -> Any:
            # The signs of weights are looked at, which a record would not do.
            if not self.why and not (isinstance(batch, dict) and WEIGHT in batch):
                try:
                    return step(model, others, batch)
                except (TraceError, UsageError) as error:  # nothing has changed; a step's own comes again
                    self.why = error.message
            return differentiate(model, batch)

        return run

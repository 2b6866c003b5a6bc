"""Whether a trainer takes the gradients of a batch from a recorded step, and the way back if it cannot."""

import math
from collections.abc import Callable
from typing import Any

from nnx.autodiff import value_and_grad
from nnx.backend import library_name, namespace
from nnx.backend.engines import engine_for
from nnx.errors import TraceError, UsageError
from nnx.layers import Module
from nnx.losses import Loss
from nnx.replay import compile as recorded
from nnx.training.step import WEIGHT, Supervised
from nnx.training.update import Update
from nnx.types import Tree

MOST_PARAMETERS = 2**20
"""Of larger models the arithmetic takes the time, and the check of a record would hold their state twice."""

Differentiate = Callable[[Module, Tree], Any]


class Replay:
    """What gives a trainer the value, the outputs and the gradients of a batch.

    Parameters
    ----------
    model : Module
    loss : Module or callable
    choice : bool or None
        Whether they come from a record; ``None`` leaves it to what is known of the model and the loss.

    Attributes
    ----------
    why : str or None
        Why they do not; empty if they do, ``None`` before the first batch.
    """

    def __init__(self, model: Module, loss: Any, choice: bool | None) -> None:
        self._model, self._loss, self._choice = model, loss, choice
        self._stated: Any = None
        self._made: Differentiate
        self.why: str | None = None

    def of(self, update: Update, stated: Any) -> Differentiate:
        """Return the function ``differentiate(model, batch)`` of an objective, as an update of the parameters has it.

        ``stated`` is the objective of the trainer, or what a callback has put in its place.
        """
        if stated is self._stated:  # the epoch before has recorded it
            return self._made
        differentiate = value_and_grad(update.objective(stated), has_aux=True)
        if self._choice is False:
            self.why = "it was not wanted"
        if update.scale is not None:
            self.why = "the loss is scaled by a factor that changes"
        self._stated = stated
        self._made = differentiate if self.why else self._replayed(differentiate, stated)
        return self._made

    def _why_not(self, stated: Any) -> str:
        # A record holds what a step takes from elsewhere than its arguments as a constant. So by default it is made
        # only of a model and a loss of the library, whose attributes are looked at in each call.
        model, loss = self._model, self._loss
        if not isinstance(stated, Supervised) or not isinstance(loss, Loss):
            return "the objective is not a loss of nnx, and may depend on what is not known"
        for _, module in (*model.named_modules(), *loss.named_modules()):
            if not _is_ours(type(module)) or not _is_ours(type(module).forward):
                return f"{type(module).__name__} is not a class of nnx, and may depend on what is not known"
        parameters = [*model.parameters().values()]
        if sum(math.prod(w.shape) for w in parameters) > MOST_PARAMETERS:
            return f"the model has more than {MOST_PARAMETERS:,} parameters, so that the arithmetic takes the time"
        if parameters and engine_for(library_name(namespace(parameters[0]))):
            return "the compiler of the array library rounds otherwise than its single operations do"
        return ""

    def _replayed(self, differentiate: Differentiate, stated: Any) -> Differentiate:
        self.why = None
        constants = self._loss if isinstance(self._loss, Module) else None
        step: Any = recorded(lambda model, constants, batch: differentiate(model, batch))

        def run(model: Module, batch: Tree) -> Any:
            if self.why is None:  # asked now, as the sizes of the model are settled on the first batch
                self.why = "" if self._choice else self._why_not(stated)
            # The signs of weights are looked at, which a record would not do.
            if not self.why and not (isinstance(batch, dict) and WEIGHT in batch):
                try:
                    return step(model, constants, batch)
                except (TraceError, UsageError) as error:  # nothing has changed; a step's own comes again
                    self.why = error.message
            return differentiate(model, batch)

        return run


def _is_ours(thing: Any) -> bool:
    """Return whether a class or function is the library's, and none that somebody has put in its place."""
    return str(thing.__module__).startswith("nnx.")

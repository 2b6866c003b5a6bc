"""The pure part of an optimizer: functions over lists of arrays, without a model and without state of their own."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from nnx.backend.blocks import State, apply_rule
from nnx.errors import UsageError
from nnx.optimizers.hyperparameters import CHECKS, Check
from nnx.optimizers.per_array import zeros
from nnx.types import Array


class UpdateRule:
    """What a subclass of :class:`nnx.optimizers.Optimizer` defines, ``init`` and ``rule``, and what they become."""

    is_elementwise: ClassVar[bool] = True
    zero_state: ClassVar[tuple[str, ...]] = ()
    """The names of state that starts as zeros, at least in float32, which is all that ``init`` makes by default."""
    flushed: ClassVar[frozenset[str]] = frozenset()
    """The names of state whose tiny values become 0 in every 16th step: state that decays, or holds squares."""
    checks: ClassVar[Mapping[str, Check]] = CHECKS
    """Checks of hyperparameters by name: ``check(value, name)`` returns the value in Python's own types or raises."""

    @classmethod
    def init(cls, parameters: Sequence[Array], hyperparameters: Mapping[str, Any]) -> State:
        """Return the state before the first step: zeros for each parameter under the names of :attr:`zero_state`."""
        return zeros(parameters, *cls.zero_state) if cls.zero_state else {}

    @staticmethod
    def rule(
        gradients: Sequence[Array],
        state: Mapping[str, Sequence[Array]],
        parameters: Sequence[Array],
        step: int,
        hyperparameters: Mapping[str, Any],
    ) -> tuple[Sequence[Array], Mapping[str, Sequence[Array]]]:
        """Return the new parameters and the new state; a subclass defines it. ``step`` counts from 0."""
        raise UsageError("an optimizer needs a rule(gradients, state, parameters, step, hyperparameters)")

    @classmethod
    def update(
        cls,
        gradients: Sequence[Array],
        state: Mapping[str, Sequence[Array]],
        parameters: Sequence[Array],
        step: int,
        hyperparameters: Mapping[str, Any],
        may_write: Sequence[bool] = (),
    ) -> tuple[list[Array], State]:
        """Return the parameters and the state after one step, without changing the arguments.

        Parameters
        ----------
        gradients, parameters : sequences of arrays
        state : mapping from name to sequence of arrays
            As ``init`` returned it.
        step : int
            The number of steps before this one.
        hyperparameters : mapping
        may_write : sequence of bool, optional
            For each parameter, whether it and its state may be overwritten; by default none may.
        """
        return apply_rule(
            cls.rule,
            gradients,
            state,
            parameters,
            step,
            hyperparameters,
            may_write,
            is_elementwise=cls.is_elementwise,
            flushed=cls.flushed,
        )

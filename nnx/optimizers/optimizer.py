"""The base class of optimizers: each is a rule with named hyperparameters, and nothing else."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, Self

from nnx.backend.blocks import State, apply_rule
from nnx.backend.links import OWNERS
from nnx.errors import ArgumentError, CheckpointError, UsageError
from nnx.functional.checks import as_nonnegative
from nnx.layers import Module
from nnx.layers.config import config_of
from nnx.layers.moving import converted
from nnx.layers.remembering import Configured
from nnx.layers.state import fitting
from nnx.layers.updates import refuse_other_paths, update_parameters
from nnx.types import Array, DType


class Optimizer(Configured):
    """Base class of optimizers, which update the parameters of a model by a rule.

    A subclass has a constructor, which names and checks its hyperparameters, and two static methods over *lists* of
    arrays, one array for each parameter:

    - ``init(parameters, hyperparameters) -> state``
    - ``rule(gradients, state, parameters, step, hyperparameters) -> (parameters, state)``

    The state is a dict of such lists by name, ``{"velocity": [...]}``. The rule may write into the arrays of its state
    and parameters with ``*=`` and the like, and returns the results (with arrays that cannot be written, such an
    operator makes a new array); it must not write into gradients. If anything else refers to an array, the rule gets a
    copy. Large arrays are cut into blocks; a rule that needs whole arrays, such as their norms, sets
    ``is_elementwise = False``.

    Parameters
    ----------
    model : Module
        The model to update.
    learning_rate : float
    **hyperparameters : numbers and booleans
        Passed to the rule together with ``learning_rate``.

    Raises
    ------
    ArgumentError
        If ``model`` is not a module, or the learning rate is not a finite number >= 0.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> class SignDescent(nnx.optimizers.Optimizer):
    ...     @staticmethod
    ...     def rule(gradients, state, parameters, step, hyperparameters):
    ...         xp, rate = nnx.namespace(*parameters), hyperparameters["learning_rate"]
    ...         return [w - rate * xp.sign(g) for w, g in zip(parameters, gradients)], state
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(3.0))
    >>> SignDescent(model, 0.5).step({"weight": np.full((1, 1), 7.0, np.float32)})
    >>> model.weight
    array([[2.5]], dtype=float32)
    """

    is_elementwise: ClassVar[bool] = True
    _varies_by_path: ClassVar[bool] = False  # whether a subclass has a _for_rule of its own: a call less for the others
    _not_configuration: ClassVar[frozenset[str]] = frozenset({"rng", "model"})

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuse ``lr``, the name of the learning rate in other libraries, with a helpful error."""
        if "lr" in kwargs:
            raise ArgumentError(f"{cls.__name__} has no argument 'lr'; the step size is called learning_rate")
        return super().__new__(cls)

    def __init__(self, model: Module, learning_rate: float, **hyperparameters: Any) -> None:
        if not isinstance(model, Module):
            raise ArgumentError(
                f"expected the model itself, whose parameters are replaced at each step, got {type(model).__name__}; "
                f"write {type(self).__name__}(model, learning_rate=...)"
            )
        self.model = model
        self._hyperparameters = {"learning_rate": as_nonnegative(learning_rate, "learning_rate"), **hyperparameters}
        self._state: State | None = None  # made at the first step, in the library and on the device of the parameters
        self._paths: tuple[str, ...] = ()
        self._step = 0

    @staticmethod
    def init(parameters: Sequence[Array], hyperparameters: Mapping[str, Any]) -> State:
        """Return the state before the first step; by default there is none."""
        return {}

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
        is_elementwise = cls.is_elementwise
        return apply_rule(
            cls.rule, gradients, state, parameters, step, hyperparameters, may_write, is_elementwise=is_elementwise
        )

    @property
    def learning_rate(self) -> float:
        """The step size; it may be changed between steps."""
        rate: float = self._hyperparameters["learning_rate"]
        return rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._hyperparameters["learning_rate"] = as_nonnegative(value, "learning_rate")

    @property
    def hyperparameters(self) -> Mapping[str, Any]:
        """All hyperparameters as the rule gets them, by name; a read-only view."""
        return MappingProxyType(self._for_rule())

    def step(self, gradients: Mapping[str, Array]) -> None:
        """Take one step.

        A parameter is updated in place if nothing else refers to its array; otherwise the old array keeps its values.

        Parameters
        ----------
        gradients : mapping from dotted path to array
            One for each parameter, as :func:`nnx.value_and_grad` returns. They are not changed.

        Raises
        ------
        ArgumentError
            If gradients are missing, or there are some that belong to no parameter.
        ShapeError, DTypeError, BackendError, DeviceError
            If a gradient does not fit its parameter. The message has the path.
        UsageError
            If ``nnx.grad`` returned the gradients for another model, or the state no longer fits the parameters. In
            each of these cases nothing is changed.
        """
        owner = OWNERS.get(next(iter(gradients.values()), None)) if isinstance(gradients, dict) else None
        other = None if owner is None else owner()
        if other is not None and other is not self.model:
            self._refuse_model(other)
        update_parameters(
            self.model,
            self.rule,
            gradients,
            self._for_rule() if self._varies_by_path else self._hyperparameters,
            self._started() if self._state is None else self._state,
            self._step,
            paths_of_state=self._paths,
            is_elementwise=self.is_elementwise,
        )
        self._step += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the state: the number of steps taken, and arrays such as ``"velocity.0.weight"``.

        They are the arrays themselves, not copies, but later steps do not change them.
        """
        arrays = {
            f"{name}.{path}": array
            for name, column in self._started().items()
            for path, array in zip(self._paths, column, strict=True)
        }
        return {"step": self._step, **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        """Replace the state by a saved one, moved to the library and device of the parameters.

        Returns
        -------
        Optimizer
            This optimizer.

        Raises
        ------
        CheckpointError
            Lists every name that is missing or extra, and every wrong shape or dtype. Then nothing is changed.
        """
        new = fitting(self.state_dict(), state, True, type(self).__name__, "its state")
        step = new.pop("step")
        if step < 0:
            raise CheckpointError(f"the saved values do not fit {type(self).__name__}: step: expected >= 0, got {step}")
        own = self._started()
        arrays = iter(new.values())
        self._state = {name: [next(arrays) for _ in column] for name, column in own.items()}
        self._step = step
        return self

    def to(self, device: str | None = None, *, dtype: DType | str | None = None) -> Self:
        """Move the state after the model was moved; the arguments are those of :meth:`nnx.Module.to`.

        Returns
        -------
        Optimizer
            This optimizer.
        """
        for column in (self._state or {}).values():
            column[:] = [converted(array, device, dtype) for array in column]
        return self

    def config(self) -> dict[str, Any]:
        """Return the class and the current hyperparameters, as data for JSON.

        ``nnx.from_config(config, model=model)`` builds an optimizer from it.

        Examples
        --------
        >>> import nnx
        >>> nnx.SGD(nnx.Linear(1, 1), learning_rate=0.1, momentum=0.9).config()
        {'type': 'SGD', 'learning_rate': 0.1, 'momentum': 0.9, 'nesterov': False, 'weight_decay': 0.0}
        """
        return config_of(self)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{name}={value!r}" for name, value in self._hyperparameters.items())
        return f"{type(self).__name__}({numbers})"

    def _current_arguments(self) -> dict[str, Any]:
        return self._hyperparameters

    def _for_rule(self) -> dict[str, Any]:
        """Return the hyperparameters for the rule; one that differs by path is a ``PerParameter``."""
        return self._hyperparameters

    def _started(self) -> State:
        parameters = self.model.trainable_parameters()
        if self._state is None:
            self._state, self._paths = self.init([*parameters.values()], self._for_rule()), (*parameters,)
        elif self._state and self._paths != (*parameters,):
            refuse_other_paths(self._paths, (*parameters,))
        return self._state

    def _refuse_model(self, other: Module) -> None:
        """Raise UsageError unless the two models have a module in common."""
        ours, theirs = ({id(module) for _, module in model.named_modules()} for model in (self.model, other))
        if not ours & theirs:
            raise UsageError(
                f"these are the gradients of another {type(other).__name__} than the {type(self.model).__name__} that "
                f"this {type(self).__name__} was made for; make an optimizer for each model"
            )

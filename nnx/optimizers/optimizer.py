"""The base class of optimizers: each is a rule with named hyperparameters, and nothing else."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Self

from nnx.autodiff.outside import ACTIVE
from nnx.backend.blocks import State
from nnx.backend.links import OWNERS
from nnx.errors import ArgumentError, CheckpointError
from nnx.layers import Module
from nnx.layers.config import config_of
from nnx.layers.moving import converted, wide_dtype
from nnx.layers.remembering import Configured
from nnx.layers.state import fitting
from nnx.layers.updates import fitted, refuse_other_model, refuse_other_paths, slots_of, write_update
from nnx.optimizers.assigned_rates import entry_of, taken_from
from nnx.optimizers.hyperparameters import Rate
from nnx.optimizers.rates_and_groups import RatesAndGroups
from nnx.types import Array, DType


class Optimizer(RatesAndGroups, Configured):
    """Base class of optimizers, which update the parameters of a model by a rule.

    A subclass has a constructor, which names and checks its hyperparameters, and two static methods over *lists* of
    arrays, one array for each parameter:

    - ``init(parameters, hyperparameters) -> state``, or, if all state starts as zeros, only its names in ``zero_state``
    - ``rule(gradients, state, parameters, step, hyperparameters) -> (parameters, state)``

    The state is a dict of such lists by name, ``{"velocity": [...]}``; a parameter without such state has an array of
    shape ``(0,)`` there, which is not saved. The rule may write into the arrays of its state and parameters with ``*=``
    and the like, and returns the results (with arrays that cannot be written, such an operator makes a new array); it
    must not write into gradients. If anything else refers to an array, the rule gets a copy. Large arrays are cut into
    blocks; a rule that needs whole arrays, such as their norms, sets ``is_elementwise = False``. What is in half
    precision reaches the rule in float32, and is rounded afterwards. State that decays, such as a moment, is named in
    ``flushed``: its tiny values become 0 before they are subnormal.

    Parameters
    ----------
    model : Module
        The model to update.
    learning_rate : float or schedule
        A number, or a callable that returns the number for a step, counted from 0, such as those of
        ``nnx.schedules``.
    groups : sequence of dicts
        Hyperparameters of some parameters: ``{"paths": "*bias", "learning_rate": 0.01}``, where ``"paths"`` is a
        pattern or a list of patterns as in :func:`nnx.freeze`. A parameter may be in several groups. Of two groups
        that set the same hyperparameter of it, the later one counts; what no group sets is that of the optimizer. In
        the rule such a hyperparameter is a ``PerParameter``, a tuple with a value for each array.
    **hyperparameters : numbers and booleans
        Passed to the rule together with ``learning_rate``. Those that :attr:`checks` names are checked, in groups too.

    Raises
    ------
    ArgumentError
        If ``model`` is not a module, a hyperparameter is out of range, or a group has an unknown hyperparameter or a
        pattern that matches no parameter (of a model whose sizes are open, at the first step). At a step, if a schedule
        returns something else than a finite number >= 0.

    Notes
    -----
    Subnormal numbers, on which many CPUs are far slower, do not stay in the state. Without a gradient a moment decays,
    and would in the end be one for good. So in every 16th step, counted from 0, what is below 65,536 times the smallest
    normal number becomes 0: 7.7e-34 in float32. Gradients that are as small themselves are taken as they are.

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

    The last layer learns ten times faster, and nothing that is a bias decays:

    >>> model = nnx.Model([nnx.Linear(1, 1), nnx.Linear(1, 1)])
    >>> groups = [{"paths": "1", "learning_rate": 0.1}, {"paths": "*bias", "weight_decay": 0.0}]
    >>> optimizer = nnx.SGD(model, 0.01, weight_decay=0.5, groups=groups)
    >>> optimizer.hyperparameters["learning_rate"], optimizer.hyperparameters["weight_decay"]
    ((0.01, 0.01, 0.1, 0.1), (0.5, 0.0, 0.5, 0.0))
    """

    _not_configuration: ClassVar[frozenset[str]] = frozenset({"rng", "model"})

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuse ``lr``, the name of the learning rate in other libraries, with a helpful error."""
        if "lr" in kwargs:
            raise ArgumentError(f"{cls.__name__} has no argument 'lr'; the step size is called learning_rate")
        return super().__new__(cls)

    def __init__(
        self,
        model: Module,
        learning_rate: Rate,
        *,
        groups: Sequence[Mapping[str, Any]] = (),
        **hyperparameters: Any,
    ) -> None:
        if not isinstance(model, Module):
            raise ArgumentError(
                f"expected the model itself, whose parameters are replaced at each step, got {type(model).__name__}; "
                f"write {type(self).__name__}(model, learning_rate=...)"
            )
        super().__init__(model, {"learning_rate": learning_rate, **hyperparameters}, groups)
        self._state: State | None = None  # made at the first step, in the library and on the device of the parameters
        self._paths: tuple[str, ...] = ()  # of the parameters that the state was made for
        self._shapes: tuple[tuple[int, ...], ...] = ()

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
        if ACTIVE.recorder is not None:
            # This very method: that of a subclass has changed the gradients, which is recorded already.
            step = partial(Optimizer.step, self)
            return ACTIVE.recorder.outside(step, gradients, owner=self, prepare=lambda: RepeatedStep(self))
        owner = OWNERS.get(next(iter(gradients.values()), None)) if isinstance(gradients, dict) else None
        if owner is not None and owner() is not self.model:  # asked here: a common step enters no further function
            refuse_other_model(self.model, gradients, type(self).__name__)
        hyperparameters = self._hyperparameters if self._is_plain else self._for_rule()
        state = self._started() if self._state is None else self._state
        write_update(
            *fitted(self.model, gradients, state, self._paths, self._shapes),
            self.rule,
            hyperparameters,
            state,
            self._step,
            is_elementwise=self.is_elementwise,
            flushed=self.flushed,
        )
        self._step += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the state: the number of steps taken, and arrays such as ``"velocity.0.weight"``.

        They are the arrays themselves, not copies, but later steps do not change them. If learning rates were assigned
        as numbers, ``"learning_rates"`` has them, beside those that the optimizer was made with.
        """
        arrays = {
            f"{name}.{path}": array
            for name, column in self._started().items()
            for path, array in zip(self._paths, column, strict=True)
            if array.shape != (0,)
        }
        return {"step": self._step, **entry_of(self._configured, self.learning_rates), **arrays}

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        """Replace the state by a saved one, moved to the library and device of the parameters.

        A learning rate that was assigned as a number is assigned again, if the optimizer is made with the same rate, or
        with a schedule, as it was then. Made with another number, it keeps that one. Where nothing was assigned, it has
        the rate or the schedule that it is made with.

        Returns
        -------
        Optimizer
            This optimizer.

        Raises
        ------
        CheckpointError
            Lists every name that is missing or extra, and every wrong shape or dtype. Then nothing is changed.
        """
        owner = type(self).__name__
        rest, rates = taken_from(state, self._configured, owner)
        own = taken_from(self.state_dict(), self._configured, owner)[0]
        new = fitting(own, rest, True, owner, "its state")
        step = new.pop("step")
        if step < 0:
            raise CheckpointError(f"the saved values do not fit {owner}: step: expected >= 0, got {step}")
        self._state = {
            name: [new.get(f"{name}.{path}", array) for path, array in zip(self._paths, column, strict=True)]
            for name, column in self._started().items()
        }
        self._step = step
        self._set_rates(rates)
        return self

    def to(self, device: str | None = None, *, dtype: DType | str | None = None) -> Self:
        """Move the state after the model was moved; the arguments are those of :meth:`nnx.Module.to`.

        For a model in half precision the state is kept in float32.

        Returns
        -------
        Optimizer
            This optimizer.
        """
        if self._state is not None:
            wide = wide_dtype(dtype)
            self._state = {name: [converted(x, device, wide) for x in column] for name, column in self._state.items()}
        return self

    def config(self) -> dict[str, Any]:
        """Return the class and the current hyperparameters, as data for JSON.

        ``nnx.from_config(config, model=model)`` builds an optimizer from it.

        Examples
        --------
        >>> import nnx
        >>> nnx.SGD(nnx.Linear(1, 1), learning_rate=0.1, momentum=0.9).config()
        {'type': 'SGD', 'learning_rate': 0.1, 'momentum': 0.9, 'nesterov': False, 'weight_decay': 0.0, 'groups': []}
        """
        return config_of(self)

    def __repr__(self) -> str:
        shown = (f"{name}={value!r}" for name, value in self._current_arguments().items() if value not in ([], ()))
        return f"{type(self).__name__}({', '.join(shown)})"

    def _started(self) -> State:
        parameters = self.model.trainable_parameters()
        if self._state is None:
            self._state, self._paths = self.init([*parameters.values()], self._for_rule()), (*parameters,)
            self._shapes = tuple(tuple(w.shape) for w in parameters.values())
        elif self._state and self._paths != (*parameters,):
            refuse_other_paths(self._paths, (*parameters,))
        return self._state


class RepeatedStep:
    """The steps of an optimizer in a recorded program: what was looked up and checked once is not, each time.

    That holds while the model has the structure, and its parameters the shapes and dtypes, that they have now; the
    gradients come from the program, and so fit.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer, self._state = optimizer, optimizer._started()
        self._paths, self._slots = slots_of(optimizer.model)

    def __call__(self, gradients: Mapping[str, Array]) -> None:
        """Take a step."""
        optimizer = self._optimizer
        if optimizer._state is not self._state:  # loaded or moved: it is checked, once
            Optimizer.step(optimizer, gradients)
            self._state = optimizer._started()
            return
        write_update(
            self._slots,
            [*map(gradients.__getitem__, self._paths)],
            optimizer.rule,
            optimizer._hyperparameters if optimizer._is_plain else optimizer._for_rule(),
            self._state,
            optimizer._step,
            is_elementwise=optimizer.is_elementwise,
            flushed=optimizer.flushed,
        )
        optimizer._step += 1

"""L-BFGS."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Self

from nnx.backend import device_of, namespace
from nnx.backend.blocks import wide_zeros
from nnx.errors import ArgumentError, CheckpointError, UsageError
from nnx.functional.checks import as_integer, as_nonnegative
from nnx.layers import Module
from nnx.layers.moving import converted, wide_dtype
from nnx.layers.state import fitting, misfit
from nnx.layers.updates import refuse_other_paths, refuse_other_shape
from nnx.optimizers.assigned_rates import entry_of, taken_from
from nnx.optimizers.curvature import Pair
from nnx.optimizers.hyperparameters import CHECKS, Rate
from nnx.optimizers.memory import NAMES, Memory, as_columns, converted_memory, from_columns
from nnx.optimizers.optimizer import Optimizer
from nnx.optimizers.per_array import zeros
from nnx.optimizers.quasi_newton import iterate
from nnx.optimizers.vector_function import Objective, VectorFunction, joined
from nnx.types import Array, DType


def _as_line_search(value: Any, name: str) -> str | None:
    if value is not None and value != "strong_wolfe":
        raise ArgumentError(f"expected {name} to be 'strong_wolfe' or None, got {value!r}")
    return None if value is None else str(value)


class LBFGS(Optimizer):
    r"""L-BFGS: steps of Newton's method, whose Hessian is approximated by what gradients changed over the last steps.

    .. math::
        w \leftarrow w - t H \nabla_w

    :math:`H` is the matrix nearest to the identity, up to a scale, that maps the last changes of the gradient to the
    steps which caused them. It is never formed. The length :math:`t` is found by a line search for the strong Wolfe
    conditions, or is the learning rate.

    It is for smooth objectives that are evaluated on all data at once, always in the same way: switch dropout off, or
    noise is taken for curvature. A step evaluates the objective several times, so it takes a function in place of
    gradients:

    .. code-block:: python

        optimizer = nnx.LBFGS(model)
        for _ in range(10):
            value = optimizer.step(lambda: nnx.value_and_grad(loss)(model))

    Parameters
    ----------
    model : Module
        The model to update.
    learning_rate : float or schedule
        The length :math:`t`, or with a line search the one that it tries first. In the very first iteration it is
        multiplied by :math:`\min(1, 1 / \sum |\nabla_w|)`, since no scale is known yet.
    history_size : int
        How many of the last steps count. So many vectors of the model's size are kept, twice.
    line_search : {"strong_wolfe", None}
        How the length is found.
    max_iterations : int
        In one step.
    max_evaluations : int or None
        Of the function in one step, after which no iteration begins; with None, 5/4 of ``max_iterations``.
    tolerance_gradient : float
        A step ends when no element of the gradient is larger.
    tolerance_change : float
        A step ends when no parameter, or when the value, changed by more.

    Raises
    ------
    ArgumentError
        If a number is out of range, or ``model`` is not a module.

    See Also
    --------
    nnx.optimizers.minimize : SciPy's minimizers, for functions of any tree, with bounds, constraints and other methods.
        It works in float64 on the host, runs to the end in one call, and keeps nothing that could be saved. This class
        is for training a model: it stays on the model's device, and can be stopped, saved and resumed between steps.

    Notes
    -----
    Values, slopes and norms are read from the device in each iteration: they decide how to go on. Groups are not
    possible, since the step is one for all parameters. Parameters in half precision are rounded from a vector of
    float32. Source: J. Nocedal and S. J. Wright, "Numerical optimization", 2nd edition, 2006, chapters 3 and 7. The
    length of the first iteration, the least product of a step and the change of the gradient, 1e-10, and when a step
    ends are as in PyTorch. A trial whose value is not finite counts as too long a step.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, initializer=nnx.initializers.Constant(0.0), dtype="float64")
    >>> x = np.asarray([[0.0], [1.0], [2.0]])
    >>> loss = lambda model: nnx.functional.mse(model(x), 3.0 * x + 1.0)
    >>> optimizer = nnx.LBFGS(model)
    >>> round(optimizer.step(lambda: nnx.value_and_grad(loss)(model)), 6)  # the value before the step
    22.0
    >>> np.round(model.weight, 6), np.round(model.bias, 6)
    (array([[3.]]), array([1.]))
    """

    is_elementwise = False
    checks = MappingProxyType(
        {
            **CHECKS,
            "history_size": lambda value, name: as_integer(value, name, 1),
            "line_search": _as_line_search,
            "max_iterations": lambda value, name: as_integer(value, name, 1),
            "max_evaluations": lambda value, name: None if value is None else as_integer(value, name, 1),
            "tolerance_gradient": as_nonnegative,
            "tolerance_change": as_nonnegative,
        }
    )

    def __init__(
        self,
        model: Module,
        learning_rate: Rate = 1.0,
        *,
        history_size: int = 10,
        line_search: str | None = "strong_wolfe",
        max_iterations: int = 20,
        max_evaluations: int | None = None,
        tolerance_gradient: float = 1e-7,
        tolerance_change: float = 1e-9,
    ) -> None:
        super().__init__(
            model,
            learning_rate,
            history_size=history_size,
            line_search=line_search,
            max_iterations=max_iterations,
            max_evaluations=max_evaluations,
            tolerance_gradient=tolerance_gradient,
            tolerance_change=tolerance_change,
        )
        self._memory = Memory()

    def step(self, function: Objective) -> float:  # type: ignore[override]
        """Take one step of at most ``max_iterations`` iterations.

        Parameters
        ----------
        function : callable
            ``function()`` returns the value and the gradients at the current parameters of the model, as
            :func:`nnx.value_and_grad` does. It is called with other parameters in the model each time.

        Returns
        -------
        value : float
            What the function returned first: the value before the step.

        Raises
        ------
        UsageError
            If gradients are passed.
        NonFiniteError
            If the value or the gradient is NaN or infinite at the first call; without a line search, at any.
        ArgumentError, ShapeError, DTypeError, BackendError, DeviceError
            If the function returns something else. Whatever is raised, by the function too, the parameters and the
            optimizer are as before the step.
        """
        if not callable(function):
            raise UsageError(
                "LBFGS evaluates the model several times in a step: expected step(function), such as "
                f"optimizer.step(lambda: nnx.value_and_grad(loss)(model)), got {type(function).__name__}"
            )
        self._check_parameters()
        objective = VectorFunction(self.model, function)
        try:
            self._memory, value = iterate(objective, self._memory, self.learning_rate, self._hyperparameters)
        except BaseException:
            objective.put_back()
            raise
        self._step += 1
        return value

    def state_dict(self) -> dict[str, Any]:
        """Return the state: counts of steps, iterations and pairs, and arrays such as ``"gradient.0.weight"``.

        ``"steps.0.weight"`` and ``"changes.0.weight"`` have the pairs along their first axis.
        """
        self._check_parameters()
        rates = entry_of(self._configured, self.learning_rates)
        return {"step": self._step, **rates, **self._saved(self._memory)}

    def load_state_dict(self, state: Mapping[str, Any]) -> Self:
        """Replace the state by a saved one, moved to the library and device of the parameters.

        Returns
        -------
        LBFGS
            This optimizer.

        Raises
        ------
        CheckpointError
            Lists every name that is missing or extra, and every wrong shape or dtype. Then nothing is changed.
        """
        self._check_parameters()
        rest, rates = taken_from(state, self._configured, "LBFGS")
        count = 0 if misfit("pairs", 0, state.get("pairs")) else int(state["pairs"])
        if not 0 <= count <= self._hyperparameters["history_size"]:
            text = f"expected 0 to {self._hyperparameters['history_size']}, the history_size, got {count}"
            raise CheckpointError(f"the saved values do not fit LBFGS: pairs: {text}")
        nothing = self._nothing()
        own = self._saved(Memory(nothing, nothing, (Pair(nothing, nothing, 0.0),) * count))
        new = fitting({"step": 0, **own}, rest, True, "LBFGS", "its state")
        for name in ("step", "iterations"):
            if new[name] < 0:
                raise CheckpointError(f"the saved values do not fit LBFGS: {name}: expected >= 0, got {new[name]}")
        columns = {name: [new[f"{name}.{path}"] for path in self._paths] for name in NAMES}
        self._memory = from_columns(columns, self._shapes, new["iterations"])
        self._step = new["step"]
        self._set_rates(rates)
        return self

    def to(self, device: str | None = None, *, dtype: DType | str | None = None) -> Self:
        """Move the state after the model was moved; the arguments are those of :meth:`nnx.Module.to`.

        Returns
        -------
        LBFGS
            This optimizer.
        """
        wide = wide_dtype(dtype)
        self._memory = converted_memory(self._memory, lambda vector: converted(vector, device, wide))
        return self

    def _saved(self, memory: Memory) -> dict[str, Any]:
        arrays = {
            f"{name}.{path}": array
            for name, column in as_columns(memory, self._nothing(), self._shapes).items()
            for path, array in zip(self._paths, column, strict=True)
        }
        return {"iterations": memory.iterations, "pairs": len(memory.pairs), **arrays}

    def _nothing(self) -> Array:
        return wide_zeros(joined([*self.model.trainable_parameters().values()]))

    def _check_parameters(self) -> None:
        """Raise unless the parameters are those that the memory is of."""
        parameters = self.model.trainable_parameters()
        zeros([*parameters.values()])  # refuses complex ones
        paths, shapes = (*parameters,), tuple(tuple(w.shape) for w in parameters.values())
        if not any(map(math.prod, shapes)):
            raise UsageError("LBFGS needs a model with parameters that are trained and not empty, got none")
        gradient = self._memory.gradient
        if gradient is None:
            self._paths, self._shapes = paths, shapes
            return
        if paths != self._paths:
            refuse_other_paths(self._paths, paths)
        for path, parameter, shape in zip(paths, parameters.values(), self._shapes, strict=True):
            if tuple(parameter.shape) != shape:
                refuse_other_shape(path, shape, parameter)
        nothing = self._nothing()
        if (
            namespace(gradient) is not namespace(nothing)
            or gradient.dtype != nothing.dtype
            or device_of(gradient) != device_of(nothing)
        ):
            raise UsageError(
                "LBFGS keeps vectors on another device or in another dtype than the parameters, as after model.to(...) "
                "alone; move them too, with optimizer.to(...)"
            )

"""Adagrad."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnx.backend import namespace
from nnx.backend.blocks import PerParameter
from nnx.layers import Module
from nnx.optimizers.hyperparameters import Rate
from nnx.optimizers.optimizer import Optimizer
from nnx.optimizers.per_array import per_array, with_penalty, zeros
from nnx.types import Array


class Adagrad(Optimizer):
    r"""Adagrad: each element is moved by its gradient, divided by the root of the sum of all squares so far.

    .. math::
        g \leftarrow \nabla_w + \lambda w, \quad
        s \leftarrow s + g^2, \quad
        w \leftarrow w - \gamma \frac{g}{\sqrt{s} + \epsilon}

    :math:`s` starts at ``initial_accumulator_value``.

    Parameters
    ----------
    model : Module
        The model to update.
    learning_rate : float or schedule
        The step size :math:`\gamma`; it may be changed between steps.
    initial_accumulator_value : float
        The sum :math:`s` before the first step.
    eps : float
        :math:`\epsilon`, added outside the root. With 0, an element whose gradients were all 0 becomes NaN.
    weight_decay : float
        :math:`\lambda`, the factor of the L2 penalty, whose gradient is added.
    groups : sequence of dicts
        Hyperparameters of some parameters, as in :class:`nnx.optimizers.Optimizer`.

    Raises
    ------
    ArgumentError
        If a number is negative or not finite, or ``model`` is not a module.
    DTypeError
        At the first step, if a parameter is complex.

    Notes
    -----
    Source: J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online learning and stochastic
    optimization", JMLR 12, 2011. In place of PyTorch's ``lr_decay`` pass a schedule.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(3.0))
    >>> nnx.Adagrad(model, learning_rate=0.5).step({"weight": np.full((1, 1), 7.0, np.float32)})
    >>> model.weight
    array([[2.5]], dtype=float32)
    """

    flushed = frozenset({"sum_of_squares"})

    def __init__(
        self,
        model: Module,
        learning_rate: Rate = 1e-2,
        *,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
        groups: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        start = {"initial_accumulator_value": initial_accumulator_value}
        super().__init__(model, learning_rate, groups=groups, **start, eps=eps, weight_decay=weight_decay)

    @staticmethod
    def init(parameters: Sequence[Array], hyperparameters: Mapping[str, Any]) -> dict[str, list[Array]]:
        """Return a sum of squares for each parameter, at least in float32."""
        values = PerParameter.of(hyperparameters["initial_accumulator_value"], len(parameters))
        sums = zip(zeros(parameters, "sum_of_squares")["sum_of_squares"], values, strict=True)
        return {"sum_of_squares": [nothing + value for nothing, value in sums]}

    @staticmethod
    @per_array
    def rule(w: Array, g: Array, own: Mapping[str, Any], step: Any, sum_of_squares: Array) -> tuple[Any, ...]:
        """Move by the gradient, divided by the root of the sum of squares."""
        g = with_penalty(g, w, own)
        sum_of_squares += g * g
        size = namespace(w).sqrt(sum_of_squares)
        size += own["eps"]
        change = g / size
        change *= own["learning_rate"]
        w -= change
        return w, sum_of_squares

"""Adadelta."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from nnx.backend import namespace
from nnx.functional.checks import as_positive
from nnx.layers import Module
from nnx.optimizers.hyperparameters import CHECKS, Check, Rate
from nnx.optimizers.optimizer import Optimizer
from nnx.optimizers.per_array import average_square, per_array, with_penalty
from nnx.types import Array


class Adadelta(Optimizer):
    r"""Adadelta: RMSprop whose step size is the root of the mean square of the past changes.

    .. math::
        g \leftarrow \nabla_w + \lambda w, \quad
        v \leftarrow \rho v + (1 - \rho) g^2, \quad
        d = \sqrt{\frac{u + \epsilon}{v + \epsilon}} g, \quad
        u \leftarrow \rho u + (1 - \rho) d^2, \quad
        w \leftarrow w - \gamma d

    :math:`v` and :math:`u` start at zero.

    Parameters
    ----------
    model : Module
        The model to update.
    learning_rate : float or schedule
        The factor :math:`\gamma` of the changes; it may be changed between steps.
    rho : float
        :math:`\rho`, in [0, 1): how long squares count.
    eps : float
        :math:`\epsilon`, added under the roots. It sets the size of the first steps; with 0 nothing would ever move.
    weight_decay : float
        :math:`\lambda`, the factor of the L2 penalty, whose gradient is added.
    groups : sequence of dicts
        Hyperparameters of some parameters, as in :class:`nnx.optimizers.Optimizer`.

    Raises
    ------
    ArgumentError
        If a number is negative or not finite, ``eps`` is 0, ``rho`` is not in [0, 1), or ``model`` is not a module.
    DTypeError
        At the first step, if a parameter is complex.

    Notes
    -----
    Source: M. D. Zeiler, "ADADELTA: an adaptive learning rate method", 2012, where the learning rate is 1.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(3.0))
    >>> nnx.Adadelta(model, rho=0.75, eps=0.25).step({"weight": np.ones((1, 1), np.float32)})
    >>> model.weight
    array([[2.2928932]], dtype=float32)
    """

    zero_state = ("mean_square", "mean_square_change")
    flushed = frozenset(zero_state)
    checks: ClassVar[Mapping[str, Check]] = {**CHECKS, "eps": as_positive}

    def __init__(
        self,
        model: Module,
        learning_rate: Rate = 1.0,
        *,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        groups: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(model, learning_rate, groups=groups, rho=rho, eps=eps, weight_decay=weight_decay)

    @staticmethod
    @per_array
    def rule(
        w: Array, g: Array, own: Mapping[str, Any], step: Any, mean_square: Array, mean_square_change: Array
    ) -> tuple[Any, ...]:
        """Move by the gradient times the ratio of the roots of the mean squares."""
        rho, eps = own["rho"], own["eps"]
        g = with_penalty(g, w, own)
        mean_square = average_square(mean_square, g, rho)
        ratio = mean_square_change + eps
        ratio /= mean_square + eps
        change = namespace(w).sqrt(ratio)
        change *= g
        mean_square_change = average_square(mean_square_change, change, rho)
        change *= own["learning_rate"]
        w -= change
        return w, mean_square, mean_square_change

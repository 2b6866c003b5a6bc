"""Lion."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnx.backend import namespace
from nnx.layers import Module
from nnx.optimizers.hyperparameters import Rate
from nnx.optimizers.optimizer import Optimizer
from nnx.optimizers.per_array import average, per_array, shrunk
from nnx.types import Array


class Lion(Optimizer):
    r"""Lion: each element is moved by the learning rate, in the direction of a mean of its gradients.

    .. math::
        c = \beta_1 m + (1 - \beta_1) \nabla_w, \quad
        w \leftarrow w - \gamma (\operatorname{sign} c + \lambda w), \quad
        m \leftarrow \beta_2 m + (1 - \beta_2) \nabla_w

    :math:`m` starts at zero.

    Parameters
    ----------
    model : Module
        The model to update.
    learning_rate : float or schedule
        The step size :math:`\gamma`; it may be changed between steps. The paper advises a third to a tenth of that of
        :class:`nnx.AdamW`, with three to ten times its weight decay.
    betas : pair of floats
        :math:`\beta_1`, with which the direction is found, and :math:`\beta_2`, with which gradients are kept, in
        [0, 1).
    weight_decay : float
        :math:`\lambda`, multiplied by the learning rate, as in :class:`nnx.AdamW`.
    groups : sequence of dicts
        Hyperparameters of some parameters, as in :class:`nnx.optimizers.Optimizer`.

    Raises
    ------
    ArgumentError
        If a number is negative or not finite, a beta is not in [0, 1), or ``model`` is not a module.
    DTypeError
        At the first step, if a parameter is complex.

    Notes
    -----
    An element whose gradient has become 0 moves on by the learning rate until its moment is 0, thousands of steps
    later: in float32 about 7,600 after gradients of size 1, since what is below 7.7e-34 then becomes 0. Source:
    X. Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(3.0))
    >>> nnx.Lion(model, learning_rate=0.5).step({"weight": np.full((1, 1), 7.0, np.float32)})
    >>> model.weight
    array([[2.5]], dtype=float32)
    """

    zero_state = ("moment",)
    flushed = frozenset(zero_state)

    def __init__(
        self,
        model: Module,
        learning_rate: Rate = 1e-4,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        groups: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(model, learning_rate, groups=groups, betas=betas, weight_decay=weight_decay)

    @staticmethod
    @per_array
    def rule(w: Array, g: Array, own: Mapping[str, Any], step: Any, moment: Array) -> tuple[Any, ...]:
        """Move by the learning rate in the direction of a mean of gradients."""
        beta1, beta2 = own["betas"]
        direction = beta1 * moment
        direction += (1.0 - beta1) * g
        w = shrunk(w, own)
        w -= own["learning_rate"] * _sign(direction)
        return w, average(moment, g, beta2)


def _sign(x: Array) -> Array:
    """Return the sign, with comparisons in place of ``xp.sign``, which reads values on CuPy; of NaN it is NaN."""
    xp = namespace(x)
    ones = xp.ones_like(x)
    return xp.where(x > 0.0, ones, xp.where(x < 0.0, -ones, x))

"""Adamax."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnx.backend import maximum_into, namespace
from nnx.layers import Module
from nnx.optimizers.hyperparameters import Rate
from nnx.optimizers.optimizer import Optimizer
from nnx.optimizers.per_array import average, per_array, share_of, with_penalty
from nnx.types import Array


class Adamax(Optimizer):
    r"""Adam with the largest recent gradient in place of the root of the mean square.

    .. math::
        g \leftarrow \nabla_w + \lambda w, \quad
        m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad
        u \leftarrow \max(\beta_2 u, |g| + \epsilon), \quad
        w \leftarrow w - \gamma \frac{m}{(1 - \beta_1^t) u}

    :math:`m` and :math:`u` start at zero, and :math:`t` counts the steps from 1.

    Parameters
    ----------
    model : Module
        The model to update.
    learning_rate : float or schedule
        The step size :math:`\gamma`; it may be changed between steps.
    betas : pair of floats
        :math:`\beta_1` and :math:`\beta_2`, in [0, 1).
    eps : float
        :math:`\epsilon`, added to the size of each gradient. With 0, an element whose gradients were all 0 becomes NaN.
    weight_decay : float
        :math:`\lambda`, the factor of the L2 penalty, whose gradient is added.
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
    Source: D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015, section 7.1, which has no
    :math:`\epsilon`; it stands as in PyTorch.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(3.0))
    >>> nnx.Adamax(model, learning_rate=0.5).step({"weight": np.full((1, 1), 7.0, np.float32)})
    >>> model.weight
    array([[2.5]], dtype=float32)
    """

    zero_state = ("first_moment", "largest_gradient")
    flushed = frozenset({"first_moment"})  # the other one does not fall below eps

    def __init__(
        self,
        model: Module,
        learning_rate: Rate = 2e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        groups: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(model, learning_rate, groups=groups, betas=betas, eps=eps, weight_decay=weight_decay)

    @staticmethod
    @per_array
    def rule(
        w: Array, g: Array, own: Mapping[str, Any], step: Any, first_moment: Array, largest_gradient: Array
    ) -> tuple[Any, ...]:
        """Move by the mean gradient, divided by the largest one."""
        beta1, beta2 = own["betas"]
        g = with_penalty(g, w, own)
        m, u = average(first_moment, g, beta1), largest_gradient
        size = namespace(g).abs(g)
        size += own["eps"]
        u *= beta2
        u = maximum_into(u, size)
        change = m / u
        change *= own["learning_rate"] / share_of(beta1, step + 1)
        w -= change
        return w, m, u

"""RAdam."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnx.backend import namespace
from nnx.layers import Module
from nnx.optimizers.hyperparameters import Rate
from nnx.optimizers.optimizer import Optimizer
from nnx.optimizers.per_array import average, average_square, per_array, share_of, with_penalty
from nnx.types import Array


class RAdam(Optimizer):
    r"""Rectified Adam: no division by the mean square of the gradients until enough of them are known.

    .. math::
        \rho_\infty = \frac{2}{1 - \beta_2} - 1, \quad
        \rho_t = \rho_\infty - \frac{2 t \beta_2^t}{1 - \beta_2^t}, \quad
        r_t = \sqrt{\frac{(\rho_t - 4)(\rho_t - 2) \rho_\infty}{(\rho_\infty - 4)(\rho_\infty - 2) \rho_t}}

    .. math::
        w \leftarrow w - \gamma \frac{m}{1 - \beta_1^t} \cdot
        \begin{cases} r_t \sqrt{1 - \beta_2^t} / (\sqrt{v} + \epsilon) & \rho_t > 5 \\ 1 & \text{else} \end{cases}

    with :math:`m` and :math:`v` as in :class:`nnx.Adam`; :math:`t` counts the steps from 1. With the default betas the
    first 5 steps are those without a division.

    Parameters
    ----------
    model : Module
        The model to update.
    learning_rate : float or schedule
        The step size :math:`\gamma`; it may be changed between steps.
    betas : pair of floats
        :math:`\beta_1` and :math:`\beta_2`, in [0, 1).
    eps : float
        :math:`\epsilon`, added outside the root. With 0, an element whose gradients were all 0 becomes NaN.
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
    Source: L. Liu et al., "On the variance of the adaptive learning rate and beyond", ICLR 2020; as in PyTorch, the
    threshold is 5, where the paper has 4.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(3.0))
    >>> nnx.RAdam(model, learning_rate=0.25).step({"weight": np.full((1, 1), 2.0, np.float32)})
    >>> model.weight
    array([[2.5]], dtype=float32)
    """

    zero_state = ("first_moment", "second_moment")
    flushed = frozenset(zero_state)

    def __init__(
        self,
        model: Module,
        learning_rate: Rate = 1e-3,
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
        w: Array, g: Array, own: Mapping[str, Any], step: Any, first_moment: Array, second_moment: Array
    ) -> tuple[Any, ...]:
        """Move by the mean gradient, divided by the root of the mean square once that is known well enough."""
        (beta1, beta2), t = own["betas"], step + 1
        g = with_penalty(g, w, own)
        m, v = average(first_moment, g, beta1), average_square(second_moment, g, beta2)
        change = own["learning_rate"] / share_of(beta1, t) * m
        share = share_of(beta2, t)
        most = 2.0 / (1.0 - beta2) - 1.0
        known = most - 2.0 * t * (1.0 - share) / share
        if isinstance(t, int):
            if known > 5.0:
                change *= _rectified(v, known, most, share, own["eps"])
        elif most > 5.0:  # a library compiles the rule for all steps
            xp = namespace(t, v)
            change *= xp.where(known > 5.0, _rectified(v, known, most, share, own["eps"]), xp.ones_like(v))
        w -= change
        return w, m, v


def _rectified(v: Array, known: Any, most: float, share: Any, eps: float) -> Array:
    factor = share * (known - 4.0) * (known - 2.0) * most / ((most - 4.0) * (most - 2.0) * known)
    size = namespace(v).sqrt(v)
    size += eps
    return factor**0.5 / size

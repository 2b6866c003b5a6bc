"""NAdam."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from nnx.backend import namespace
from nnx.layers import Module
from nnx.optimizers.hyperparameters import Rate
from nnx.optimizers.optimizer import Optimizer
from nnx.optimizers.per_array import average, average_square, corrected_root, per_array, with_penalty
from nnx.types import Array


class NAdam(Optimizer):
    r"""Adam with Nesterov's momentum, whose factor grows from about half of :math:`\beta_1` to :math:`\beta_1`.

    .. math::
        \mu_t = \beta_1 \left(1 - \tfrac{1}{2} 0.96^{\psi t}\right), \quad
        c = \frac{1 - \mu_t}{1 - \prod_{i \le t} \mu_i} g + \frac{\mu_{t+1}}{1 - \prod_{i \le t+1} \mu_i} m, \quad
        w \leftarrow w - \gamma \frac{c}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    with :math:`g`, :math:`m` and :math:`v` as in :class:`nnx.Adam`; :math:`t` counts the steps from 1.

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
    momentum_decay : float
        :math:`\psi`: the larger it is, the sooner the momentum comes to :math:`\beta_1`.
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
    The product of the :math:`\mu_i` is computed from :math:`t`, so it is no part of the state. Source: T. Dozat,
    "Incorporating Nesterov momentum into Adam", ICLR workshop 2016; as in PyTorch, :math:`m` has the factor
    :math:`\beta_1`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(3.0))
    >>> nnx.NAdam(model, learning_rate=0.5, betas=(0.0, 0.5)).step({"weight": np.full((1, 1), 7.0, np.float32)})
    >>> model.weight
    array([[2.5]], dtype=float32)
    """

    zero_state = ("first_moment", "second_moment")
    flushed = frozenset(zero_state)

    def __init__(
        self,
        model: Module,
        learning_rate: Rate = 2e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        groups: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        hyperparameters = {"betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay}
        super().__init__(model, learning_rate, groups=groups, **hyperparameters)

    @staticmethod
    @per_array
    def rule(
        w: Array, g: Array, own: Mapping[str, Any], step: Any, first_moment: Array, second_moment: Array
    ) -> tuple[Any, ...]:
        """Move by the gradient and its mean, divided by the root of the mean square."""
        (beta1, beta2), psi, t = own["betas"], own["momentum_decay"], step + 1
        g = with_penalty(g, w, own)
        m, v = average(first_moment, g, beta1), average_square(second_moment, g, beta2)
        change = (1.0 - _momentum(beta1, psi, t)) / (1.0 - _product(beta1, psi, t)) * g
        change += _momentum(beta1, psi, t + 1) / (1.0 - _product(beta1, psi, t + 1)) * m
        change /= corrected_root(v, beta2, t, own["eps"])
        change *= own["learning_rate"]
        w -= change
        return w, m, v


def _momentum(beta: float, psi: float, t: Any) -> Any:
    return beta * (1.0 - 0.5 * 0.96 ** (psi * t))


def _product(beta: float, psi: float, t: Any) -> Any:
    """Return the product of the momenta of steps 1 to ``t``."""
    return _known_product(beta, psi, t) if isinstance(t, int) else _any_product(beta, psi, t, namespace(t))


def _any_product(beta: float, psi: float, t: Any, functions: Any) -> Any:
    """Return the product as ``beta**t`` times the exponential of the sum over ``log(1 - q**i / 2)``, ``q = 0.96**psi``.

    With ``-log(1 - x) = x + x**2 / 2 + ...`` the sum over the steps is one over geometric series.
    """
    rate, total = psi * math.log(0.96), 0.0 * t
    for k in range(1, 41):
        series = functions.expm1(rate * k * t) / -math.expm1(-rate * k) if rate else t
        total = total - series / (k * 2.0**k)
    return beta**t * functions.exp(total)


@lru_cache(maxsize=64)  # one step asks for it once for each parameter
def _known_product(beta: float, psi: float, t: int) -> float:
    return float(_any_product(beta, psi, t, math))

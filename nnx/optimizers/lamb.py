"""LAMB."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnx.backend import namespace
from nnx.layers import Module
from nnx.optimizers.adam import adam_change
from nnx.optimizers.hyperparameters import Rate
from nnx.optimizers.optimizer import Optimizer
from nnx.optimizers.per_array import norm_of, per_array
from nnx.types import Array


class LAMB(Optimizer):
    r"""LAMB: the direction of AdamW, with a step as long as the parameter itself, times the learning rate.

    .. math::
        m \leftarrow \beta_1 m + (1 - \beta_1) \nabla_w, \quad
        v \leftarrow \beta_2 v + (1 - \beta_2) \nabla_w^2, \quad
        u = \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon} + \lambda w, \quad
        w \leftarrow w - \gamma \frac{\lVert w \rVert}{\lVert u \rVert} u

    The norms are those of a whole parameter, such as the weight of a layer. Their quotient, the trust ratio, is 1 where
    one of them is 0, so that a parameter which starts at zero can leave it. :math:`m` and :math:`v` start at zero, and
    :math:`t` counts the steps from 1. It is meant for batches of thousands of examples.

    Parameters
    ----------
    model : Module
        The model to update.
    learning_rate : float or schedule
        :math:`\gamma`: by which part of its norm a parameter moves; it may be changed between steps.
    betas : pair of floats
        :math:`\beta_1` and :math:`\beta_2`, in [0, 1).
    eps : float
        :math:`\epsilon`, added outside the root. With 0, an element whose gradients were all 0 becomes NaN.
    weight_decay : float
        :math:`\lambda`. As it is a part of the direction, it counts in the norm :math:`\lVert u \rVert`.
    groups : sequence of dicts
        Hyperparameters of some parameters, as in :class:`nnx.optimizers.Optimizer`, such as
        ``[{"paths": ["*bias", "*norm*"], "weight_decay": 0.0}]``.

    Raises
    ------
    ArgumentError
        If a number is negative or not finite, a beta is not in [0, 1), or ``model`` is not a module.
    DTypeError
        At the first step, if a parameter is complex.

    Notes
    -----
    Source: Y. You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", ICLR 2020,
    algorithm 2, with the identity as the function of the norm. As the authors' program does, and unlike its first
    versions, it corrects the bias of both moments.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(3.0))
    >>> nnx.LAMB(model, learning_rate=0.1).step({"weight": np.full((1, 1), 7.0, np.float32)})
    >>> model.weight
    array([[2.7]], dtype=float32)
    """

    is_elementwise = False
    zero_state = ("first_moment", "second_moment")
    flushed = frozenset(zero_state)

    def __init__(
        self,
        model: Module,
        learning_rate: Rate = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        groups: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(model, learning_rate, groups=groups, betas=betas, eps=eps, weight_decay=weight_decay)

    @staticmethod
    @per_array
    def rule(
        w: Array, g: Array, own: Mapping[str, Any], step: int, first_moment: Array, second_moment: Array
    ) -> tuple[Any, ...]:
        """Move in the direction of AdamW by a part of the parameter's norm."""
        change, first_moment, second_moment, _ = adam_change(g, own, step, 1.0, first_moment, second_moment)
        if own["weight_decay"]:
            change += own["weight_decay"] * w
        change *= own["learning_rate"] * _trust_ratio(w, change)
        w -= change
        return w, first_moment, second_moment


def _trust_ratio(w: Array, change: Array) -> Array:
    """Return how much longer the parameter is than the change, 1 where one of them is zero."""
    xp = namespace(w)
    length, size = norm_of(w), norm_of(change)
    one = xp.ones_like(size)
    return xp.where((length > 0.0) & (size > 0.0), length / xp.where(size > 0.0, size, one), one)

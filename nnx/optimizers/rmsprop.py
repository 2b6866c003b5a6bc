"""RMSprop."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnx.backend import namespace
from nnx.backend.blocks import PerParameter
from nnx.layers import Module
from nnx.optimizers.hyperparameters import Rate
from nnx.optimizers.optimizer import Optimizer
from nnx.optimizers.per_array import average, average_square, per_array, with_penalty, zeros
from nnx.types import Array


class RMSprop(Optimizer):
    r"""RMSprop: each element is moved by its gradient, divided by the root of the mean square of the gradients.

    .. math::
        g \leftarrow \nabla_w + \lambda w, \quad
        v \leftarrow \rho v + (1 - \rho) g^2, \quad
        u \leftarrow \mu u + \frac{g}{\sqrt{v} + \epsilon}, \quad
        w \leftarrow w - \gamma u

    Centered, it divides by the standard deviation :math:`\sqrt{v - m^2} + \epsilon`, with the mean
    :math:`m \leftarrow \rho m + (1 - \rho) g`. All state starts at zero, without a correction for that.

    Parameters
    ----------
    model : Module
        The model to update.
    learning_rate : float or schedule
        The step size :math:`\gamma`; it may be changed between steps.
    rho : float
        :math:`\rho`, in [0, 1): how long squares of gradients count.
    momentum : float
        :math:`\mu`. With 0, the default, :math:`u` is not kept.
    centered : bool
        Whether to divide by the standard deviation.
    eps : float
        :math:`\epsilon`, added outside the root. With 0, an element whose gradients were all 0 becomes NaN.
    weight_decay : float
        :math:`\lambda`, the factor of the L2 penalty, whose gradient is added.
    groups : sequence of dicts
        Hyperparameters of some parameters, as in :class:`nnx.optimizers.Optimizer`.

    Raises
    ------
    ArgumentError
        If a number is negative or not finite, ``rho`` is not in [0, 1), or ``model`` is not a module.
    DTypeError
        At the first step, if a parameter is complex.

    Notes
    -----
    Sources: T. Tieleman and G. Hinton, "Lecture 6.5: RMSProp", Coursera, 2012; A. Graves, "Generating sequences with
    recurrent neural networks", 2013, for the centered form. As in PyTorch, whose ``alpha`` is ``rho``, the learning
    rate multiplies the momentum and is not part of it. A variance that rounding has made negative counts as 0.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(3.0))
    >>> nnx.RMSprop(model, learning_rate=0.25, rho=0.75).step({"weight": np.full((1, 1), 7.0, np.float32)})
    >>> model.weight
    array([[2.5]], dtype=float32)
    """

    flushed = frozenset({"mean_square", "mean", "velocity"})

    def __init__(
        self,
        model: Module,
        learning_rate: Rate = 1e-2,
        *,
        rho: float = 0.99,
        momentum: float = 0.0,
        centered: bool = False,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        groups: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        form = {"rho": rho, "momentum": momentum, "centered": centered}
        super().__init__(model, learning_rate, groups=groups, **form, eps=eps, weight_decay=weight_decay)

    @staticmethod
    def init(parameters: Sequence[Array], hyperparameters: Mapping[str, Any]) -> dict[str, list[Array]]:
        """Return what the form needs, as zeros for each parameter, at least in float32."""
        needed = {"mean": hyperparameters["centered"], "velocity": hyperparameters["momentum"]}
        names = [name for name, switch in needed.items() if any(PerParameter.of(switch, 1))]
        return zeros(parameters, "mean_square", *names)

    @staticmethod
    @per_array
    def rule(
        w: Array,
        g: Array,
        own: Mapping[str, Any],
        step: Any,
        mean_square: Array,
        mean: Array | None = None,
        velocity: Array | None = None,
    ) -> tuple[Any, ...]:
        """Move by the gradient, divided by the root of the mean square or by the standard deviation."""
        xp = namespace(w)
        g = with_penalty(g, w, own)
        square = mean_square = average_square(mean_square, g, own["rho"])
        if own["centered"]:
            mean = average(mean, g, own["rho"])
            square = xp.maximum(mean_square - mean * mean, xp.zeros_like(mean_square))
        size = xp.sqrt(square)
        size += own["eps"]
        change = g / size
        if own["momentum"]:
            velocity *= own["momentum"]
            velocity += change
            change = own["learning_rate"] * velocity
        else:
            change *= own["learning_rate"]
        w -= change
        return w, mean_square, mean, velocity

"""Adam and AdamW, also as AMSGrad."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnx.backend import maximum_into
from nnx.backend.blocks import PerParameter, fused_as
from nnx.layers import Module
from nnx.layers.patterns import as_patterns
from nnx.optimizers.hyperparameters import Rate
from nnx.optimizers.optimizer import Optimizer
from nnx.optimizers.per_array import (
    average,
    average_square,
    corrected_root,
    per_array,
    share_of,
    shrunk,
    with_penalty,
    zeros,
)
from nnx.types import Array


class Adam(Optimizer):
    r"""Adam: each element is moved by the mean of its gradients, divided by the root of their mean square.

    .. math::
        g \leftarrow \nabla_w + \lambda w, \quad
        m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        w \leftarrow w - \gamma \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    :math:`m` and :math:`v` start at zero, and :math:`t` counts the steps from 1. As AMSGrad it divides by the root of
    the largest :math:`v` so far instead of the current one, so that the steps of an element never grow longer.

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
        :math:`\lambda`, the factor of the L2 penalty, whose gradient is added. :class:`AdamW` decouples it.
    amsgrad : bool
        Whether to keep the largest :math:`v` and divide by its root.
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
    For parameters in half precision, the moments :math:`m` and :math:`v` are kept and the step is computed in float32.
    Sources: D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015; S. J. Reddi et al., "On
    the convergence of Adam and beyond", ICLR 2018, for AMSGrad. As in PyTorch, the largest :math:`v` is found before
    the division by :math:`1 - \beta_2^t`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(3.0))
    >>> optimizer = nnx.Adam(model, learning_rate=0.5)
    >>> optimizer.step({"weight": np.full((1, 1), 7.0, np.float32)})
    >>> model.weight
    array([[2.5]], dtype=float32)
    """

    flushed = frozenset({"first_moment", "second_moment", "largest_second_moment"})

    def __init__(
        self,
        model: Module,
        learning_rate: Rate = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        groups: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        hyperparameters = {"betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(model, learning_rate, groups=groups, **hyperparameters)

    @staticmethod
    def init(parameters: Sequence[Array], hyperparameters: Mapping[str, Any]) -> dict[str, list[Array]]:
        """Return two moments of zeros for each parameter, at least in float32; three for AMSGrad."""
        largest = ["largest_second_moment"] if any(PerParameter.of(hyperparameters["amsgrad"], 1)) else []
        return zeros(parameters, "first_moment", "second_moment", *largest)

    @staticmethod
    @fused_as("adam")
    @per_array
    def rule(
        w: Array,
        g: Array,
        own: Mapping[str, Any],
        step: int,
        first_moment: Array,
        second_moment: Array,
        largest_second_moment: Array | None = None,
    ) -> tuple[Any, ...]:
        """Take a step of Adam with an L2 penalty."""
        g = with_penalty(g, w, own)
        return _adam(w, g, own, step, first_moment, second_moment, largest_second_moment)


class AdamW(Adam):
    r"""Adam with decoupled weight decay: the weights shrink by a factor, before the step of :class:`Adam`.

    .. math:: w \leftarrow (1 - \gamma \lambda) w, \quad \text{then as in Adam, without the penalty}

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
        :math:`\lambda`, multiplied by the learning rate.
    no_decay : str or sequence of str
        Patterns of the paths of parameters that do not shrink, such as ``("*bias", "*norm*")``, as in
        :func:`nnx.freeze`. It is the last of the ``groups``, with a decay of 0.
    amsgrad : bool
        Whether to divide by the root of the largest :math:`v` so far, as in :class:`Adam`.
    groups : sequence of dicts
        Hyperparameters of some parameters, as in :class:`nnx.optimizers.Optimizer`.

    Raises
    ------
    ArgumentError
        If a number is negative or not finite, a beta is not in [0, 1), ``model`` is not a module, or a pattern matches
        no parameter.
    DTypeError
        At the first step, if a parameter is complex.

    Notes
    -----
    Source: I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019; as in PyTorch, the decay is
    multiplied by the learning rate.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, initializer=nnx.initializers.Constant(3.0))
    >>> optimizer = nnx.AdamW(model, learning_rate=0.5, weight_decay=0.1, no_decay="*bias")
    >>> optimizer.step({"weight": np.zeros((1, 1), np.float32), "bias": np.zeros(1, np.float32)})
    >>> model.weight
    array([[2.85]], dtype=float32)
    """

    def __init__(
        self,
        model: Module,
        learning_rate: Rate = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        no_decay: str | Sequence[str] = (),
        amsgrad: bool = False,
        groups: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        super().__init__(
            model, learning_rate, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, groups=groups
        )
        self._spared = as_patterns(no_decay, "no_decay")
        self._append_group(self._spared, {"weight_decay": 0.0}, "no_decay")

    def _current_arguments(self) -> dict[str, Any]:
        return super()._current_arguments() | {"no_decay": self._spared}

    @staticmethod
    @fused_as("adamw")
    @per_array
    def rule(
        w: Array,
        g: Array,
        own: Mapping[str, Any],
        step: int,
        first_moment: Array,
        second_moment: Array,
        largest_second_moment: Array | None = None,
    ) -> tuple[Any, ...]:
        """Take a step of Adam on weights that have shrunk."""
        return _adam(shrunk(w, own), g, own, step, first_moment, second_moment, largest_second_moment)


def _adam(
    w: Array, g: Array, own: Mapping[str, Any], step: int, m: Array, v: Array, largest: Array | None
) -> tuple[Any, ...]:
    change, m, v, largest = adam_change(g, own, step, own["learning_rate"], m, v, largest)
    w -= change
    return w, m, v, largest


def adam_change(
    g: Array, own: Mapping[str, Any], step: int, rate: float, m: Array, v: Array, largest: Array | None = None
) -> tuple[Array, Array, Array, Array | None]:
    """Return ``rate`` times the direction of Adam, in new memory, and the new moments, which may be overwritten."""
    beta1, beta2 = own["betas"]
    m, v = average(m, g, beta1), average_square(v, g, beta2)
    bound = v
    if largest is not None and own["amsgrad"]:
        bound = largest = maximum_into(largest, v)
    change = m / corrected_root(bound, beta2, step + 1, own["eps"])
    change *= rate / share_of(beta1, step + 1)
    return change, m, v, largest

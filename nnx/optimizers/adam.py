"""Adam and AdamW."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from nnx.backend import dtype_name, is_real_floating, namespace
from nnx.backend.blocks import PerParameter
from nnx.errors import ArgumentError, DTypeError
from nnx.functional.checks import as_nonnegative
from nnx.layers import Module
from nnx.layers.patterns import as_patterns, chosen
from nnx.layers.plan import usable_plan
from nnx.optimizers.optimizer import Optimizer
from nnx.types import Array, DType

_HALF = ("float16", "bfloat16")


class Adam(Optimizer):
    r"""Adam: each element is moved by the mean of its gradients, divided by the root of their mean square.

    .. math::
        g \leftarrow \nabla_w + \lambda w, \quad
        m \leftarrow \beta_1 m + (1 - \beta_1) g, \quad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \quad
        w \leftarrow w - \gamma \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    :math:`m` and :math:`v` start at zero, and :math:`t` counts the steps from 1.

    Parameters
    ----------
    model : Module
        The model to update.
    learning_rate : float
        The step size :math:`\gamma`; it may be changed between steps.
    betas : pair of floats
        :math:`\beta_1` and :math:`\beta_2`, in [0, 1).
    eps : float
        :math:`\epsilon`, added outside the root.
    weight_decay : float
        :math:`\lambda`, the factor of the L2 penalty, whose gradient is added. :class:`AdamW` decouples it.

    Raises
    ------
    ArgumentError
        If a number is negative or not finite, a beta is not in [0, 1), or ``model`` is not a module.
    DTypeError
        At the first step, if a parameter is complex.

    Notes
    -----
    For parameters in half precision, the moments :math:`m` and :math:`v` are kept and the step is computed in float32.
    Source: D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(3.0))
    >>> optimizer = nnx.Adam(model, learning_rate=0.5)
    >>> optimizer.step({"weight": np.full((1, 1), 7.0, np.float32)})
    >>> model.weight
    array([[2.5]], dtype=float32)
    """

    def __init__(
        self,
        model: Module,
        learning_rate: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        eps, decay = as_nonnegative(eps, "eps"), as_nonnegative(weight_decay, "weight_decay")
        super().__init__(model, learning_rate, betas=_as_betas(betas), eps=eps, weight_decay=decay)

    @staticmethod
    def init(parameters: Sequence[Array], hyperparameters: Mapping[str, Any]) -> dict[str, list[Array]]:
        """Return two moments of zeros for each parameter, at least in float32."""
        return {name: [_zeros_like(w) for w in parameters] for name in ("first_moment", "second_moment")}

    @staticmethod
    def rule(
        gradients: Sequence[Array],
        state: Mapping[str, Sequence[Array]],
        parameters: Sequence[Array],
        step: int,
        hyperparameters: Mapping[str, Any],
    ) -> tuple[list[Array], dict[str, list[Array]]]:
        """Return the parameters and the state after one step; ``step`` counts from 0."""
        return _adam(gradients, state, parameters, step, hyperparameters, is_decoupled=False)

    def to(self, device: str | None = None, *, dtype: DType | str | None = None) -> Self:
        """Move the state after the model was moved; for a model in half precision it is kept in float32."""
        is_half = dtype is not None and dtype_name(dtype) in _HALF
        return super().to(device, dtype="float32" if is_half else dtype)


class AdamW(Adam):
    r"""Adam with decoupled weight decay: the weights shrink by a factor, before the step of :class:`Adam`.

    .. math:: w \leftarrow (1 - \gamma \lambda) w, \quad \text{then as in Adam, without the penalty}

    Parameters
    ----------
    model : Module
        The model to update.
    learning_rate : float
        The step size :math:`\gamma`; it may be changed between steps.
    betas : pair of floats
        :math:`\beta_1` and :math:`\beta_2`, in [0, 1).
    eps : float
        :math:`\epsilon`, added outside the root.
    weight_decay : float
        :math:`\lambda`, multiplied by the learning rate.
    no_decay : str or sequence of str
        Patterns of the paths of parameters that do not shrink, such as ``("*bias", "*norm*")``, as in
        :func:`nnx.freeze`.

    Raises
    ------
    ArgumentError
        If a number is negative or not finite, a beta is not in [0, 1), ``model`` is not a module, or, at the first
        step, a pattern matches no parameter.
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

    _varies_by_path = True

    def __init__(
        self,
        model: Module,
        learning_rate: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        no_decay: str | Sequence[str] = (),
    ) -> None:
        super().__init__(model, learning_rate, betas=betas, eps=eps, weight_decay=weight_decay)
        self._hyperparameters["no_decay"] = as_patterns(no_decay, "no_decay")

    @staticmethod
    def rule(
        gradients: Sequence[Array],
        state: Mapping[str, Sequence[Array]],
        parameters: Sequence[Array],
        step: int,
        hyperparameters: Mapping[str, Any],
    ) -> tuple[list[Array], dict[str, list[Array]]]:
        """Return the parameters and the state after one step; ``step`` counts from 0."""
        return _adam(gradients, state, parameters, step, hyperparameters, is_decoupled=True)

    def _for_rule(self) -> dict[str, Any]:
        found = self._hyperparameters
        if not found["no_decay"]:
            return found
        plan = usable_plan(self.model)
        spared = chosen(plan.all_paths, found["no_decay"], "no_decay")
        decay = found["weight_decay"]
        return found | {"weight_decay": PerParameter(0.0 if path in spared else decay for path in plan.paths)}


def _adam(
    gradients: Sequence[Array],
    state: Mapping[str, Sequence[Array]],
    parameters: Sequence[Array],
    step: int,
    hyperparameters: Mapping[str, Any],
    *,
    is_decoupled: bool,
) -> tuple[list[Array], dict[str, list[Array]]]:
    rate, eps, (beta1, beta2) = (hyperparameters[name] for name in ("learning_rate", "eps", "betas"))
    decays = PerParameter.of(hyperparameters["weight_decay"], len(parameters))
    step_size = rate / _share_of(beta1, step + 1)
    root = _share_of(beta2, step + 1) ** 0.5
    new, firsts, seconds = [], [], []
    for w, g, m, v, decay in zip(
        parameters, gradients, state["first_moment"], state["second_moment"], decays, strict=True
    ):
        xp, dtype = namespace(w), w.dtype
        if dtype != m.dtype:  # half precision
            w, g = xp.astype(w, m.dtype), xp.astype(g, m.dtype)
        if decay and is_decoupled:
            w *= 1.0 - rate * decay
        elif decay:
            g = g + decay * w
        m *= beta1  # in place where the library can, else a new array under the name
        m += (1.0 - beta1) * g
        square = g * g
        square *= 1.0 - beta2
        v *= beta2
        v += square
        size = xp.sqrt(v)
        size /= root
        size += eps
        change = m / size
        change *= step_size
        w -= change
        new.append(w if w.dtype == dtype else xp.astype(w, dtype))
        firsts.append(m)
        seconds.append(v)
    return new, {"first_moment": firsts, "second_moment": seconds}


def _share_of(beta: float, count: Any) -> Any:
    """Return ``1 - beta ** count``, by which a moment that started at 0 is too small."""
    if isinstance(count, int) or not beta:
        return 1.0 - beta**count
    return -namespace(count).expm1(count * math.log(beta))  # an array, where a library compiles the rule: in float32


def _zeros_like(parameter: Array) -> Array:
    if not is_real_floating(parameter):
        raise DTypeError(
            f"expected real parameters, got {dtype_name(parameter.dtype)}; use nnx.SGD, or train the real and "
            "imaginary parts as two parameters"
        )
    xp = namespace(parameter)
    is_half = dtype_name(parameter.dtype) in _HALF
    return xp.zeros_like(parameter, dtype=xp.float32 if is_half else parameter.dtype)


def _as_betas(betas: Any) -> tuple[float, float]:
    try:
        beta1, beta2 = map(float, betas)
    except (TypeError, ValueError):
        beta1 = beta2 = math.nan
    if not (0.0 <= beta1 < 1.0 and 0.0 <= beta2 < 1.0):
        raise ArgumentError(f"expected betas to be two numbers in [0, 1), got {betas!r}")
    return beta1, beta2

"""Adafactor."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from nnx.backend import namespace
from nnx.backend.blocks import wide_zeros
from nnx.errors import ArgumentError
from nnx.functional.checks import as_finite, as_nonnegative, as_positive
from nnx.layers import Module
from nnx.optimizers.hyperparameters import CHECKS, Rate, as_flag
from nnx.optimizers.optimizer import Optimizer
from nnx.optimizers.per_array import at_least, average, norm_of, per_array, shrunk, zeros
from nnx.types import Array


def _as_decay(value: Any, name: str) -> float:
    number = as_finite(value, name)
    if number > 0.0:
        raise ArgumentError(f"expected {name} <= 0, such as -0.8, got {value!r}")
    return number


def _as_pair(value: Any, name: str) -> tuple[float | None, float]:
    try:
        first, second = value
        return None if first is None else as_positive(first, name), as_nonnegative(second, name)
    except (TypeError, ValueError):  # of which ArgumentError is one
        raise ArgumentError(
            f"expected {name} to be a number > 0 or None, and a number >= 0, as (None, 1e-3), got {value!r}"
        ) from None


class Adafactor(Optimizer):
    r"""Adafactor: Adam without a first moment, whose second moments of a matrix are kept as two vectors.

    For a matrix, with the means of squares along its rows and columns and :math:`\beta_t = 1 - t^{-0.8}`

    .. math::
        r \leftarrow \beta_t r + (1 - \beta_t) \operatorname{mean}_j g_{ij}^2, \quad
        c \leftarrow \beta_t c + (1 - \beta_t) \operatorname{mean}_i g_{ij}^2, \quad
        v_{ij} = \frac{r_i c_j}{\operatorname{mean} r}

    For a vector or a scalar, :math:`v` is the mean of the squares itself. The step, with
    :math:`\operatorname{rms} x`, the root of the mean of all squares of an array, is

    .. math::
        u = \frac{g}{\sqrt{v}}, \quad
        \rho = \min(\gamma, t^{-1/2}), \quad
        w \leftarrow (1 - \gamma \lambda) w - \rho \max(\epsilon_2, \operatorname{rms} w)
        \frac{u}{\max(1, \operatorname{rms}(u) / d)}

    Of an array with more than two axes the last two are rows and columns, for each index of the others. For the kernels
    of a convolution these are the window, so that hardly any memory is saved there.

    Parameters
    ----------
    model : Module
        The model to update.
    learning_rate : float or schedule
        :math:`\gamma`, the longest relative step.
    beta2_decay : float
        The exponent of :math:`1 - \beta_t`, at most 0.
    eps : pair
        :math:`\epsilon_1`, the least value of :math:`\sqrt{v}` and of :math:`\operatorname{mean} r`, or None for the
        resolution of the dtype; and :math:`\epsilon_2`, the least scale of a parameter, so that one that starts at zero
        can leave it.
    clip_threshold : float
        :math:`d`: the greatest root mean square of :math:`u`; what is greater is scaled down.
    weight_decay : float
        :math:`\lambda`, multiplied by the learning rate, as in :class:`nnx.AdamW`.
    relative_step : bool
        With False, :math:`\rho = \gamma` in all steps.
    scale_parameter : bool
        With False, the step is not multiplied by :math:`\max(\epsilon_2, \operatorname{rms} w)`.
    groups : sequence of dicts
        Hyperparameters of some parameters, as in :class:`nnx.optimizers.Optimizer`.

    Raises
    ------
    ArgumentError
        If a number is out of range, or ``model`` is not a module.
    DTypeError
        At the first step, if a parameter is complex.

    Notes
    -----
    Source: N. Shazeer and M. Stern, "Adafactor: adaptive learning rates with sublinear memory cost", ICML 2018,
    algorithms 4 and 5. As in PyTorch, :math:`\epsilon_1` bounds the results, where the paper adds 1e-30 to the squares;
    weights decay, which the paper's do not; and the second moment is the only one, without the momentum that the paper
    allows. For parameters in half precision the step is computed in float32, and its resolution is the default
    :math:`\epsilon_1`; PyTorch takes that of half precision.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(3, 2, bias=False, initializer=nnx.initializers.Constant(2.0))
    >>> optimizer = nnx.Adafactor(model, learning_rate=0.25)
    >>> optimizer.step({"weight": np.full((3, 2), 7.0, np.float32)})
    >>> model.weight[0]
    array([1.5, 1.5], dtype=float32)
    >>> [x.shape for x in optimizer.state_dict().values() if hasattr(x, "shape")]
    [(3,), (2,)]
    """

    is_elementwise = False
    flushed = frozenset({"row_moment", "column_moment", "second_moment"})
    checks = MappingProxyType(
        {
            **CHECKS,
            "beta2_decay": _as_decay,
            "clip_threshold": as_positive,
            "eps": _as_pair,
            "relative_step": as_flag,
            "scale_parameter": as_flag,
        }
    )

    def __init__(
        self,
        model: Module,
        learning_rate: Rate = 1e-2,
        *,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 1e-3),
        clip_threshold: float = 1.0,
        weight_decay: float = 0.0,
        relative_step: bool = True,
        scale_parameter: bool = True,
        groups: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        flags = {"relative_step": relative_step, "scale_parameter": scale_parameter}
        numbers = {"beta2_decay": beta2_decay, "eps": eps, "clip_threshold": clip_threshold}
        super().__init__(model, learning_rate, groups=groups, **numbers, weight_decay=weight_decay, **flags)

    @staticmethod
    def init(parameters: Sequence[Array], hyperparameters: Mapping[str, Any]) -> dict[str, list[Array]]:
        """Return zeros: means along rows and columns of matrices, and of all else a mean of its own shape."""
        zeros(parameters)  # refuses complex ones
        shapes = [tuple(w.shape) for w in parameters]
        kept = {
            "row_moment": [shape[:-1] if len(shape) > 1 else (0,) for shape in shapes],
            "column_moment": [shape[:-2] + shape[-1:] if len(shape) > 1 else (0,) for shape in shapes],
            "second_moment": [shape if len(shape) < 2 else (0,) for shape in shapes],
        }
        return {name: [*map(wide_zeros, parameters, own)] for name, own in kept.items()}

    @staticmethod
    @per_array
    def rule(
        w: Array,
        g: Array,
        own: Mapping[str, Any],
        step: Any,
        row_moment: Array,
        column_moment: Array,
        second_moment: Array,
    ) -> tuple[Any, ...]:
        """Move by a part of the parameter's own scale."""
        if 0 in w.shape:
            return w, row_moment, column_moment, second_moment
        xp, (eps, least_scale), size = namespace(w), own["eps"], math.prod(w.shape)
        if eps is None:
            eps = float(xp.finfo(w.dtype).eps)
        scale = _relative_step(own, step)
        if own["scale_parameter"]:
            scale = scale * at_least(norm_of(w) / size**0.5, least_scale)
        w = shrunk(w, own)
        square, beta = g * g, 1.0 - (step + 1.0) ** own["beta2_decay"]
        if w.ndim > 1:
            row_moment = average(row_moment, xp.mean(square, axis=-1), beta)
            column_moment = average(column_moment, xp.mean(square, axis=-2), beta)
            share = row_moment / at_least(xp.mean(row_moment, axis=-1, keepdims=True), eps)
            root = xp.sqrt(share[..., :, None] * column_moment[..., None, :])
        else:
            second_moment = average(second_moment, square, beta)
            root = xp.sqrt(second_moment)
        change = g / at_least(root, eps)
        change *= scale / at_least(norm_of(change) / (size**0.5 * own["clip_threshold"]), 1.0)
        w -= change
        return w, row_moment, column_moment, second_moment


def _relative_step(own: Mapping[str, Any], step: Any) -> Any:
    rate = own["learning_rate"]
    if not own["relative_step"]:
        return rate
    longest = (step + 1.0) ** -0.5
    arrays = [x for x in (step, rate) if not isinstance(x, int | float)]  # where a library compiles the rule
    return namespace(*arrays).minimum(longest, rate) if arrays else min(longest, rate)

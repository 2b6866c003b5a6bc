"""Muon, with AdamW for what is no matrix."""

import glob
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from nnx.backend import namespace
from nnx.backend.blocks import PerParameter, wide_zeros
from nnx.errors import ArgumentError
from nnx.functional.checks import as_finite, as_integer, as_share
from nnx.layers import Embedding, LayerNorm, Module, RMSNorm
from nnx.layers.patterns import as_patterns
from nnx.optimizers.adam import adam_change
from nnx.optimizers.hyperparameters import CHECKS, Rate, as_flag
from nnx.optimizers.optimizer import Optimizer
from nnx.optimizers.per_array import at_least, average, norm_of, per_array, shrunk, zeros
from nnx.types import Array

SMALLEST_NORM = 1e-7
"""A matrix is divided by its norm, or by this if that is smaller."""


def _as_coefficients(value: Any, name: str) -> tuple[float, ...]:
    try:
        a, b, c = value
        return as_finite(a, name), as_finite(b, name), as_finite(c, name)
    except (TypeError, ValueError):  # of which ArgumentError is one
        raise ArgumentError(f"expected {name} to be three finite numbers, got {value!r}") from None


class Muon(Optimizer):
    r"""Muon: a matrix is moved by the nearest orthogonal matrix to its momentum; all else as in :class:`nnx.AdamW`.

    .. math::
        m \leftarrow \mu m + (1 - \mu) \nabla_w, \quad
        X_0 = \frac{d}{\lVert d \rVert}, \quad
        X_{k+1} = a X_k + (b X_k X_k^T + c (X_k X_k^T)^2) X_k, \quad
        w \leftarrow (1 - \gamma \lambda) w - \gamma s X_5

    with :math:`d = (1 - \mu) \nabla_w + \mu m` for Nesterov's momentum and :math:`d = m` without. The iteration of
    Newton and Schulz brings all singular values that are not tiny to between 0.7 and 1.2, so that no direction of the
    matrix dominates the step. :math:`m` starts at zero.

    A matrix is a parameter with two axes, such as the weight of :class:`nnx.Linear`, (in, out), or with more, such as
    the kernel of a convolution, (out, in, height, width), which is taken as a matrix of its first axis by all others.
    Vectors, scalars and what ``adamw`` names get the step of AdamW with the same learning rate.

    Parameters
    ----------
    model : Module
        The model to update.
    learning_rate : float or schedule
        The step size :math:`\gamma`; it may be changed between steps.
    momentum : float
        :math:`\mu`, in [0, 1).
    nesterov : bool
        Whether to use Nesterov's momentum.
    weight_decay : float
        :math:`\lambda`, multiplied by the learning rate, as in AdamW, and for all parameters.
    adamw : str, sequence of str, or None
        Patterns of the paths of parameters with two or more axes that are no matrices, as in :func:`nnx.freeze`. They
        are the last of the ``groups``, with ``orthogonalize=False``. With None these are the weights of
        :class:`nnx.Embedding`, :class:`nnx.LayerNorm` and :class:`nnx.RMSNorm`. The source advises to name the output
        layer of a classifier or language model too.
    match_rms_adamw : bool
        Whether :math:`s = 0.2 \sqrt{\max(\text{rows}, \text{columns})}`: then the root mean square of a step is about
        that of AdamW, so that one learning rate and one weight decay, those of AdamW, suit all parameters. With False,
        :math:`s = \sqrt{\max(1, \text{out} / \text{in})}`, and a usual learning rate is 0.02.
    coefficients : three floats
        :math:`a, b, c`.
    iterations : int
        The number of steps of the iteration, at least 1.
    betas, eps
        Those of AdamW.
    orthogonalize : bool
        Whether matrices are orthogonalized; it is there for ``groups``.
    groups : sequence of dicts
        Hyperparameters of some parameters, as in :class:`nnx.optimizers.Optimizer`.

    Raises
    ------
    ArgumentError
        If a number is out of range, ``model`` is not a module, or a pattern matches no parameter.
    DTypeError
        At the first step, if a parameter is complex.

    Notes
    -----
    Sources: K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
    https://kellerjordan.github.io/posts/muon/; J. Liu et al., "Muon is scalable for LLM training", 2025, for the scale
    that matches AdamW. PyTorch's has that scale as an option and the other one as the default, takes matrices alone,
    and iterates in bfloat16; here it is the dtype of the parameter, and float32 for half precision.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model = nnx.Linear(2, 2, initializer=nnx.initializers.Constant(0.0))
    >>> optimizer = nnx.Muon(model, learning_rate=1.0)
    >>> optimizer.step({"weight": np.diag([4.0, 1.0]).astype("f4"), "bias": np.ones(2, np.float32)})
    >>> np.round(model.weight, 2)
    array([[-0.21,  0.  ],
           [ 0.  , -0.21]], dtype=float32)
    >>> list(optimizer.state_dict())
    ['step', 'first_moment.weight', 'first_moment.bias', 'second_moment.bias']
    """

    is_elementwise = False
    flushed = frozenset({"first_moment", "second_moment"})
    checks = MappingProxyType(
        {
            **CHECKS,
            "coefficients": _as_coefficients,
            "iterations": lambda value, name: as_integer(value, name, 1),
            "match_rms_adamw": as_flag,
            "momentum": as_share,
            "orthogonalize": as_flag,
        }
    )

    def __init__(
        self,
        model: Module,
        learning_rate: Rate = 1e-3,
        *,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.1,
        adamw: str | Sequence[str] | None = None,
        match_rms_adamw: bool = True,
        coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
        iterations: int = 5,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        orthogonalize: bool = True,
        groups: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        flags = {"nesterov": nesterov, "match_rms_adamw": match_rms_adamw, "orthogonalize": orthogonalize}
        iteration = {"coefficients": coefficients, "iterations": iterations}
        numbers = {"momentum": momentum, "weight_decay": weight_decay, "betas": betas, "eps": eps}
        super().__init__(model, learning_rate, groups=groups, **numbers, **flags, **iteration)
        self._adamw = None if adamw is None else as_patterns(adamw, "adamw")
        patterns = _no_matrices(model) if self._adamw is None else self._adamw
        self._append_group(patterns, {"orthogonalize": False}, "adamw")

    def _current_arguments(self) -> dict[str, Any]:
        return super()._current_arguments() | {"adamw": self._adamw}

    @staticmethod
    def init(parameters: Sequence[Array], hyperparameters: Mapping[str, Any]) -> dict[str, list[Array]]:
        """Return a moment of zeros for each parameter, at least in float32, and a second one for what is no matrix."""
        flags = PerParameter.of(hyperparameters["orthogonalize"], len(parameters))
        seconds = [
            wide_zeros(w, (0,) if _is_matrix(w, flag) else None) for w, flag in zip(parameters, flags, strict=True)
        ]
        return {**zeros(parameters, "first_moment"), "second_moment": seconds}

    @staticmethod
    @per_array
    def rule(
        w: Array, g: Array, own: Mapping[str, Any], step: int, first_moment: Array, second_moment: Array
    ) -> tuple[Any, ...]:
        """Move a matrix in the direction of an orthogonal one, and all else as AdamW does."""
        w = shrunk(w, own)
        if not _is_matrix(w, own["orthogonalize"]):
            change, first_moment, second_moment, _ = adam_change(
                g, own, step, own["learning_rate"], first_moment, second_moment
            )
            w -= change
            return w, first_moment, second_moment
        if 0 in w.shape:
            return w, first_moment, second_moment
        momentum = own["momentum"]
        first_moment = direction = average(first_moment, g, momentum)
        if own["nesterov"]:
            direction = (1.0 - momentum) * g + momentum * first_moment
        xp = namespace(w)
        change = _orthogonal(xp.reshape(direction, (w.shape[0], -1)), own["coefficients"], own["iterations"])
        w -= (own["learning_rate"] * _scale(w.shape, own["match_rms_adamw"])) * xp.reshape(change, tuple(w.shape))
        return w, first_moment, second_moment


def _no_matrices(model: Module) -> tuple[str, ...]:
    """Return the paths of parameters that have two axes or more and are still vectors, one for each index or place."""
    return tuple(
        glob.escape(f"{path}.{name}" if path else name)
        for path, module in model.named_modules()
        if isinstance(module, (Embedding, LayerNorm, RMSNorm)) and module.is_settled
        for name, w in module.parameters().items()
        if w.ndim > 1
    )


def _is_matrix(w: Array, orthogonalize: bool) -> bool:
    return orthogonalize and w.ndim > 1


def _orthogonal(matrix: Array, coefficients: tuple[float, float, float], iterations: int) -> Array:
    """Return about ``U V^T`` of the singular value decomposition ``U S V^T``, by products of matrices alone."""
    xp, (a, b, c) = namespace(matrix), coefficients
    rows, columns = matrix.shape
    x = xp.matrix_transpose(matrix) if rows > columns else matrix
    x = x / at_least(norm_of(x), SMALLEST_NORM)
    for _ in range(iterations):
        squared = x @ xp.matrix_transpose(x)
        x = a * x + (b * squared + c * (squared @ squared)) @ x
    return xp.matrix_transpose(x) if rows > columns else x


def _scale(shape: Sequence[int], match_rms_adamw: bool) -> float:
    first, others = shape[0], math.prod(shape[1:])
    if match_rms_adamw:
        return float(0.2 * max(first, others) ** 0.5)
    into, out = (first, others) if len(shape) == 2 else (others, first)
    return float(max(1.0, out / into) ** 0.5)

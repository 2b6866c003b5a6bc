"""Mixed precision: a model is kept in float32 and computes in 16 bits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nnx.errors import ArgumentError
from nnx.layers import Module
from nnx.layers.casting import cast_tree, computing_in
from nnx.types import Array

Objective = Callable[[Any, Any], tuple[Array, Any]]
"""``objective(model, batch) -> (value, outputs)``."""

POLICIES = ("float32", "bfloat16", "float16")
"""The names of policies."""


@dataclass(frozen=True)
class Policy:
    """The dtype that a model computes in, while its parameters are kept in their own.

    Parameters
    ----------
    dtype : {"float32", "bfloat16", "float16"}
        With ``"float32"`` nothing is cast: a model computes in the dtype of its parameters. ``"float16"`` needs a
        :class:`LossScale` in training, ``"bfloat16"`` does not, since it has the range of float32.

    Raises
    ------
    ArgumentError
        If the dtype is another one.

    Notes
    -----
    Parameters, what an optimizer keeps, and buffers, such as running statistics, are float32; so are losses and
    metrics. Forward and backward pass are in ``dtype``, with sums inside a function in float32.

    NumPy and CuPy have no bfloat16, array-api-strict has neither; with their arrays a call is a DTypeError.

    Source: P. Micikevicius et al., "Mixed precision training", ICLR 2018.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> model, objective = nnx.Linear(2, 1, rng=0), nnx.training.supervised(nnx.MSE())
    >>> narrow = Policy("float16").objective(objective)
    >>> batch = np.ones((3, 2), np.float32), np.zeros((3, 1), np.float32)
    >>> (value, outputs), gradients = nnx.value_and_grad(narrow, has_aux=True)(model, batch)
    >>> value.dtype, outputs.dtype, gradients["weight"].dtype
    (dtype('float32'), dtype('float32'), dtype('float32'))
    """

    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.dtype not in POLICIES:
            raise ArgumentError(
                f"expected a policy that is one of {', '.join(map(repr, POLICIES))}, got {self.dtype!r}"
            )

    @property
    def is_mixed(self) -> bool:
        """Whether a model computes in another dtype than that of its parameters."""
        return self.dtype != "float32"

    @property
    def needs_loss_scale(self) -> bool:
        """Whether small gradients would become zero without a :class:`LossScale`."""
        return self.dtype == "float16"

    def model(self, model: Module) -> Any:
        """Return a copy of a model that computes in the dtype of the policy, and returns float32.

        It shares the buffers of the model, and has the parameters that the model has now: make it again after a step.
        Whatever is called of it, the whole model or a layer of it, takes floating-point arrays of any dtype.

        Raises
        ------
        DTypeError
            If the library of the parameters, or of an input, does not have the dtype.
        UsageError
            If a layer has open sizes; call :meth:`nnx.Module.settle` first.
        """
        return computing_in(model, self.dtype) if self.is_mixed else model

    def objective(self, objective: Objective) -> Objective:
        """Return an objective whose model computes in the dtype of the policy; value and outputs are float32.

        The casts of parameters are recorded, so that :func:`nnx.value_and_grad` returns gradients in the dtype of the
        parameters. Inputs are cast where the objective calls the model; nothing else of the batch is, such as a target
        or a weight of a sample.

        Parameters
        ----------
        objective : callable
            ``objective(model, batch) -> (value, outputs)``.
        """
        if not self.is_mixed:
            return objective

        def narrow(model: Any, batch: Any) -> tuple[Array, Any]:
            return tuple(cast_tree(objective(self.model(model), batch), "float32"))

        return narrow


def as_policy(policy: Policy | str) -> Policy:
    """Return a policy, given one or its name.

    Raises
    ------
    ArgumentError
        If it is neither.

    Examples
    --------
    >>> as_policy("bfloat16")
    Policy(dtype='bfloat16')
    """
    return policy if isinstance(policy, Policy) else Policy(policy)

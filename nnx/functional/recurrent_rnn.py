"""The plain recurrent layer, of J. L. Elman, over a sequence."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.functional.checks import expect_choice
from nnx.functional.recurrence import Step, flops, run, run_with_pullback
from nnx.types import Array, Namespace


@primitive
def rnn(
    x: Array,
    weight: Array,
    recurrent_weight: Array,
    bias: Array | None = None,
    recurrent_bias: Array | None = None,
    hidden: Array | None = None,
    mask: Array | None = None,
    *,
    activation: str = "tanh",
    reverse: bool = False,
) -> tuple[Array, Array]:
    r"""One plain recurrent layer over whole sequences, in one direction.

    .. math:: h_t = \tanh(x_t W + b + h_{t-1} R + b_R)

    Parameters
    ----------
    x : array, shape (batch, time, features)
        Real floating-point; at least one step.
    weight : array, shape (features, hidden)
        :math:`W`.
    recurrent_weight : array, shape (hidden, hidden)
        :math:`R`.
    bias, recurrent_bias : array, shape (hidden,), optional
        :math:`b` and :math:`b_R`; only their sum matters.
    hidden : array, shape (batch, hidden), optional
        The initial state :math:`h_0`; default zeros.
    mask : array, shape (batch, time), bool, optional
        Where it is False, no step is taken: the state stays as it is, and the output is zero. For sequences of some
        lengths it is ``xp.arange(time) < lengths[:, None]``.
    activation : {"tanh", "relu"}
        What takes the place of :math:`\tanh`.
    reverse : bool
        Whether to go from the last step to the first.

    Returns
    -------
    y : array, shape (batch, time, hidden)
        Each :math:`h_t`.
    hidden : array, shape (batch, hidden)
        The state after the last step.

    Raises
    ------
    ShapeError
        If the shapes do not fit together.
    DTypeError
        If ``x`` is not real floating-point, the dtypes differ, or the mask is not boolean.
    ArgumentError
        If there is no such activation.

    Notes
    -----
    Products and precision are as in :func:`lstm`.
    Source: J. L. Elman, "Finding structure in time", Cognitive Science 1990.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> y, hidden = nnx.functional.rnn(np.ones((2, 5, 3)), np.zeros((3, 4)), np.zeros((4, 4)))
    >>> y.shape, hidden.shape
    ((2, 5, 4), (2, 4))
    """
    args = (x, weight, recurrent_weight, bias, recurrent_bias, hidden, mask)
    return run(rnn_step(activation), args, reverse)


@rnn.with_pullback(fresh=True)
def _(wanted: Sequence[Any], *args: Any, activation: str = "tanh", reverse: bool = False) -> tuple[Any, Pullback]:
    step = rnn_step(activation)
    return run_with_pullback(step, wanted, step.filled(args), reverse)


rnn.with_flops(flops)


def _tanh(xp: Namespace, from_input: Array, from_hidden: Array, states: list[Array]) -> Any:
    h = xp.tanh(from_input + from_hidden)
    return [h], (h,)


def _back_through_tanh(xp: Namespace, residuals: tuple[Array, ...], cotangents: list[Array]) -> Any:
    (h,) = residuals
    to_z = cotangents[0] * (1.0 - h * h)
    return to_z, to_z, [None]


def _relu(xp: Namespace, from_input: Array, from_hidden: Array, states: list[Array]) -> Any:
    z = from_input + from_hidden
    h = xp.where(z <= 0, 0.0, z)
    return [h], (h,)


def _back_through_relu(xp: Namespace, residuals: tuple[Array, ...], cotangents: list[Array]) -> Any:
    (h,) = residuals
    to_z = xp.where(h <= 0, 0.0, cotangents[0])
    return to_z, to_z, [None]


_STEPS = {
    "tanh": Step(1, ("hidden",), _tanh, _back_through_tanh),
    "relu": Step(1, ("hidden",), _relu, _back_through_relu),
}


def rnn_step(activation: str = "tanh") -> Step:
    """Return the step for an activation; raises ArgumentError if there is none."""
    expect_choice(activation, tuple(_STEPS), "activation")
    return _STEPS[activation]

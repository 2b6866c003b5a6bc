"""The long short-term memory over a sequence."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.functional.recurrence import Step, flops, run, run_with_pullback
from nnx.types import Array, Namespace


@primitive
def lstm(
    x: Array,
    weight: Array,
    recurrent_weight: Array,
    bias: Array | None = None,
    recurrent_bias: Array | None = None,
    hidden: Array | None = None,
    cell: Array | None = None,
    mask: Array | None = None,
    *,
    reverse: bool = False,
) -> tuple[Array, Array, Array]:
    r"""One layer of an LSTM over whole sequences, in one direction.

    .. math::
        (i_t, f_t, g_t, o_t) &= x_t W + b + h_{t-1} R + b_R \\
        c_t &= \sigma(f_t) \, c_{t-1} + \sigma(i_t) \tanh(g_t) \\
        h_t &= \sigma(o_t) \tanh(c_t)

    Parameters
    ----------
    x : array, shape (batch, time, features)
        Real floating-point; at least one step.
    weight : array, shape (features, 4 * hidden)
        :math:`W`, its columns in the order of the gates: input, forget, candidate, output.
    recurrent_weight : array, shape (hidden, 4 * hidden)
        :math:`R`.
    bias, recurrent_bias : array, shape (4 * hidden,), optional
        :math:`b` and :math:`b_R`; only their sum matters.
    hidden, cell : array, shape (batch, hidden), optional
        The initial states :math:`h_0` and :math:`c_0`; default zeros.
    mask : array, shape (batch, time), bool, optional
        Where it is False, no step is taken: the states stay as they are, and the output is zero. For sequences of
        some lengths it is ``xp.arange(time) < lengths[:, None]``.
    reverse : bool
        Whether to go from the last step to the first.

    Returns
    -------
    y : array, shape (batch, time, hidden)
        Each :math:`h_t`.
    hidden, cell : array, shape (batch, hidden)
        The states after the last step.

    Raises
    ------
    ShapeError
        If the shapes do not fit together.
    DTypeError
        If ``x`` is not real floating-point, the dtypes differ, or the mask is not boolean.

    Notes
    -----
    The product of the input with its weight is one for all steps, and so is each product that makes a weight's
    gradient. The pullback keeps gates and cell states, and runs no forward pass. For 16-bit inputs everything
    is computed in float32, from the first step to the last, and rounded once.

    Source: S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation 1997; the forget gate is of
    F. A. Gers et al., "Learning to forget", Neural Computation 2000.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> x, weight, recurrent_weight = np.ones((2, 5, 3)), np.zeros((3, 16)), np.zeros((4, 16))
    >>> y, hidden, cell = nnx.functional.lstm(x, weight, recurrent_weight)
    >>> y.shape, hidden.shape
    ((2, 5, 4), (2, 4))
    """
    args = (x, weight, recurrent_weight, bias, recurrent_bias, hidden, cell, mask)
    return run(LSTM_STEP, args, reverse)


@lstm.with_pullback(fresh=True)
def _(wanted: Sequence[Any], *args: Any, reverse: bool = False) -> tuple[Any, Pullback]:
    return run_with_pullback(LSTM_STEP, wanted, LSTM_STEP.filled(args), reverse)


lstm.with_flops(flops)


def _forward(xp: Namespace, from_input: Array, from_hidden: Array, states: list[Array]) -> Any:
    z = from_input + from_hidden
    n = z.shape[1] // 4
    i, f, o = (0.5 * xp.tanh(0.5 * z[:, k * n : (k + 1) * n]) + 0.5 for k in (0, 1, 3))  # the logistic function
    g = xp.tanh(z[:, 2 * n : 3 * n])
    c = f * states[1] + i * g
    activated = xp.tanh(c)
    return [o * activated, c], (i, f, g, o, states[1], activated)


def _backward(xp: Namespace, residuals: tuple[Array, ...], cotangents: list[Array]) -> Any:
    i, f, g, o, c_before, activated = residuals
    to_h, to_c = cotangents
    to_c = to_c + to_h * o * (1.0 - activated * activated)
    to_z = xp.concat(
        [
            to_c * g * i * (1.0 - i),
            to_c * c_before * f * (1.0 - f),
            to_c * i * (1.0 - g * g),
            to_h * activated * o * (1.0 - o),
        ],
        axis=1,
    )
    return to_z, to_z, [None, to_c * f]


LSTM_STEP = Step(4, ("hidden", "cell"), _forward, _backward)

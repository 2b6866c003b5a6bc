"""The gated recurrent unit over a sequence."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff import Pullback, primitive
from nnx.functional.recurrence import Step, flops, run, run_with_pullback
from nnx.types import Array, Namespace


@primitive
def gru(
    x: Array,
    weight: Array,
    recurrent_weight: Array,
    bias: Array | None = None,
    recurrent_bias: Array | None = None,
    hidden: Array | None = None,
    mask: Array | None = None,
    *,
    reverse: bool = False,
) -> tuple[Array, Array]:
    r"""One layer of gated recurrent units over whole sequences, in one direction.

    .. math::
        r_t &= \sigma(x_t W_r + b_r + h_{t-1} R_r + b_{R r}) \\
        z_t &= \sigma(x_t W_z + b_z + h_{t-1} R_z + b_{R z}) \\
        n_t &= \tanh(x_t W_n + b_n + r_t (h_{t-1} R_n + b_{R n})) \\
        h_t &= (1 - z_t) \, n_t + z_t \, h_{t-1}

    Parameters
    ----------
    x : array, shape (batch, time, features)
        Real floating-point; at least one step.
    weight : array, shape (features, 3 * hidden)
        :math:`W`, its columns in the order of the gates: reset, update, candidate.
    recurrent_weight : array, shape (hidden, 3 * hidden)
        :math:`R`.
    bias, recurrent_bias : array, shape (3 * hidden,), optional
        :math:`b` and :math:`b_R`.
    hidden : array, shape (batch, hidden), optional
        The initial state :math:`h_0`; default zeros.
    mask : array, shape (batch, time), bool, optional
        Where it is False, no step is taken: the state stays as it is, and the output is zero. For sequences of some
        lengths it is ``xp.arange(time) < lengths[:, None]``.
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

    Notes
    -----
    The reset gate multiplies after the product with the recurrent weight, as in cuDNN and PyTorch; in the paper it
    multiplies the state before. Products and precision are as in :func:`lstm`.

    Source: K. Cho et al., "Learning phrase representations using RNN encoder-decoder for statistical machine
    translation", EMNLP 2014.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> x, weight, recurrent_weight = np.ones((2, 5, 3)), np.zeros((3, 12)), np.zeros((4, 12))
    >>> y, hidden = nnx.functional.gru(x, weight, recurrent_weight)
    >>> y.shape, hidden.shape
    ((2, 5, 4), (2, 4))
    """
    args = (x, weight, recurrent_weight, bias, recurrent_bias, hidden, mask)
    return run(GRU_STEP, args, reverse)


@gru.with_pullback(fresh=True)
def _(wanted: Sequence[Any], *args: Any, reverse: bool = False) -> tuple[Any, Pullback]:
    return run_with_pullback(GRU_STEP, wanted, GRU_STEP.filled(args), reverse)


gru.with_flops(flops)


def _forward(xp: Namespace, from_input: Array, from_hidden: Array, states: list[Array]) -> Any:
    n = from_input.shape[1] // 3
    gates = 0.5 * xp.tanh(0.5 * (from_input[:, : 2 * n] + from_hidden[:, : 2 * n])) + 0.5  # the logistic function
    r, z = gates[:, :n], gates[:, n:]
    gated = from_hidden[:, 2 * n :]
    candidate = xp.tanh(from_input[:, 2 * n :] + r * gated)
    return [candidate + z * (states[0] - candidate)], (r, z, candidate, gated, states[0])


def _backward(xp: Namespace, residuals: tuple[Array, ...], cotangents: list[Array]) -> Any:
    r, z, candidate, gated, before = residuals
    (to_h,) = cotangents
    to_candidate = to_h * (1.0 - z) * (1.0 - candidate * candidate)
    to_z = to_h * (before - candidate) * z * (1.0 - z)
    to_r = to_candidate * gated * r * (1.0 - r)
    to_input = xp.concat([to_r, to_z, to_candidate], axis=1)
    to_hidden = xp.concat([to_r, to_z, to_candidate * r], axis=1)
    return to_input, to_hidden, [to_h * z]


GRU_STEP = Step(3, ("hidden",), _forward, _backward)

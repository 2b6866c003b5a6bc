"""Connectionist temporal classification: the likelihood of a sequence of labels, summed over all of its alignments."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from nnx.autodiff import Pullback, primitive, stop_gradient
from nnx.autodiff.rules.indexing import key_along_axis, scatter
from nnx.backend import device_of, namespace
from nnx.functional.alignment_checks import check_ctc
from nnx.functional.checks import as_class_indices
from nnx.functional.loss_terms import reduce_loss, unreduce
from nnx.functional.precision import in_float32, rule_in_float32
from nnx.types import Array, Namespace

_NEVER = -1e30  # the logarithm of probability 0: unlike -inf, differences of it are not NaN


@primitive
@in_float32
def ctc(
    log_probabilities: Array,
    target: Array,
    input_lengths: Array | None = None,
    target_lengths: Array | None = None,
    *,
    blank: int = 0,
    batch_first: bool = True,
    zero_infinity: bool = False,
    reduction: str = "mean",
) -> Array:
    r"""Connectionist temporal classification: :math:`-\log` of the probability of all paths that spell the target.

    A path has one class for each time. It spells what remains after repeated classes are merged and blanks left out.

    Parameters
    ----------
    log_probabilities : array, shape (batch, time, classes)
        Real floating-point, such as the output of :func:`log_softmax` along the last axis.
    target : array, shape (batch, length), integer
        Class indices other than the blank, padded with anything.
    input_lengths, target_lengths : arrays, shape (batch,), integer, optional
        How many times, and how many labels, of each example count; by default all.
    blank : int
        The class of the blank.
    batch_first : bool
        With ``False`` the log-probabilities are of shape (time, batch, classes), as in PyTorch.
    zero_infinity : bool
        Whether an example whose target cannot be spelled in its time counts as 0, instead of being an error.
    reduction : {"mean", "sum", "none"}
        ``"mean"`` divides each example's loss by the length of its target first, as PyTorch does.

    Returns
    -------
    loss : array, shape ()
        For ``"none"`` the shape (batch,).

    Raises
    ------
    ShapeError
        If the shapes do not fit, or there is no example, time or class.
    DTypeError
        If the log-probabilities hold integers, or the target or a length does not.
    ArgumentError
        If a label is out of range or the blank, a length is out of range, or a target is too long for its input: it
        takes a time for each label, and one more between equal labels. On a device whose memory cannot be read without
        waiting, the loss of a target that is too long is inf, and the rest is not checked.

    Notes
    -----
    The gradient is minus the probability, given the target, that a path has a class at a time, by the forward-backward
    recursions; PyTorch's adds the softmax, and is right only together with :func:`log_softmax`. The loops are over time
    only. Source: A. Graves et al., "Connectionist temporal classification", ICML 2006.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> log_p = np.log(np.full((1, 2, 3), 1 / 3))  # "aa", "-a" and "a-" of nine paths spell "a"
    >>> round(float(nnx.functional.ctc(log_p, np.asarray([[1]]), reduction="sum")), 4)
    1.0986
    """
    case = _prepare(log_probabilities, target, input_lengths, target_lengths, blank, batch_first, zero_infinity)
    alphas = _forward(case, _emissions(case))
    return _reduce(case, _losses(case, alphas[-1], zero_infinity), reduction)


@ctc.with_pullback(fresh=True)
@rule_in_float32
def _(
    wanted: Sequence[Any],
    log_probabilities: Array,
    target: Array,
    input_lengths: Array | None = None,
    target_lengths: Array | None = None,
    *,
    blank: int = 0,
    batch_first: bool = True,
    zero_infinity: bool = False,
    reduction: str = "mean",
) -> tuple[Array, Pullback]:
    case = _prepare(log_probabilities, target, input_lengths, target_lengths, blank, batch_first, zero_infinity)
    emissions = _emissions(case)
    alphas = _forward(case, emissions)
    values = _losses(case, alphas[-1], zero_infinity)
    shape = tuple(case.log_p.shape)

    def pullback(cotangent: Array) -> Sequence[Array | None]:
        if not wanted[0]:
            return None, None, None, None
        xp = namespace(cotangent, emissions)
        scale = unreduce(cotangent, reduction, shape[:1])
        if reduction == "mean":
            scale = scale / case.label_counts
        scale = xp.broadcast_to(scale, shape[:1])
        posterior = _posterior(case, emissions, alphas)
        index = case.index + xp.zeros((1, shape[1], 1), dtype=case.index.dtype, device=device_of(case.index))
        found = scatter(-scale[:, None, None] * posterior, shape=shape, key=key_along_axis(index, shape, 2))
        return found if batch_first else xp.permute_dims(found, (1, 0, 2)), None, None, None

    return _reduce(case, values, reduction), pullback


class _Case(NamedTuple):
    """The arguments, checked. States are the labels with blanks between and around them, 2 length + 1 of them.

    Attributes
    ----------
    log_p : array, shape (batch, time, classes)
    index : array, shape (batch, 1, states)
        The class of each state.
    skips : array, shape (batch, states)
        Whether a path may come to a state from the last but one: to a label from another label.
    ends : array, shape (batch, states)
        Whether a path may end in a state: the last label, and the blank after it.
    is_on : list of arrays, shape (batch, 1)
        For each time, whether it counts.
    label_counts : array, shape (batch,)
        The lengths of the targets, at least 1, in the dtype of the log-probabilities.
    """

    log_p: Array
    index: Array
    skips: Array
    ends: Array
    is_on: list[Array]
    label_counts: Array


def _emissions(case: _Case) -> Array:
    """Return the log-probability of each state at each time, (batch, time, states), at least _NEVER."""
    xp = namespace(case.log_p)
    times = xp.zeros((1, case.log_p.shape[1], 1), dtype=case.index.dtype, device=device_of(case.index))
    found = xp.take_along_axis(case.log_p, case.index + times, axis=2)
    return xp.where(found < _NEVER, _NEVER, found)


def _forward(case: _Case, emissions: Array) -> list[Array]:
    """Return for each time the log-probability of all paths that have come to each state, (batch, states)."""
    xp = namespace(emissions)
    states = emissions.shape[2]
    first = xp.arange(states, device=device_of(case.index))[None, :] < 2
    alphas = [xp.where(first, emissions[:, 0, :], _NEVER)]
    for time in range(1, emissions.shape[1]):
        alpha = alphas[-1]
        come = _log_add(xp, alpha, _shifted(xp, alpha, 1), xp.where(case.skips, _shifted(xp, alpha, 2), _NEVER))
        alphas.append(xp.where(case.is_on[time], come + emissions[:, time, :], alpha))
    return alphas


def _posterior(case: _Case, emissions: Array, alphas: list[Array]) -> Array:
    """Return the probability of each state at each time, given the target: (batch, time, states)."""
    xp = namespace(emissions, alphas[-1])
    plain = namespace(case.skips)
    skips = _shifted(plain, plain.astype(case.skips, case.index.dtype), -2, 0) != 0
    end = xp.where(case.ends, xp.zeros_like(emissions[:, 0, :]), _NEVER)
    total = _log_add(xp, xp.where(case.ends, alphas[-1], _NEVER), axis=1)
    beta, found = end, []
    for time in range(emissions.shape[1] - 1, -1, -1):
        if time + 1 < emissions.shape[1]:
            later = beta + emissions[:, time + 1, :]
            leave = _log_add(xp, later, _shifted(xp, later, -1), xp.where(skips, _shifted(xp, later, -2), _NEVER))
            beta = xp.where(case.is_on[time + 1], leave, end)
        share = xp.exp(alphas[time] + beta - xp.where(total < 0.5 * _NEVER, 0.0, total))
        found.append(xp.where(case.is_on[time] & (total >= 0.5 * _NEVER), share, 0.0))
    return xp.stack(found[::-1], axis=1)


def _losses(case: _Case, alpha: Array, zero_infinity: bool) -> Array:
    xp = namespace(alpha, case.log_p)
    total = _log_add(xp, xp.where(case.ends, alpha, _NEVER), axis=1)[:, 0]
    return xp.where(total < 0.5 * _NEVER, 0.0 if zero_infinity else math.inf, -total)


def _reduce(case: _Case, values: Array, reduction: str) -> Array:
    return reduce_loss(values / case.label_counts if reduction == "mean" else values, reduction)


def _log_add(xp: Namespace, *terms: Array, axis: int | None = None) -> Array:
    """Return the logarithm of the sum of exponentials, of several arrays or, of one, along an axis that is kept."""
    if axis is not None:
        (x,) = terms
        top = xp.max(stop_gradient(x), axis=axis, keepdims=True)
        return top + xp.log(xp.sum(xp.exp(x - top), axis=axis, keepdims=True))
    a, b, c = terms
    top = xp.maximum(xp.maximum(stop_gradient(a), stop_gradient(b)), stop_gradient(c))
    return top + xp.log(xp.exp(a - top) + xp.exp(b - top) + xp.exp(c - top))


def _shifted(xp: Namespace, x: Array, by: int, fill: float = _NEVER) -> Array:
    """Return an array moved along its last axis, to the right if ``by`` is positive."""
    count = min(abs(by), x.shape[1])
    empty = xp.full((x.shape[0], count), fill, dtype=x.dtype, device=device_of(x))
    rest = x.shape[1] - count
    return xp.concat([empty, x[:, :rest]] if by > 0 else [x[:, count:], empty], axis=1)


def _prepare(
    log_probabilities: Array,
    target: Array,
    input_lengths: Array | None,
    target_lengths: Array | None,
    blank: int,
    batch_first: bool,
    zero_infinity: bool,
) -> _Case:
    xp = namespace(log_probabilities, target, input_lengths, target_lengths)
    check_ctc(log_probabilities, target, input_lengths, target_lengths, blank, batch_first, zero_infinity)
    log_p = log_probabilities if batch_first else xp.permute_dims(log_probabilities, (1, 0, 2))
    batch, times = log_p.shape[:2]
    labels = as_class_indices(stop_gradient(target))
    plain = namespace(labels)
    device, length = device_of(labels), labels.shape[1]
    label_counts, time_counts = (
        plain.full((batch,), most, dtype=labels.dtype, device=device)
        if lengths is None
        else as_class_indices(stop_gradient(lengths))
        for lengths, most in ((target_lengths, length), (input_lengths, times))
    )
    inside = plain.arange(length, dtype=labels.dtype, device=device)[None, :] < label_counts[:, None]
    labels = plain.where(inside, labels, blank)  # padding may be anything
    blanks = plain.full((batch, length), blank, dtype=labels.dtype, device=device)
    states = plain.reshape(plain.stack([blanks, labels], axis=2), (batch, 2 * length))
    states = plain.concat([states, plain.full((batch, 1), blank, dtype=labels.dtype, device=device)], axis=1)
    numbers = plain.arange(2 * length + 1, dtype=labels.dtype, device=device)[None, :]
    last = 2 * label_counts[:, None]
    return _Case(
        log_p,
        states[:, None, :],
        (states != blank) & (states != _shifted(plain, states, 2, blank)),
        (numbers == last) | (numbers == last - 1),
        [time_counts[:, None] > time for time in range(times)],
        plain.astype(plain.where(label_counts < 1, 1, label_counts), log_p.dtype),
    )

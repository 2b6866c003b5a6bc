"""Native bodies for NumPy arrays: reductions without a wrapper, and in-place work on arrays that are our own.

The values that a body computes with are plain. The cotangent that its pullback is given may be traced, where a pullback
is differentiated itself, and then takes part through operators and its own namespace.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Pullback, TracedArray
from nnx.autodiff.primitive import Native
from nnx.backend import namespace
from nnx.functional import cross_entropy, linear, relu
from nnx.functional.checks import expect_real

# numpy.sum is a wrapper around it, and costs as much again on a small array. So does the operator @ beside dot, which
# calls the same routine for matrices.
_sum = np.add.reduce

# A Python number in their place is looked at anew in every call.
_ZERO: dict[Any, Any] = {np.dtype(kind): np.zeros((), kind) for kind in (np.float32, np.float64)}
_ONE_BIT: dict[Any, Any] = {np.dtype(np.float32): np.ones((), np.int32), np.dtype(np.float64): np.ones((), np.int64)}
_NOTHING = (False,) * 8


def register() -> None:
    """Put these bodies into their primitives."""
    for primitive, forward in ((cross_entropy, _cross_entropy), (linear, _linear), (relu, _relu)):
        primitive.natives[np.ndarray] = Native(_without_pullback(forward), forward)


def _without_pullback(forward: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **options: forward(_NOTHING, *args, **options)[0]


def _linear(wanted: Sequence[Any], x: Any, weight: Any, bias: Any = None) -> tuple[Any, Pullback]:
    dtype = x.dtype
    is_common = (
        (type(weight) is np.ndarray and (bias is None or type(bias) is np.ndarray))
        and (x.ndim == weight.ndim == 2 and x.shape[1] == weight.shape[0])
        and (dtype.kind in "fc" and weight.dtype == dtype)
        and (bias is None or (bias.shape == weight.shape[1:] and bias.dtype == dtype))
    )
    if not is_common:
        return _portable(linear, wanted, x, weight, bias)
    y = x.dot(weight)
    if bias is not None:
        y += bias
    kept_x = x if wanted[1] else None
    kept_weight = weight if wanted[0] else None
    wants_bias = bias is not None and wanted[2]

    def pullback(g: Any) -> tuple[Any, Any, Any]:
        if type(g) is TracedArray:
            return (
                None if kept_weight is None else g @ kept_weight.T,
                None if kept_x is None else kept_x.T @ g,
                namespace(g).sum(g, axis=0) if wants_bias else None,
            )
        return (
            None if kept_weight is None else g.dot(kept_weight.T),
            None if kept_x is None else kept_x.T.dot(g),
            _sum(g, 0) if wants_bias else None,
        )

    return y, pullback


def _relu(wanted: Sequence[Any], x: Any) -> tuple[Any, Pullback]:
    expect_real(x)
    y = np.maximum(x, _ZERO.get(x.dtype, 0))
    if not wanted[0]:
        return y, lambda g: (None,)
    cut = x <= 0  # of the input, and now: the output is the caller's, who may write to it
    return y, lambda g: (_cut_out(cut, g),)


def _cut_out(cut: Any, g: Any) -> Any:
    """Return ``g`` with exact zeros at ``cut``: a product with a mask would make NaN of infinity, where() is slow."""
    one = None if type(g) is TracedArray else _ONE_BIT.get(g.dtype)
    if one is None:
        return namespace(g).where(cut, 0.0, g)
    mask = cut.astype(one.dtype)
    mask -= one  # no bit where it is cut, and all of them elsewhere
    mask &= g.view(one.dtype)
    return mask.view(g.dtype)


def _cross_entropy(
    wanted: Sequence[Any],
    logits: Any,
    target: Any,
    weight: Any = None,
    *,
    axis: int = 1,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> tuple[Any, Pullback]:
    is_common = (
        (type(target) is np.ndarray and target.dtype.kind in "iu" and target.ndim == 1 and logits.ndim == 2)
        and (weight is None and not label_smoothing and reduction == "mean" and axis in (1, -1) and ignore_index < 0)
        and (logits.dtype.kind == "f" and logits.size and target.shape[0] == logits.shape[0])
        and (target[target.argmin()] >= 0 and target[target.argmax()] < logits.shape[1])
    )
    if not is_common:
        options = {"axis": axis, "reduction": reduction, "ignore_index": ignore_index}
        return _portable(cross_entropy, wanted, logits, target, weight, label_smoothing=label_smoothing, **options)
    count, classes = logits.shape
    rows = np.arange(0, count * classes, classes)
    places = rows + target.astype(np.intp, copy=False)
    # The place of the largest is found several times as fast as the largest itself.
    shifted = logits - logits.take(rows + logits.argmax(axis=1))[:, None]
    powers = np.exp(shifted)
    totals = _sum(powers, axis=1, keepdims=True)
    loss = _sum(np.log(totals[:, 0]) - shifted.take(places)) / logits.dtype.type(count)

    def pullback(g: Any) -> tuple[Any, None, None]:
        to_logits = powers / totals
        to_logits.put(places, to_logits.take(places) - 1)
        if type(g) is TracedArray:
            return to_logits * (g / count), None, None
        to_logits *= g / logits.dtype.type(count)
        return to_logits, None, None

    return loss, pullback


def _portable(primitive: Any, wanted: Sequence[Any], *args: Any, **options: Any) -> tuple[Any, Pullback]:
    """Run the portable body, without a pullback where none is wanted."""
    if any(wanted):
        return primitive.forward(wanted, *args, **options)
    return primitive.plain(*args, **options), lambda g: ()

"""Native bodies for NumPy arrays: without wrappers around reductions, and in place where the memory is new.

The arguments of a body are plain arrays. The cotangent that its pullback is given may still be traced, when the
pullback itself is differentiated, and must then only be used through operators and its own namespace.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nnx.autodiff import Pullback, TracedArray
from nnx.autodiff.dispatch import Declined
from nnx.functional import linear, relu
from nnx.functional.checks import expect_real

# numpy.sum is a wrapper around this, which doubles the time for a small array. So does the operator @ compared with
# dot, which calls the same routine for matrices.
_sum = np.add.reduce

# Instead of Python numbers, which NumPy would have to convert in every call.
_ZERO: dict[Any, Any] = {np.dtype(kind): np.zeros((), kind) for kind in (np.float32, np.float64)}
_ONE_BIT: dict[Any, Any] = {np.dtype(np.float32): np.ones((), np.int32), np.dtype(np.float64): np.ones((), np.int64)}


def linear_rule(add: Any = None, add_up: Any = None) -> Callable[..., Any]:
    """Return a rule for NumPy arrays.

    Parameters
    ----------
    add, add_up : callable, optional
        Loops for contiguous arrays of float32 or float64: ``add(y, bias)`` in place, and ``add_up(g, out)`` writes the
        sum of the rows.
    """

    def rule(wanted: Sequence[Any], x: Any, weight: Any, bias: Any = None) -> tuple[Any, Pullback] | Declined:
        """Multiply all rows by the weight in one product, and add the bias where the result is."""
        dtype, shape = x.dtype, x.shape
        # Asked here, and not in a function of its own, whose call costs as much as all of these questions.
        is_common = (
            (type(weight) is np.ndarray and (bias is None or type(bias) is np.ndarray))
            and (weight.ndim == 2 and shape and shape[-1] == weight.shape[0])
            and (dtype.kind in "fc" and dtype.itemsize > 2 and weight.dtype == dtype)
            and (bias is None or (bias.shape == weight.shape[1:] and bias.dtype == dtype))
        )
        if not is_common:
            return Declined(
                "x, weight and bias are not NumPy arrays of one dtype of at least 32 bits, with fitting shapes"
            )
        rows = x if len(shape) == 2 else x.reshape((math.prod(shape[:-1]), shape[-1]))  # one product instead of a batch
        y = rows.dot(weight)
        has_loops = add is not None and dtype in _ZERO and bias is not None and bias.flags.c_contiguous
        if has_loops:
            add(y, bias)
        elif bias is not None:
            y += bias
        kept_rows = rows if wanted[1] else None  # only what the pullback will need
        kept_weight = weight if wanted[0] else None

        def pullback(g: Any) -> Sequence[Any]:
            if type(g) is TracedArray:
                return linear.portable_pullback(wanted, x, weight, bias)(g)
            if len(shape) != 2:
                g = g.reshape((-1 if g.size else math.prod(shape[:-1]), weight.shape[1]))
            to_x = to_bias = None
            if kept_weight is not None and wanted[0]:
                to_x = g.dot(kept_weight.T)
                if len(shape) != 2:
                    to_x = to_x.reshape(shape)
            # A cotangent of another size is an error of who made it, but loops would read beyond it.
            if has_loops and wanted[2] and g.dtype == dtype and g.flags.c_contiguous and g.shape[1:] == bias.shape:
                to_bias = np.empty(bias.shape, dtype)
                add_up(g, to_bias)
            elif bias is not None and wanted[2]:
                to_bias = _sum(g, 0)
            return to_x, kept_rows.T.dot(g) if kept_rows is not None and wanted[1] else None, to_bias

        return y if len(shape) == 2 else y.reshape((*shape[:-1], weight.shape[1])), pullback

    return rule


linear.kernel("numpy", fresh=True)(linear_rule())


@relu.kernel("numpy", fresh=True)
def _(wanted: Sequence[Any], x: Any) -> tuple[Any, Pullback]:
    if x.dtype.kind != "f" or not x.dtype.isnative:
        expect_real(x)
    y = np.maximum(x, _ZERO.get(x.dtype, 0))
    if not wanted[0]:
        return y, lambda g: (None,)
    cut = x <= 0  # from the input, and now: the output belongs to the caller, who may write into it

    def pullback(g: Any) -> Sequence[Any]:
        return relu.portable_pullback(wanted, x)(g) if type(g) is TracedArray else (cut_out(cut, g),)

    return y, pullback


def cut_out(cut: Any, g: Any) -> Any:
    """Return ``g`` with exact zeros at ``cut``, which is broadcast to it, by its bits.

    A product with a mask would turn infinities into NaN, and ``numpy.where`` is slower.
    """
    one = _ONE_BIT.get(g.dtype)
    if one is None:
        return np.where(cut, g.dtype.type(0), g)
    mask = cut.astype(one.dtype)
    mask -= one  # 1 - 1 = 0 where it is cut; 0 - 1 = -1, all bits set, elsewhere
    if mask.shape != g.shape:
        mask = np.broadcast_to(mask, g.shape).copy()
    mask &= g.view(one.dtype)
    return mask.view(g.dtype)

"""Batch normalization in training by torch: one pass forward, which gives the statistics too, and one backward."""

from collections.abc import Sequence
from typing import Any

import torch

from nnx.autodiff.dispatch import Declined
from nnx.functional import batch_norm_training
from nnx.functional.batch_statistics import channels_of_batch
from nnx.kernels.torch.normalization import wide


@batch_norm_training.kernel("torch", fresh=True)
def _(wanted: Sequence[Any], x: Any, weight: Any = None, bias: Any = None, *, axis: int = 1, eps: float = 1e-5) -> Any:
    size = channels_of_batch(x, weight, bias, axis=axis).averaged_size
    if x.numel() == 0:
        return Declined("torch takes no input without channels")
    if _is_differentiated(x, weight, bias):
        return Declined("torch differentiates too, and would lose the derivatives of the statistics")
    first, w, b = x.detach().movedim(axis, 1), wide(weight), wide(bias)
    # With the momentum 1 its running statistics are those of this batch. Zeros, as 0 times fresh memory may be NaN.
    mean, variance = (torch.zeros(first.shape[1], dtype=wide(first[:0]).dtype, device=x.device) for _ in range(2))
    y, kept_mean, inverse = torch.native_batch_norm(first, w, b, mean, variance, True, 1.0, eps)
    asked = [bool(wanted[0]), weight is not None and bool(wanted[1]), bias is not None and bool(wanted[2])]
    kept = first if asked[0] or asked[1] else None

    def pullback(parts: Sequence[Any]) -> Sequence[Any]:
        if type(parts[0]) is not torch.Tensor or any(part is not None for part in parts[1:]):
            return batch_norm_training.portable_pullback(wanted, x, weight, bias, axis=axis, eps=eps)(parts)
        now = [ask and bool(wanted[i]) for i, ask in enumerate(asked)]
        g = parts[0].movedim(axis, 1)
        if kept is None:
            others = [i for i in range(g.ndim) if i != 1]
            return None, None, wide(g).sum(others).to(x.dtype) if now[2] else None
        found = torch.ops.aten.native_batch_norm_backward(g, kept, w, None, None, kept_mean, inverse, True, eps, now)
        to_x, *of_parameters = (part if want else None for part, want in zip(found, now, strict=True))
        return (
            None if to_x is None else to_x.movedim(1, axis),
            *(None if part is None else part.to(x.dtype) for part in of_parameters),
        )

    return (y.movedim(1, axis), mean, variance * ((size - 1) / size)), pullback


def _is_differentiated(*args: Any) -> bool:
    if any(arg is not None and arg.requires_grad for arg in args):
        return True
    try:
        args[0].detach().requires_grad_()
    except RuntimeError:  # a transform of torch.func refuses it
        return True
    return False

"""Connectionist temporal classification of torch, made exact for log-probabilities that are not normalized."""

import math
from typing import Any

import torch

from nnx.autodiff.dispatch import Declined
from nnx.functional import ctc
from nnx.functional.alignment_checks import check_ctc
from nnx.functional.loss_terms import reduce_loss
from nnx.kernels.torch.automatic import native
from nnx.kernels.torch.precision import in_float32_on_host


def _check(
    log_probabilities: Any,
    target: Any,
    input_lengths: Any = None,
    target_lengths: Any = None,
    *,
    blank: int = 0,
    batch_first: bool = True,
    zero_infinity: bool = False,
    reduction: str = "mean",
) -> Declined | None:
    check_ctc(log_probabilities, target, input_lengths, target_lengths, blank, batch_first, zero_infinity)
    if zero_infinity or bool((log_probabilities == -math.inf).any()):
        return Declined("torch's gradient of an infinite loss is NaN")
    return None


@native(ctc, _check, device="cpu")
@in_float32_on_host
def _(
    log_probabilities: Any,
    target: Any,
    input_lengths: Any = None,
    target_lengths: Any = None,
    *,
    blank: int = 0,
    batch_first: bool = True,
    zero_infinity: bool = False,
    reduction: str = "mean",
) -> Any:
    by_time = log_probabilities.transpose(0, 1) if batch_first else log_probabilities
    times, batch = by_time.shape[:2]
    time_counts = torch.full((batch,), times) if input_lengths is None else input_lengths.long()
    label_counts = torch.full((batch,), target.shape[1]) if target_lengths is None else target_lengths.long()
    # Torch's gradient is right for normalized log-probabilities alone, so it is given those. What was added at a time
    # to make them so was added to the logarithm of each path.
    added = by_time.logsumexp(2, keepdim=True)
    values = torch.nn.functional.ctc_loss(
        by_time - added, target.long(), time_counts, label_counts, blank=blank, reduction="none"
    )
    counts = torch.arange(times)[:, None] < time_counts
    values = values - torch.where(counts, added[:, :, 0], 0.0).sum(0)
    return reduce_loss(values / label_counts.clamp(min=1) if reduction == "mean" else values, reduction)

"""Random masks: those of the first call, since the battery puts buffers back after each."""

import numpy as np

import nnx
from nnx import functional as F
from nnx.backend import keep_mask
from rows.draws import normal
from rows.record import Capability, Row, Wrong, layer

_SHAPE = (4, 3, 2)


def _mask(torch, x, keep, shape=_SHAPE):
    drawn = keep_mask(shape, keep, like=np.empty(0), seed=5, stream="dropout", step=0)
    return torch.as_tensor(drawn).to(x.dtype)


def _alpha(torch, x):
    keep, limit, slope = _mask(torch, x, 0.75), -1.7580993408473766, (0.75 + 0.1875 * 1.7580993408473766**2) ** -0.5
    return slope * (x * keep + limit * (1 - keep) - 0.25 * limit)


def _layer(id, make, torch, repr):
    return layer(id, make, normal(_SHAPE), torch, batch=None, repr=repr)


CAPABILITIES = [
    Capability(
        "functional.dropout",
        "x of any shape",
        "torch.nn.functional.dropout",
        rows=tuple(
            Row(
                f"dropout-{id}",
                lambda x, p=p, axes=axes: F.dropout(x, probability=p, seed=5, axes=axes),
                normal(_SHAPE),
                lambda torch, x, p=p, shape=shape: x * _mask(torch, x, 1 - p, shape) / max(1 - p, 0.5),
                batch=None,
            )
            for id, p, axes, shape in (
                ("quarter", 0.25, None, _SHAPE),
                ("channels", 0.5, (0, 1), (4, 3, 1)),
                ("none", 0.0, None, _SHAPE),
                ("all", 1.0, None, _SHAPE),
            )
        ),
    ),
    Capability(
        "functional.alpha_dropout",
        "x of any shape",
        "torch.nn.functional.alpha_dropout",
        rows=(
            Row(
                "alpha_dropout",
                lambda x: F.alpha_dropout(x, probability=0.25, seed=5),
                normal(_SHAPE),
                _alpha,
                batch=None,
            ),
        ),
    ),
    Capability(
        "Dropout",
        "x of any shape",
        "torch.nn.Dropout",
        rows=(
            _layer(
                "Dropout",
                lambda _: nnx.Dropout(0.25, seed=5),
                lambda torch, p, x: x * _mask(torch, x, 0.75) / 0.75,
                "Dropout(probability=0.25, seed=5)",
            ),
        ),
    ),
    Capability(
        "ChannelDropout",
        "x (batch, channels, ...)",
        "torch.nn.Dropout1d, torch.nn.Dropout2d, torch.nn.Dropout3d",
        wrong=Wrong(((4,),), r"ChannelDropout: expected input \(batch, channels, \.\.\.\) .* got \(4,\)"),
        rows=(
            _layer(
                "ChannelDropout",
                lambda _: nnx.ChannelDropout(seed=5),
                lambda torch, p, x: x * _mask(torch, x, 0.5, (4, 3, 1)) / 0.5,
                "ChannelDropout(seed=5)",
            ),
        ),
    ),
    Capability(
        "AlphaDropout",
        "x of any shape",
        "torch.nn.AlphaDropout",
        rows=(
            _layer(
                "AlphaDropout",
                lambda _: nnx.AlphaDropout(0.25, seed=5),
                lambda torch, p, x: _alpha(torch, x),
                "AlphaDropout(probability=0.25, seed=5)",
            ),
        ),
    ),
    Capability(
        "DropPath",
        "x (batch, ...)",
        "x * mask / (1 - p), one number an example",
        wrong=Wrong(((),), r"DropPath: expected input \(batch, \.\.\.\), got \(\)"),
        rows=(
            _layer(
                "DropPath",
                lambda _: nnx.DropPath(seed=5),
                lambda torch, p, x: x * _mask(torch, x, 0.5, (4, 1, 1)) / 0.5,
                "DropPath(seed=5)",
            ),
        ),
    ),
]

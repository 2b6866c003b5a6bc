"""Normalizations: of examples over their last axes or channels, and of batches."""

import nnx
from nnx import functional as F
from rows.draws import both, normal, positive
from rows.record import Capability, Row, Wrong, layer

_CHANNELS = normal((3, 4, 3), (4,), (4,))
_OF_BATCH = r"expected more than one value a channel in training, .* got \(1, 4\)"


def _first(x, axis):
    return x if axis == 1 else x.movedim(axis, 1)


def _last(y, axis):
    return y if axis == 1 else y.movedim(1, axis)


def _group_norm(torch, x, weight, bias, groups, axis=1):
    return _last(torch.nn.functional.group_norm(_first(x, axis), groups, weight, bias), axis)


def _instance_norm(torch, x, weight=None, bias=None, axis=1):
    return _last(torch.nn.functional.instance_norm(_first(x, axis), weight=weight, bias=bias), axis)


def _training(torch, x, weight=None, bias=None, axis=1):
    x = _first(x, axis)
    axes = [i for i in range(x.ndim) if i != 1]
    variance, mean = torch.var_mean(x, axes, correction=0)
    return _last(torch.nn.functional.batch_norm(x, None, None, weight, bias, training=True), axis), mean, variance


def _given(torch, x, mean, variance, weight=None, bias=None):
    shape = (-1,) + (1,) * (x.ndim - 2)
    y = (x - mean.reshape(shape)) / (variance.reshape(shape) + 1e-5).sqrt()
    return y if weight is None else y * weight.reshape(shape) + bias.reshape(shape)


def _rms_norm(torch, x, weight=None, axes=1):
    return torch.nn.functional.rms_norm(x, x.shape[-axes:], weight, eps=1e-6)


def _channel_layer(kind, shape, torch, *args, **options):
    return layer(kind.__name__, lambda dtype: kind(*args, dtype=dtype), normal(shape), torch, **options)


CAPABILITIES = [
    Capability(
        "functional.layer_norm",
        "x (..., *features), weight and bias (*features) or None",
        "torch.nn.functional.layer_norm",
        wrong=Wrong(
            ((4, 5), (3,), (3,)), r"expected weight of shape \(5,\), as the last axes of the input, got \(3,\)"
        ),
        rows=(
            Row(
                "layer_norm",
                F.layer_norm,
                normal((4, 6), (6,), (6,)),
                lambda torch, x, w, b: torch.nn.functional.layer_norm(x, (6,), w, b),
                unbatched=(1, 2),
            ),
            Row(
                "layer_norm-one-example",
                lambda x: F.layer_norm(x, num_axes=2),
                normal((3, 2)),
                lambda torch, x: torch.nn.functional.layer_norm(x, (3, 2)),
                batch=None,
            ),
        ),
    ),
    Capability(
        "functional.rms_norm",
        "x (..., *features), weight (*features) or None",
        "torch.nn.functional.rms_norm",
        wrong=Wrong(((4, 5), (3,)), r"expected weight of shape \(5,\), as the last axes of the input, got \(3,\)"),
        rows=(
            Row("rms_norm", F.rms_norm, normal((4, 6), (6,)), _rms_norm, unbatched=(1,)),
            Row(
                "rms_norm-two-axes",
                lambda x: F.rms_norm(x, num_axes=2),
                normal((4, 3, 2)),
                lambda torch, x: _rms_norm(torch, x, axes=2),
            ),
        ),
    ),
    Capability(
        "functional.group_norm",
        "x (batch, channels, ...), weight and bias (channels) or None",
        "torch.nn.functional.group_norm",
        wrong=Wrong(((2, 3, 4), (3,), (3,)), r"expected a number of channels that 2 groups divide, got 3"),
        rows=(
            Row(
                "group_norm",
                lambda x, w, b: F.group_norm(x, w, b, groups=2),
                _CHANNELS,
                lambda torch, x, w, b: _group_norm(torch, x, w, b, 2),
                unbatched=(1, 2),
            ),
            Row(
                "group_norm-channels-last",
                lambda x, w, b: F.group_norm(x, w, b, groups=2, axis=-1),
                normal((3, 2, 4), (4,), (4,)),
                lambda torch, x, w, b: _group_norm(torch, x, w, b, 2, -1),
                unbatched=(1, 2),
            ),
        ),
    ),
    Capability(
        "functional.instance_norm",
        "x (batch, channels, ...), weight and bias (channels) or None",
        "torch.nn.functional.instance_norm",
        wrong=Wrong(((2, 3), (3,), (3,)), r"expected more than one value a channel, .* got \(2, 3\)"),
        rows=(
            Row("instance_norm", F.instance_norm, normal((2, 3, 5), (3,), (3,)), _instance_norm, unbatched=(1, 2)),
            Row(
                "instance_norm-channels-last",
                lambda x: F.instance_norm(x, axis=-1),
                normal((2, 3, 4)),
                lambda torch, x: _instance_norm(torch, x, axis=-1),
            ),
        ),
    ),
    Capability(
        "functional.batch_norm_training",
        "x (batch, channels, ...), weight and bias (channels) or None",
        "torch.nn.functional.batch_norm(..., training=True), torch.var_mean",
        wrong=Wrong(((1, 4), (4,), (4,)), _OF_BATCH),
        rows=(
            Row(  # the statistics of 16 bits are in float32
                "batch_norm_training",
                lambda *xs: F.batch_norm_training(*xs)[0],
                _CHANNELS,
                lambda torch, *xs: _training(torch, *xs)[0],
                batch=None,
            ),
            Row("batch_norm_training-statistics", F.batch_norm_training, _CHANNELS, _training, batch=None),
            Row(
                "batch_norm_training-channels-last",
                lambda x: F.batch_norm_training(x, axis=-1),
                normal((3, 2, 4)),
                lambda torch, x: _training(torch, x, axis=-1),
                batch=None,
            ),
        ),
    ),
    Capability(
        "functional.batch_norm",
        "x (batch, channels, ...), mean, variance (channels), weight and bias (channels) or None",
        "torch.nn.functional.batch_norm",
        wrong=Wrong(((2, 4), (4,), (3,)), r"expected variance of shape \(4,\), as the channels, got \(3,\)"),
        rows=(
            Row(
                "batch_norm",
                F.batch_norm,
                both(normal((3, 4, 2), (4,)), positive((4,)), normal((4,), (4,))),
                _given,
                unbatched=(1, 2, 3, 4),
            ),
            Row(
                "batch_norm-plain",
                lambda x, mean, variance: F.batch_norm(x, mean, variance),
                both(normal((3, 4))),
                lambda torch, x, mean, variance: torch.nn.functional.batch_norm(x, mean, variance),
                both(normal((4,)), positive((4,))),
                unbatched=(1, 2),
            ),
        ),
    ),
    Capability(
        "LayerNorm",
        "x (..., *shape)",
        "torch.nn.LayerNorm",
        wrong=Wrong(((4, 2),), r"LayerNorm: expected input of shape \(\.\.\., 6\), got \(4, 2\)"),
        rows=(
            layer(
                "LayerNorm",
                lambda dtype: nnx.LayerNorm(6, dtype=dtype),
                normal((4, 6)),
                lambda torch, p, x: torch.nn.functional.layer_norm(x, (6,), p["weight"], p["bias"]),
                repr="LayerNorm(shape=6)",
            ),
            layer(
                "LayerNorm-without-bias",
                lambda dtype: nnx.LayerNorm((3, 2), bias=False, dtype=dtype),
                normal((4, 3, 2)),
                lambda torch, p, x: torch.nn.functional.layer_norm(x, (3, 2), p["weight"]),
                repr="LayerNorm(shape=(3, 2), bias=False)",
            ),
        ),
    ),
    Capability(
        "RMSNorm",
        "x (..., *shape)",
        "torch.nn.RMSNorm",
        wrong=Wrong(((4, 2),), r"RMSNorm: expected input of shape \(\.\.\., 6\), got \(4, 2\)"),
        rows=(
            layer(
                "RMSNorm",
                lambda dtype: nnx.RMSNorm(6, dtype=dtype),
                normal((4, 6)),
                lambda torch, p, x: _rms_norm(torch, x, p["weight"]),
                repr="RMSNorm(shape=6)",
            ),
        ),
    ),
    Capability(
        "GroupNorm",
        "x (batch, num_features, ...)",
        "torch.nn.GroupNorm",
        wrong=Wrong(((4, 2),), r"GroupNorm: expected input \(batch, 4, \.\.\.\), got \(4, 2\)"),
        rows=(
            _channel_layer(
                nnx.GroupNorm,
                (3, 4, 2),
                lambda torch, p, x: _group_norm(torch, x, p["weight"], p["bias"], 2),
                2,
                4,
                repr="GroupNorm(groups=2, num_features=4)",
            ),
        ),
    ),
    *(
        Capability(
            kind.__name__,
            f"x (batch, num_features, {', '.join(axes)})",
            f"torch.nn.{kind.__name__}",
            wrong=Wrong(((4,),), rf"{kind.__name__}: expected input \(batch, 3, {', '.join(axes)}\), got \(4,\)"),
            rows=(
                _channel_layer(
                    kind,
                    {1: (2, 3, 5), 2: (2, 3, 1, 5), 3: (2, 3, 2, 1, 3)}[len(axes)],
                    lambda torch, p, x: _instance_norm(torch, x),
                    3,
                    repr=f"{kind.__name__}(num_features=3)",
                ),
            ),
        )
        for kind, axes in (
            (nnx.InstanceNorm1d, ("length",)),
            (nnx.InstanceNorm2d, ("height", "width")),
            (nnx.InstanceNorm3d, ("depth", "height", "width")),
        )
    ),
    *(
        Capability(
            kind.__name__,
            takes,
            f"torch.nn.{kind.__name__}",
            wrong=Wrong(((4, 2),), rf"{kind.__name__}: expected input .*\(batch, 3, {axes}\), got \(4, 2\)"),
            rows=(
                _channel_layer(
                    kind,
                    shape,
                    lambda torch, p, x: _training(torch, x, p["weight"], p["bias"])[0],
                    3,
                    batch=None,
                    repr=f"{kind.__name__}(num_features=3)",
                ),
            ),
        )
        for kind, axes, takes, shape in (
            (nnx.BatchNorm1d, "length", "x (batch, num_features) or (batch, num_features, length)", (4, 3)),
            (nnx.BatchNorm2d, "height, width", "x (batch, num_features, height, width)", (2, 3, 1, 2)),
            (nnx.BatchNorm3d, "depth, height, width", "x (batch, num_features, depth, height, width)", (2, 3, 1, 1, 2)),
        )
    ),
]

"""The linear and the bilinear map."""

import nnx
from nnx import functional as F
from rows.draws import normal
from rows.record import Capability, Row, Wrong, layer


def _linear(torch, x, weight, bias=None):
    y = x @ weight
    return y if bias is None else y + bias


def _adapted(dtype, **options):
    layer = nnx.LoRA(nnx.Linear(3, 2, rng=0, dtype=dtype), 2, **options, rng=1)
    layer.up = layer.up + 0.5  # else the gradient of the other factor is zero
    return layer


def _lora(torch, p, x, factor=1.0):
    return torch.nn.functional.linear(x, (p["base.weight"] + factor * p["down"] @ p["up"]).T, p["base.bias"])


def _layer(torch, p, x):
    return torch.nn.functional.linear(x, p["weight"].T, p.get("bias"))


def _bilinear_layer(torch, p, x1, x2):
    return torch.nn.functional.bilinear(x1, x2, p["weight"], p.get("bias"))


def _bilinear(torch, *arrays):
    return torch.nn.functional.bilinear(*arrays)


CAPABILITIES = [
    Capability(
        "functional.linear",
        "x (..., in), weight (in, out), bias (out) or None",
        "torch.nn.functional.linear(x, weight.T, bias)",
        dtypes=("half", "real", "complex"),
        wrong=Wrong(((4, 5), (3, 2), (2,)), r"expected input of shape \(\.\.\., 3\), got \(4, 5\)"),
        rows=(
            Row("linear", F.linear, normal((4, 3), (3, 2), (2,)), _linear, unbatched=(1, 2)),
            Row("linear-without-bias", F.linear, normal((4, 3), (3, 2)), _linear, unbatched=(1,)),
            Row("linear-3d", F.linear, normal((4, 2, 3), (3, 2), (2,)), _linear, unbatched=(1, 2)),
            Row("linear-1d", F.linear, normal((3,), (3, 2), (2,)), _linear, batch=None),
        ),
    ),
    Capability(
        "Linear",
        "x (..., in_features)",
        "torch.nn.Linear, whose weight is transposed",
        dtypes=("half", "real", "complex"),
        wrong=Wrong(((4, 5),), r"Linear: expected input of shape \(\.\.\., 3\), got \(4, 5\)"),
        rows=(
            layer(
                "Linear",
                lambda dtype: nnx.Linear(3, 2, rng=0, dtype=dtype),
                normal((4, 3)),
                _layer,
                repr="Linear(in_features=3, out_features=2)",
            ),
            layer(
                "Linear-without-bias",
                lambda dtype: nnx.Linear(3, 2, bias=False, rng=0, dtype=dtype),
                normal((4, 3)),
                _layer,
                repr="Linear(in_features=3, out_features=2, bias=False)",
            ),
            layer("Linear-3d", lambda dtype: nnx.Linear(3, 2, rng=0, dtype=dtype), normal((4, 2, 3)), _layer),
        ),
    ),
    Capability(
        "functional.bilinear",
        "x1 (..., in1), x2 (..., in2), weight (out, in1, in2), bias (out) or None",
        "torch.nn.functional.bilinear",
        dtypes=("half", "real", "complex"),
        wrong=Wrong(((4, 3), (4, 5), (2, 3, 4), (2,)), r"expected inputs of shapes \(\.\.\., 3\) and \(\.\.\., 4\)"),
        rows=(
            Row("bilinear", F.bilinear, normal((4, 3), (4, 2), (2, 3, 2), (2,)), _bilinear, unbatched=(2, 3)),
            Row("bilinear-3d", F.bilinear, normal((2, 3, 3), (2, 3, 2), (2, 3, 2)), _bilinear, unbatched=(2,)),
        ),
    ),
    Capability(
        "Bilinear",
        "x1 (..., in1_features), x2 (..., in2_features)",
        "torch.nn.Bilinear",
        dtypes=("half", "real", "complex"),
        wrong=Wrong(((4, 3), (5, 2)), r"Bilinear: expected inputs .* that agree in the leading axes, got"),
        rows=(
            layer(
                "Bilinear",
                lambda dtype: nnx.Bilinear(3, 2, 2, rng=0, dtype=dtype),
                normal((4, 3), (4, 2)),
                _bilinear_layer,
                repr="Bilinear(in1_features=3, in2_features=2, out_features=2)",
            ),
            layer(
                "Bilinear-without-bias",
                lambda dtype: nnx.Bilinear(3, 2, 2, bias=False, rng=0, dtype=dtype),
                normal((4, 3), (4, 2)),
                _bilinear_layer,
            ),
        ),
    ),
    Capability(
        "LoRA",
        "x (..., in_features)",
        "torch.nn.Linear with a change of its weight",
        dtypes=("half", "real", "complex"),
        wrong=Wrong(((4, 5),), r"Linear 'base': expected input of shape \(\.\.\., 3\), got \(4, 5\)"),
        derivatives="every order, of the change alone",
        rows=(
            layer(
                "LoRA",
                _adapted,
                normal((4, 3)),
                _lora,
                repr="LoRA(rank=2\n  (base): Linear(in_features=3, out_features=2, frozen=['weight', 'bias'])\n)",
            ),
            layer(
                "LoRA-alpha",
                lambda dtype: _adapted(dtype, alpha=3.0),
                normal((4, 2, 3)),
                lambda torch, p, x: _lora(torch, p, x, factor=1.5),
            ),
        ),
    ),
]

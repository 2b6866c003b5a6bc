"""Weights that a wrapper computes."""

import numpy as np

import nnx
from nnx import functional as F
from rows.draws import normal
from rows.record import Capability, Row, Wrong, layer


def _weight_norm(torch, v, g, axis):
    others = [i for i in range(v.ndim) if i != axis]
    shape = [n if i == axis else 1 for i, n in enumerate(v.shape)]
    return v * g.reshape(shape) / torch.linalg.vector_norm(v, dim=others, keepdim=True)


def _spectral_norm(torch, weight, left, right):
    return weight / (left @ (weight @ right))


def _spectral_layer(dtype):
    return nnx.SpectralNorm(nnx.Linear(3, 2, rng=0, dtype=dtype), axis=0, rng=1)


def _spectral(torch, p, x):
    made = _spectral_layer("float64")
    left, right = (torch.as_tensor(np.asarray(b.value)).to(x.dtype) for b in (made.left, made.right))
    return x @ _spectral_norm(torch, p["layer.weight"], left, right) + p["layer.bias"]


CAPABILITIES = [
    Capability(
        "functional.weight_norm",
        "direction of any shape, magnitude of its shape along axes",
        "torch.nn.utils.parametrizations.weight_norm",
        wrong=Wrong(((4, 3), (4,)), r"expected magnitude of shape \(3,\), as the direction along its axes, got \(4,\)"),
        rows=(
            Row(
                "weight_norm",
                F.weight_norm,
                normal((4, 3), (3,)),
                lambda torch, v, g: _weight_norm(torch, v, g, 1),
                batch=None,
            ),
            Row(
                "weight_norm-kernel",
                lambda v, g: F.weight_norm(v, g, axes=(0,)),
                normal((4, 3, 2), (4,)),
                lambda torch, v, g: _weight_norm(torch, v, g, 0),
                batch=None,
            ),
        ),
    ),
    Capability(
        "functional.spectral_norm",
        "weight of any shape, left (rows), right (columns)",
        "torch.nn.utils.parametrizations.spectral_norm",
        wrong=Wrong(((4, 3), (4,), (4,)), r"expected right of shape \(3,\), for this weight, got \(4,\)"),
        rows=(
            Row("spectral_norm", F.spectral_norm, normal((4, 3), (4,), (3,)), _spectral_norm, batch=None),
            Row(
                "spectral_norm-last-axis",
                lambda weight, left, right: F.spectral_norm(weight, left, right, axis=-1),
                normal((2, 3, 4), (4,), (6,)),
                lambda torch, w, left, right: w / (left @ (w.reshape(6, 4).T @ right)),
                batch=None,
            ),
        ),
    ),
    Capability(
        "WeightNorm",
        "what the layer inside takes",
        "torch.nn.utils.parametrizations.weight_norm",
        rows=(
            layer(
                "WeightNorm",
                lambda dtype: nnx.WeightNorm(nnx.Linear(3, 2, rng=0, dtype=dtype)),
                normal((4, 3)),
                lambda torch, p, x: x @ _weight_norm(torch, p["layer.weight"], p["magnitude"], 1) + p["layer.bias"],
            ),
        ),
    ),
    Capability(
        "SpectralNorm",
        "what the layer inside takes",
        "torch.nn.utils.parametrizations.spectral_norm",
        rows=(layer("SpectralNorm", _spectral_layer, normal((4, 3)), _spectral, training=False),),
    ),
]

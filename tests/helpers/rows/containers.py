"""Layers that hold layers."""

import numpy as np

import nnx
from rows.draws import normal
from rows.record import Capability, Wrong, layer


def _mlp(dtype: str) -> nnx.Module:
    rng = np.random.default_rng(3)
    first, last = nnx.Linear(3, 4, rng=rng, dtype=dtype), nnx.Linear(4, 2, rng=rng, dtype=dtype)
    return nnx.Model([first, nnx.Sequential([nnx.Sigmoid(), last]), nnx.Softmax()])


def _mlp_torch(torch, p, x):
    hidden = torch.sigmoid(x @ p["0.weight"] + p["0.bias"])
    return torch.softmax(hidden @ p["1.1.weight"] + p["1.1.bias"], -1)


def _tied(dtype: str) -> nnx.Module:
    shared = nnx.Linear(3, 3, rng=5, dtype=dtype)
    return nnx.Sequential([shared, nnx.Sigmoid(), shared])


def _tied_torch(torch, p, x):
    return torch.sigmoid(x @ p["0.weight"] + p["0.bias"]) @ p["0.weight"] + p["0.bias"]


CAPABILITIES = [
    Capability(
        "Sequential",
        "what its first layer takes",
        "torch.nn.Sequential",
        wrong=Wrong(((4, 5),), r"Linear '0': expected input of shape \(\.\.\., 3\), got \(4, 5\)"),
        rows=(
            layer(
                "Sequential",
                _mlp,
                normal((4, 3)),
                _mlp_torch,
                repr="Sequential(\n  (0): Linear(in_features=3, out_features=4)\n  (1): Sequential(\n"
                "    (0): Sigmoid()\n    (1): Linear(in_features=4, out_features=2)\n  )\n  (2): Softmax()\n)",
            ),
            layer("Sequential-tied", _tied, normal((4, 3)), _tied_torch),
        ),
    ),
    Capability(
        "Remat",
        "what its inner module takes",
        "torch.utils.checkpoint.checkpoint",
        dtypes=("half", "real", "complex"),
        wrong=Wrong(((4, 5),), r"Linear 'inner': expected input of shape \(\.\.\., 3\), got \(4, 5\)"),
        rows=(
            layer(
                "Remat",
                lambda dtype: nnx.remat(nnx.Linear(3, 2, rng=0, dtype=dtype)),
                normal((4, 3)),
                lambda torch, p, x: torch.nn.functional.linear(x, p["inner.weight"].T, p["inner.bias"]),
                repr="Remat(\n  (inner): Linear(in_features=3, out_features=2)\n)",
            ),
        ),
    ),
]

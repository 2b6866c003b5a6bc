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


def _residual(dtype: str) -> nnx.Module:
    rng = np.random.default_rng(6)
    inner = [nnx.Linear(3, 4, rng=rng, dtype=dtype), nnx.Sigmoid(), nnx.Linear(4, 3, rng=rng, dtype=dtype)]
    return nnx.Residual(inner)


def _residual_torch(torch, p, x):
    hidden = torch.sigmoid(x @ p["inner.0.weight"] + p["inner.0.bias"])
    return x + hidden @ p["inner.2.weight"] + p["inner.2.bias"]


def _with_shortcut(dtype: str) -> nnx.Module:
    rng = np.random.default_rng(6)
    return nnx.Residual(nnx.Linear(3, 2, rng=rng, dtype=dtype), nnx.Linear(3, 2, rng=rng, dtype=dtype))


def _outputs(p, x, count):
    return [x @ p[f"{i}.weight"] + p[f"{i}.bias"] for i in range(count)]


def _parallel(combine, torch, repr=None, sizes=(2, 2), **options):
    def make(dtype: str) -> nnx.Module:
        rng = np.random.default_rng(7)
        return nnx.Parallel([nnx.Linear(3, n, rng=rng, dtype=dtype) for n in sizes], combine, **options)

    id = "Parallel" if combine == "sum" else f"Parallel-{combine}"
    return layer(id, make, normal((4, 3)), lambda torch_, p, x: torch(torch_, *_outputs(p, x, len(sizes))), repr=repr)


CAPABILITIES = [
    Capability(
        "Residual",
        "what its inner layers take",
        "x + inner(x)",
        wrong=Wrong(((4, 5),), r"Linear 'inner.0': expected input of shape \(\.\.\., 3\), got \(4, 5\)"),
        rows=(
            layer(
                "Residual",
                _residual,
                normal((4, 3)),
                _residual_torch,
                repr="Residual(\n  (inner): Sequential(\n    (0): Linear(in_features=3, out_features=4)\n"
                "    (1): Sigmoid()\n    (2): Linear(in_features=4, out_features=3)\n  )\n)",
            ),
            layer(
                "Residual-shortcut",
                _with_shortcut,
                normal((4, 3)),
                lambda torch, p, x: (
                    x @ (p["inner.weight"] + p["shortcut.weight"]) + p["inner.bias"] + p["shortcut.bias"]
                ),
            ),
        ),
    ),
    Capability(
        "Parallel",
        "what all its branches take",
        "sum or torch.cat of the outputs",
        dtypes=("half", "real", "complex"),
        wrong=Wrong(((4, 5),), r"Linear '0': expected input of shape \(\.\.\., 3\), got \(4, 5\)"),
        rows=(
            _parallel(
                "sum",
                lambda torch, a, b: a + b,
                repr="Parallel(\n  (0): Linear(in_features=3, out_features=2)\n"
                "  (1): Linear(in_features=3, out_features=2)\n)",
            ),
            _parallel("product", lambda torch, a, b: a * b),
            _parallel("concatenate", lambda torch, a, b: torch.cat([a, b], -1), sizes=(2, 3)),
            _parallel("stack", lambda torch, a, b: torch.stack([a, b], 1), axis=1),
            _parallel("tuple", lambda torch, a, b: (a, b), sizes=(2, 3)),
        ),
    ),
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

"""Update rules as one loop: the bits of the rules that they stand for."""

import importlib.util

import numpy as np
import pytest

import nnx
from nnx.backend.blocks import FUSED

pytestmark = pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="Numba is not installed")
OPTIMIZERS = {
    "sgd": (nnx.SGD, {}),
    "decay": (nnx.SGD, {"weight_decay": 0.1}),
    "momentum": (nnx.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    "nesterov": (nnx.SGD, {"momentum": 0.9, "nesterov": True}),
    "adam": (nnx.Adam, {}),
    "penalty": (nnx.Adam, {"weight_decay": 0.1}),
    "amsgrad": (nnx.Adam, {"amsgrad": True}),
    "adamw": (nnx.AdamW, {"betas": (0.0, 0.9)}),
    "spared": (nnx.AdamW, {"no_decay": "*bias"}),
    "groups": (nnx.SGD, {"groups": [{"paths": "bias", "momentum": 0.5, "learning_rate": 0.3}]}),
    "some": (nnx.Adam, {"groups": [{"paths": "weight", "amsgrad": True}]}),
}


class Parts(nnx.Module):
    """Parameters of several shapes, one of which is larger than a block."""

    def __init__(self, dtypes):
        shapes = {"weight": (300, 250), "bias": (5,), "scale": (), "empty": (0, 3), "kernel": (2, 1, 3, 4)}
        draw = np.random.default_rng(0)
        for (name, shape), dtype in zip(shapes.items(), dtypes, strict=True):
            setattr(self, name, nnx.Parameter(np.asarray(draw.normal(size=shape), dtype)))

    def forward(self):
        """Do nothing."""


def trained(kind, options, dtypes, tier, layout=np.asarray):
    """Return the parameters and the state after steps; some gradients are tiny, the last ones not finite."""
    model = Parts(dtypes)
    optimizer, draw = kind(model, 0.01, **options), np.random.default_rng(1)
    with nnx.use_kernels(tier):
        for step in range(36):
            scale = 1e-25 if step > 10 else 1.0
            shapes = {path: w.shape for path, w in model.parameters().items()}
            gradients = {path: scale * draw.normal(size=shape) for path, shape in shapes.items()}
            if step == 35:
                gradients["bias"][:3] = np.nan, np.inf, -np.inf
            dtype_of = {path: w.dtype for path, w in model.parameters().items()}
            with np.errstate(all="ignore"):
                optimizer.step({path: layout(np.asarray(g, dtype_of[path])) for path, g in gradients.items()})
    return model.parameters() | optimizer.state_dict()


def assert_same_bits(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert np.asarray(found[name]).tobytes() == np.asarray(value).tobytes(), name


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtypes", [["float32"] * 5, ["float64"] * 5, ["float32", "float64"] * 2 + ["float32"]])
def test_the_bits_are_those_of_the_rule(name, dtypes):
    kind, options = OPTIMIZERS[name]
    assert kind.rule.fused in FUSED or not nnx.kernels.load("numpy")
    found = [trained(kind, options, dtypes, tier) for tier in ("compiled", "native")]
    assert_same_bits(*found)


@pytest.mark.parametrize(
    ("dtypes", "layout"),
    [(["float32"] * 5, lambda g: np.asarray(g, order="F")), (["float16"] * 5, np.asarray)],
    ids=["columns", "half precision"],
)
def test_what_the_loop_does_not_take_is_left_to_the_rule(dtypes, layout):
    found = [trained(nnx.Adam, {}, dtypes, tier, layout) for tier in ("compiled", "native")]
    assert_same_bits(*found)


def test_an_array_that_somebody_else_has_is_not_written():
    model = nnx.Linear(3, 2, rng=0)
    held = model.weight
    before = held.copy()
    nnx.Adam(model).step({path: np.ones_like(w) for path, w in model.parameters().items()})
    np.testing.assert_array_equal(held, before)
    assert not np.array_equal(model.weight, before)


def test_rules_that_have_a_loop():
    nnx.kernels.load("numpy")
    assert {kind.rule.fused for kind in (nnx.SGD, nnx.Adam, nnx.AdamW)} == set(FUSED)

"""Update rules as one loop: the bits of the rules that they stand for."""

import functools
import importlib.util
import pickle

import numpy as np
import pytest

import nnx
from nnx.backend.blocks import FUSED
from nnx.errors import ShapeError

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


@pytest.fixture
def fused(monkeypatch):
    """What the loops answered, in order."""
    nnx.kernels.load("numpy")
    answers = []

    def spied(loop):
        def call(*args):
            answers.append(loop(*args))
            return answers[-1]

        return call

    for name, loop in FUSED.items():
        monkeypatch.setitem(FUSED, name, spied(loop))
    return answers


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("dtypes", [["float32"] * 5, ["float64"] * 5, ["float32", "float64"] * 2 + ["float32"]])
def test_the_bits_are_those_of_the_rule(fused, name, dtypes):
    kind, options = OPTIMIZERS[name]
    found = [trained(kind, options, dtypes, tier) for tier in ("compiled", "native")]
    assert fused == [True] * 36
    assert_same_bits(*found)


@pytest.mark.parametrize(
    ("dtypes", "layout"),
    [(["float32"] * 5, lambda g: np.asarray(g, order="F")), (["float16"] * 5, np.asarray)],
    ids=["columns", "half precision"],
)
def test_what_the_loop_does_not_take_is_left_to_the_rule(fused, dtypes, layout):
    found = [trained(nnx.Adam, {}, dtypes, tier, layout) for tier in ("compiled", "native")]
    assert fused == [False] * 36
    assert_same_bits(*found)


@pytest.mark.parametrize("decay", [0.0, 1e-60])  # which is 0 in float32
@pytest.mark.parametrize("kind", [nnx.SGD, nnx.Adam, nnx.AdamW])
def test_a_decay_that_is_tiny(fused, kind, decay):
    found = []
    for tier in ("compiled", "native"):
        model = nnx.Linear(2, 1, bias=False, rng=0)
        model.weight = np.asarray([[np.inf], [1.0]], np.float32)
        optimizer = kind(model, 0.1, weight_decay=decay)
        with nnx.use_kernels(tier), np.errstate(all="ignore"):
            for _ in range(2):
                optimizer.step({"weight": np.ones((2, 1), np.float32)})
        found.append(model.parameters())
    assert fused == [True] * 2
    assert_same_bits(*found)


def test_a_model_that_was_pickled(fused):
    model = pickle.loads(pickle.dumps(nnx.Linear(3, 2, rng=0)))
    optimizer = nnx.Adam(model)
    for _ in range(3):
        optimizer.step({path: np.ones(w.shape, np.float32) for path, w in model.parameters().items()})
    assert fused == [True] * 3


def test_a_rule_around_another_is_its_own(fused):
    class Clipped(nnx.SGD):
        @staticmethod
        @functools.wraps(nnx.SGD.rule)
        def rule(gradients, *rest):
            return nnx.SGD.rule([np.clip(g, -1, 1) for g in gradients], *rest)

    model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(3.0))
    Clipped(model, 0.5).step({"weight": np.full((1, 1), 100.0, np.float32)})
    assert model.weight == 2.5
    assert fused == []


def test_an_array_that_somebody_else_has_is_not_written(fused):
    model = nnx.Linear(3, 2, rng=0)
    held = model.weight
    before = held.copy()
    nnx.Adam(model).step({path: np.ones_like(w) for path, w in model.parameters().items()})
    np.testing.assert_array_equal(held, before)
    assert not np.array_equal(model.weight, before)


@pytest.mark.parametrize("wrong", [np.ones(3, np.float32), np.ones((2, 2), np.float32)])
def test_gradients_of_another_size_never_reach_the_loop(fused, wrong):
    model = nnx.Linear(3, 2, bias=False, rng=0)
    with pytest.raises(ShapeError, match="the gradient of 'weight': expected shape"):
        nnx.SGD(model, 0.1).step({"weight": wrong})
    assert not FUSED["descend"]([wrong], {}, [model.weight], 0, nnx.SGD(model, 0.1).hyperparameters, ())

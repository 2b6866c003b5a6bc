"""LAMB, Adafactor and Muon, whose steps need whole arrays: their norms, rows and columns, and products."""

import copy
import gc
import re

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, DTypeError, UsageError
from nnx.testing import assert_close

KINDS = [nnx.LAMB, nnx.Adafactor, nnx.Muon]
each = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
SHAPES = {"scalar": (), "vector": (4,), "matrix": (3, 4), "kernel": (3, 2, 2, 5), "empty": (0, 3), "nothing": (0,)}


class Host:
    """NumPy in the place of the fixture ``xp``."""

    def asarray(self, data, dtype="float32"):
        return np.array(data, dtype)


class Bag(nnx.Module):
    """Parameters of all shapes."""

    def __init__(self, xp, dtype="float64", zero=False):
        draw = np.random.default_rng(0)
        for name, shape in SHAPES.items():
            values = draw.normal(size=shape)
            setattr(self, name, nnx.Parameter(xp.asarray(0.0 * values if zero else values, dtype)))

    def forward(self):
        """Do nothing."""


def gradients(xp, step=0, dtype="float64", scale=1.0):
    draw = np.random.default_rng(100 + step)
    return {name: xp.asarray(scale * draw.normal(size=shape), dtype) for name, shape in SHAPES.items()}


def on_host(tree):
    arrays = {name: x for name, x in tree.items() if hasattr(x, "shape")}
    for name, x in arrays.items():
        if nnx.backend.dtype_name(x.dtype) == "bfloat16":  # which NumPy does not have
            arrays[name] = nnx.namespace(x).astype(x, nnx.namespace(x).float32)
    return {name: np.array(nnx.to_numpy(x)) for name, x in arrays.items()}


def is_finite(tree):
    return all(np.isfinite(x).all() for x in on_host(tree).values())


@each
@pytest.mark.parametrize("dtype", ["bfloat16", pytest.param("float32", marks=pytest.mark.further)])
def test_all_shapes_move_and_stay_what_they_are(xp, kind, dtype):
    if not hasattr(xp.namespace, dtype):
        pytest.skip(f"{xp.name} has no {dtype}")
    model = Bag(xp, dtype)
    optimizer, before = kind(model, 0.1), on_host(model.parameters())
    for step in range(3):
        optimizer.step(gradients(xp, step, dtype))
    assert {nnx.backend.dtype_name(w.dtype) for w in model.parameters().values()} == {dtype}
    assert {nnx.backend.dtype_name(x.dtype) for x in optimizer.state_dict().values() if hasattr(x, "shape")} == {
        "float32"
    }
    assert is_finite(model.parameters())
    for name, w in on_host(model.parameters()).items():
        assert w.shape == SHAPES[name]
        assert not w.size or np.mean(w == before[name]) < 0.5


@each
def test_half_precision_is_the_step_of_float32_rounded(xp, kind):
    if not hasattr(xp.namespace, "float16"):
        pytest.skip(f"{xp.name} has no float16")
    small, wide = Bag(xp, "float16"), Bag(xp, "float16").to(dtype="float32")
    given = gradients(xp, 0, "float16", scale=1e-4)  # squares would underflow
    kind(small, 0.1).step(given)
    kind(wide, 0.1).step({name: xp.asarray(x, "float32") for name, x in on_host(given).items()})
    for name, w in on_host(wide.parameters()).items():
        assert np.array_equal(on_host(small.parameters())[name], w.astype("f2"))


@each
def test_zero_gradients_and_parameters(xp, kind):
    moved, still = Bag(xp, zero=True), Bag(xp)
    optimizer = kind(moved, 0.1)
    optimizer.step(gradients(xp))
    assert is_finite(moved.parameters())
    assert all(np.all(w != 0.0) for w in on_host(moved.parameters()).values())
    before = on_host(still.parameters())
    optimizer = kind(still, 0.1, weight_decay=0.0)
    for _ in range(2):
        optimizer.step(gradients(xp, scale=0.0))
    assert_close(on_host(still.parameters()), before, rtol=0.0, atol=0.0)
    assert is_finite(optimizer.state_dict())
    both = Bag(xp, zero=True)
    kind(both, 0.1).step(gradients(xp, scale=0.0))
    assert all(np.all(w == 0.0) for w in on_host(both.parameters()).values())


@each
@pytest.mark.parametrize("taken", [0, 3])
def test_a_saved_state_goes_on_with_the_same_bits(xp, kind, taken):
    model = Bag(xp)
    optimizer = kind(model, 0.1)
    for step in range(taken):
        optimizer.step(gradients(xp, step))
    twin = Bag(xp).load_state_dict(model.state_dict())
    restored = kind(twin, 0.1).load_state_dict(optimizer.state_dict())
    for step in range(taken, taken + 3):
        optimizer.step(gradients(xp, step))
        restored.step(gradients(xp, step))
    assert_close(twin.parameters(), model.parameters(), rtol=0.0, atol=0.0)
    assert_close(restored.state_dict(), optimizer.state_dict(), rtol=0.0, atol=0.0)


@each
def test_a_frozen_parameter_stays_and_has_no_state(kind):
    xp = Host()
    model = Bag(xp)
    nnx.freeze(model, "matrix")
    optimizer, before = kind(model, 0.1), on_host(model.parameters())
    optimizer.step({name: g for name, g in gradients(xp).items() if name != "matrix"})
    now = on_host(model.parameters())
    assert {name for name in SHAPES if not np.array_equal(now[name], before[name])} == {"scalar", "vector", "kernel"}
    assert not [name for name in optimizer.state_dict() if "matrix" in name]


@each
def test_parameters_and_state_are_held_once(kind):
    """They are written in place, unless somebody else holds them."""
    model = nnx.Linear(3, 4, rng=0)
    optimizer = kind(model, 0.1)
    given = {path: np.ones_like(w) for path, w in model.parameters().items()}
    optimizer.step(given)

    def where():
        arrays = {**model.parameters(), **optimizer.state_dict()}
        return {name: id(x) for name, x in arrays.items() if name != "step"}

    before = where()
    gc.collect()
    optimizer.step(given)
    assert where() == before
    held = copy.deepcopy(kept := {**model.parameters(), **optimizer.state_dict()})
    optimizer.step(given)
    assert_close(kept, held, rtol=0.0, atol=0.0)
    assert not set(where().values()) & set(before.values())


@each
def test_groups_have_their_own_hyperparameters(kind):
    alone, together = nnx.Linear(3, 4, rng=0), nnx.Linear(3, 4, rng=0)
    given = {path: np.ones_like(w) for path, w in alone.parameters().items()}
    rates = {"weight": 0.5, "bias": 0.25}
    optimizers = [kind(alone, rate, weight_decay=rate) for rate in rates.values()]
    group = {"paths": "bias", "learning_rate": 0.25, "weight_decay": 0.25}
    kind(together, 0.5, weight_decay=0.5, groups=[group]).step(given)
    for path, optimizer in zip(rates, optimizers, strict=True):
        alone.load_state_dict(nnx.Linear(3, 4, rng=0).state_dict())
        optimizer.step(given)
        assert np.array_equal(getattr(alone, path), getattr(together, path))


@each
def test_errors_for_complex_parameters_and_for_other_shapes(kind):
    model = nnx.Linear(1, 1, bias=False, dtype="complex64")
    with pytest.raises(DTypeError, match=r"expected real parameters, got complex64; use nnx\.SGD"):
        kind(model).step({"weight": np.ones((1, 1), "complex64")})
    model = nnx.Linear(2, 1, bias=False)
    optimizer = kind(model)
    optimizer.step({"weight": np.ones((2, 1), "float32")})
    model.weight = nnx.Parameter(np.ones((1, 2), "float32"))
    text = "the optimizer was made for a 'weight' of shape (2, 1), and it has (1, 2) now; make a new optimizer when"
    with pytest.raises(UsageError, match=re.escape(text)):
        optimizer.step({"weight": np.ones((1, 2), "float32")})


class TestLAMB:
    def test_a_step_is_a_part_of_the_norm(self, xp):
        model = Bag(xp)
        before = on_host(model.parameters())
        nnx.LAMB(model, 0.1, weight_decay=0.3).step(gradients(xp, scale=1e6))
        for name, w in on_host(model.parameters()).items():
            step = np.linalg.norm(w - before[name])
            np.testing.assert_allclose(step, 0.1 * np.linalg.norm(before[name]), rtol=1e-12)


class TestAdafactor:
    @pytest.mark.parametrize("clip", [1.0, pytest.param(3.0, marks=pytest.mark.further)])
    def test_a_hundred_steps_are_those_of_pytorch_for_all_shapes(self, xp, clip):
        torch = pytest.importorskip("torch", reason="torch is not installed")
        model = Bag(xp)
        full = {name: torch.tensor(w) for name, w in on_host(model.parameters()).items() if w.size}
        ours = nnx.Adafactor(model, 0.05, weight_decay=0.1, clip_threshold=clip)
        theirs = torch.optim.Adafactor(list(full.values()), 0.05, weight_decay=0.1, d=clip)
        for step in range(100):
            given = gradients(xp, step, scale=10.0 ** (step % 7 - 3))
            ours.step(given)
            for name, w in full.items():
                w.grad = torch.tensor(on_host(given)[name])
            theirs.step()
        for name, w in full.items():
            np.testing.assert_allclose(on_host(model.parameters())[name], w.numpy(), rtol=1e-9)

    def test_the_state_of_a_matrix_is_two_vectors(self):
        optimizer = nnx.Adafactor(Bag(Host()))
        assert {name: x.shape for name, x in optimizer.state_dict().items() if name != "step"} == {
            "row_moment.matrix": (3,),
            "row_moment.kernel": (3, 2, 2),
            "column_moment.matrix": (4,),
            "column_moment.kernel": (3, 2, 5),
            "column_moment.empty": (3,),
            "second_moment.scalar": (),
            "second_moment.vector": (4,),
        }

    def test_without_relative_steps_and_scales_it_moves_by_the_learning_rate(self, xp):
        model = Bag(xp)
        before = on_host(model.parameters())
        optimizer = nnx.Adafactor(model, 2.0, relative_step=False, scale_parameter=False)
        given = {name: 0.0 * g + 7.0 for name, g in gradients(xp).items()}
        for step in range(1, 4):
            optimizer.step(given)
            for name, w in on_host(model.parameters()).items():
                np.testing.assert_allclose(w, before[name] - 2.0 * step, rtol=1e-12)

    def test_a_schedule_bounds_the_relative_step(self):
        model = nnx.Linear(1, 1, bias=False, initializer=nnx.initializers.Constant(1.0), dtype="float64")
        optimizer = nnx.Adafactor(model, lambda step: [0.5, 10.0][step], scale_parameter=False)
        for expected in (0.5, 0.5 - 2.0**-0.5):
            optimizer.step({"weight": np.ones((1, 1))})
            np.testing.assert_allclose(model.weight, expected, rtol=1e-12)

    def test_errors_for_hyperparameters(self):
        model = nnx.Linear(1, 1)
        for options, message in (
            ({"eps": 1e-3}, "expected eps to be a number > 0 or None, and a number >= 0, as (None, 1e-3), got 0.001"),
            ({"eps": (0.0, 1.0)}, "as (None, 1e-3), got (0.0, 1.0)"),
            ({"eps": (None, -1.0)}, "as (None, 1e-3), got (None, -1.0)"),
            ({"beta2_decay": 0.8}, "expected beta2_decay <= 0, such as -0.8, got 0.8"),
            ({"clip_threshold": 0}, "expected a finite clip_threshold > 0, got 0"),
            ({"relative_step": 1}, "expected relative_step to be True or False, got 1"),
            ({"scale_parameter": None}, "expected scale_parameter to be True or False, got None"),
            ({"groups": [{"paths": "bias", "eps": 1.0}]}, "groups[0]: expected eps to be a number > 0 or None"),
        ):
            with pytest.raises(ArgumentError, match=re.escape(message)):
                nnx.Adafactor(model, **options)


class TestMuon:
    @pytest.mark.parametrize("match", [True, pytest.param(False, marks=pytest.mark.further)])
    def test_a_hundred_steps_are_those_of_pytorch(self, xp, match, monkeypatch):
        """PyTorch's own program, kept from rounding to bfloat16, and its AdamW for all that is no matrix."""
        torch = pytest.importorskip("torch", reason="torch is not installed")
        monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
        model = Bag(xp)
        start = {name: torch.tensor(w) for name, w in on_host(model.parameters()).items() if w.size}
        full = {name: flat(w, name) for name, w in start.items()}
        ours = nnx.Muon(model, 0.05, match_rms_adamw=match)
        name_of_scale = "match_rms_adamw" if match else "original"
        theirs = (
            torch.optim.Muon([full["matrix"], full["kernel"]], 0.05, adjust_lr_fn=name_of_scale),
            torch.optim.AdamW([full["scalar"], full["vector"]], 0.05, weight_decay=0.1),
        )
        for step in range(100):
            given = gradients(xp, step, scale=10.0 ** (step % 7 - 3))
            ours.step(given)
            for name, w in full.items():
                w.grad = flat(torch.tensor(on_host(given)[name]), name)
            for optimizer in theirs:
                optimizer.step()
        for name, w in full.items():
            own = flat(torch.tensor(on_host(model.parameters())[name]), name)
            np.testing.assert_allclose(own.numpy(), w.numpy(), rtol=1e-9)

    def test_a_step_moves_all_directions_alike(self, xp):
        draw = np.random.default_rng(0)
        model = nnx.Linear(30, 20, bias=False, initializer=nnx.initializers.Constant(0.0), dtype="float64").to(xp.spec)
        given = draw.normal(size=(30, 20)) @ np.diag(10.0 ** draw.uniform(-1.0, 1.0, 20))
        nnx.Muon(model, 1.0, nesterov=False, momentum=0.0).step({"weight": xp.asarray(given, "float64")})
        values = np.linalg.svd(on_host(model.parameters())["weight"], compute_uv=False) / (0.2 * 30**0.5)
        assert 0.65 < values.min() < values.max() < 1.25

    def test_what_is_no_matrix_has_two_moments(self):
        inner = [nnx.Embedding(5, 4), nnx.LayerNorm((2, 4)), nnx.RMSNorm(4), nnx.Linear(4, 3), nnx.LayerNorm(None)]
        model = nnx.Model([*inner, nnx.Conv2d(3, 2, 3)])
        seconds = {"0.weight", "1.weight", "1.bias", "2.weight", "3.bias", "5.bias"}
        model[4](np.ones((1, 3), np.float32))
        seconds |= {"4.weight", "4.bias"}
        for adamw, further in (
            (None, set()),
            (("0", "1", "3"), {"3.weight"}),
            ((), {"0.weight", "1.weight", "1.bias"}),
        ):
            state = nnx.Muon(model, adamw=adamw).state_dict()
            expected = seconds - further if adamw == () else seconds | further
            assert {name.removeprefix("second_moment.") for name in state if name.startswith("second")} == expected
            assert len([name for name in state if name.startswith("first")]) == len(model.parameters())

    def test_a_layer_alone_and_names_that_look_like_patterns(self):
        assert "second_moment.weight" in nnx.Muon(nnx.Embedding(5, 4)).state_dict()
        model = nnx.Linear(1, 1)
        model.tables = {"[a]*": nnx.Embedding(5, 4), "a": nnx.Embedding(3, 2)}
        state = nnx.Muon(model).state_dict()
        assert {"second_moment.tables.[a]*.weight", "second_moment.tables.a.weight"} <= state.keys()

    def test_groups_may_say_what_is_no_matrix(self):
        model = nnx.Model([nnx.Linear(3, 4, rng=0), nnx.Linear(4, 2, rng=1)])
        optimizer = nnx.Muon(model, groups=[{"paths": "1", "orthogonalize": False, "learning_rate": 0.5}])
        assert [name for name in optimizer.state_dict() if "second" in name] == [
            f"second_moment.{path}" for path in ("0.bias", "1.weight", "1.bias")
        ]
        assert nnx.from_config(optimizer.config(), model=model).config() == optimizer.config()

    def test_errors_for_hyperparameters(self):
        model = nnx.Linear(1, 1)
        for options, message in (
            ({"coefficients": (1.0, 2.0)}, "expected coefficients to be three finite numbers, got (1.0, 2.0)"),
            (
                {"coefficients": (1.0, 2.0, np.inf)},
                "expected coefficients to be three finite numbers, got (1.0, 2.0, inf)",
            ),
            ({"iterations": 0}, "expected iterations to be an integer of at least 1, got 0"),
            ({"momentum": 1.0}, "expected momentum in [0, 1), got 1.0"),
            ({"match_rms_adamw": "original"}, "expected match_rms_adamw to be True or False, got 'original'"),
            ({"orthogonalize": 1}, "expected orthogonalize to be True or False, got 1"),
            ({"adamw": 3}, "expected adamw to be patterns of paths, such as '*bias', got 3"),
            ({"adamw": "head"}, "adamw: expected patterns of paths, got 'head', which matches none of weight, bias"),
        ):
            with pytest.raises(ArgumentError, match=re.escape(message)):
                nnx.Muon(model, **options)


def flat(tensor, name):
    """Return a parameter in the layout of PyTorch's matrices, (out, in)."""
    return tensor.T.contiguous() if name == "matrix" else tensor.reshape(3, -1) if name == "kernel" else tensor

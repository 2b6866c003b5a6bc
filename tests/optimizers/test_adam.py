import copy
import gc
import json
import pickle
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

import nnx
from nnx.backend import blocks
from nnx.errors import ArgumentError, DTypeError
from nnx.testing import assert_close

KINDS = [nnx.Adam, nnx.AdamW]
each = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def model_of(*sizes, dtype="float32", spec="numpy"):
    with nnx.use_backend(spec):
        rng = nnx.generator(0)
        return nnx.Model([nnx.Linear(a, b, rng=rng, dtype=dtype) for a, b in pairwise(sizes)])


def gradients_of(model, seed=0, scale=1.0):
    draw = np.random.default_rng(seed)
    return {
        path: nnx.backend.asarray(scale * draw.standard_normal(w.shape), dtype=nnx.backend.dtype_name(w.dtype), like=w)
        for path, w in model.parameters().items()
    }


@each
def test_the_first_step_is_the_learning_rate_whatever_the_gradient(xp, kind):
    model = model_of(3, 4, dtype="float64", spec=xp.spec)
    before = nnx.to_numpy(copy.deepcopy(model.parameters()))
    gradients = gradients_of(model, scale=1e6)
    kind(model, 0.25, weight_decay=0.0).step(gradients)
    for path, w in model.parameters().items():
        moved = before[path] - 0.25 * np.sign(nnx.to_numpy(gradients[path]))
        np.testing.assert_allclose(nnx.to_numpy(w), moved, rtol=1e-12)


def test_the_default_learning_rate_is_that_of_the_paper():
    assert [kind(nnx.Linear(1, 1)).learning_rate for kind in KINDS] == [0.001, 0.001]


@each
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_the_step_of_float32_rounded(xp, kind, dtype):
    if not hasattr(xp.namespace, dtype):
        pytest.skip(f"{xp.name} has no {dtype}")
    small = model_of(3, 4, dtype="float32", spec=xp.spec).to(dtype=dtype)
    wide = model_of(3, 4, dtype="float32", spec=xp.spec)
    optimizers = [kind(model, 0.01, weight_decay=0.1) for model in (small, wide)]
    for i in range(3):
        wide.replace_parameters({p: _cast(xp, w, "float32") for p, w in small.parameters().items()})
        gradients = {p: _cast(xp, g, dtype) for p, g in gradients_of(wide, i, scale=1e-4).items()}  # squares underflow
        optimizers[0].step(gradients)
        optimizers[1].step({p: _cast(xp, g, "float32") for p, g in gradients.items()})
        rounded = {p: _cast(xp, w, dtype) for p, w in wide.parameters().items()}
        for path, w in small.parameters().items():
            assert nnx.namespace(w).all(w == rounded[path])
    states = [optimizer.state_dict() for optimizer in optimizers]
    assert_close(*states, rtol=0.0, atol=0.0)


def _cast(xp, x, dtype):
    return xp.namespace.astype(x, getattr(xp.namespace, dtype))


def test_a_state_follows_its_model_and_stays_wide():
    model = model_of(3, 2)
    optimizer = nnx.Adam(model)
    optimizer.step(gradients_of(model))
    model.to(dtype="float16")
    optimizer.to(dtype="float16")
    optimizer.step(gradients_of(model))
    assert {x.dtype for x in model.parameters().values()} == {np.dtype("float16")}
    assert {x.dtype for x in optimizer.state_dict().values() if hasattr(x, "dtype")} == {np.dtype("float32")}
    model.to(dtype="float64")
    optimizer.to(dtype="float64").step(gradients_of(model))
    assert {x.dtype for x in optimizer.state_dict().values() if hasattr(x, "dtype")} == {np.dtype("float64")}


@each
def test_a_step_takes_no_memory_for_parameters_and_moments(kind):
    model = model_of(1024, 1024, 1024)
    gradients, optimizer = gradients_of(model), kind(model, 0.1, weight_decay=0.1)
    optimizer.step(gradients)
    before = {path: id(array) for path, array in model.parameters().items()}
    gc.collect()
    tracemalloc.start()
    try:
        optimizer.step(gradients)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert {path: id(array) for path, array in model.parameters().items()} == before
    assert peak < 0.4 * 4 * 1024**2  # of one weight


@pytest.mark.parametrize("block", [1, 7, 32_768])
def test_blocks_give_the_same_bits_and_each_its_own_decay(block, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", block)
    models = [model_of(5, 6, 3) for _ in range(2)]
    optimizers = [nnx.AdamW(model, 0.1, weight_decay=0.5, no_decay=("0.weight", "*.bias")) for model in models]
    for i in range(4):
        held = models[1].parameters(), optimizers[1].state_dict()
        for model, optimizer in zip(models, optimizers, strict=True):
            optimizer.step(gradients_of(model, i))
        del held
    assert_close(models[0].parameters(), models[1].parameters(), rtol=0.0, atol=0.0)
    monkeypatch.undo()
    whole = model_of(5, 6, 3)
    optimizer = nnx.AdamW(whole, 0.1, weight_decay=0.5, no_decay=("0.weight", "*.bias"))
    for i in range(4):
        optimizer.step(gradients_of(whole, i))
    assert_close(models[0].parameters(), whole.parameters(), rtol=0.0, atol=0.0)


def test_what_matches_a_pattern_does_not_shrink():
    model = model_of(2, 3, 1)
    before = nnx.to_numpy(copy.deepcopy(model.parameters()))
    nothing = {path: 0.0 * w for path, w in model.parameters().items()}
    optimizer = nnx.AdamW(model, 0.5, weight_decay=0.1, no_decay=["?.bias", "[1-9]*"])
    optimizer.step(nothing)
    for path, w in model.parameters().items():
        np.testing.assert_allclose(w, before[path] * (0.95 if path == "0.weight" else 1.0), rtol=1e-6)
    assert optimizer.hyperparameters["weight_decay"] == (0.1, 0.0, 0.0, 0.0)
    config = optimizer.config()
    assert (config["weight_decay"], config["no_decay"]["items"]) == (0.1, ["?.bias", "[1-9]*"])
    assert nnx.from_config(json.loads(json.dumps(config)), model=model).hyperparameters == optimizer.hyperparameters


def test_copies_and_pickles_go_on_alike():
    model = model_of(3, 2)
    optimizer = nnx.AdamW(model, 0.1, no_decay="*bias")
    optimizer.step(gradients_of(model))
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        twin.step(gradients_of(twin.model, 1))
        expected = copy.deepcopy(optimizer)
        expected.step(gradients_of(expected.model, 1))
        assert_close(twin.model.parameters(), expected.model.parameters(), rtol=0.0, atol=0.0)


@each
@pytest.mark.parametrize("betas", [0.9, (0.9,), (1.0, 0.9), (0.9, -0.1), (0.9, float("nan")), ("a", 0.9), None])
def test_error_for_wrong_betas(kind, betas):
    with pytest.raises(ArgumentError, match=r"expected betas to be two numbers in \[0, 1\), got "):
        kind(nnx.Linear(1, 1), betas=betas)


@each
def test_errors_for_other_hyperparameters(kind):
    model = nnx.Linear(1, 1)
    with pytest.raises(ArgumentError, match="expected a finite eps >= 0, got -1"):
        kind(model, eps=-1)
    with pytest.raises(ArgumentError, match="expected a finite weight_decay >= 0, got inf"):
        kind(model, weight_decay=float("inf"))
    with pytest.raises(ArgumentError, match="has no argument 'lr'"):
        kind(model, lr=0.1)


@pytest.mark.parametrize("patterns", [3, [1], None, lambda path: True])
def test_error_for_patterns_that_are_no_text(patterns):
    with pytest.raises(ArgumentError, match=r"expected no_decay to be patterns of paths, such as '\*bias', got "):
        nnx.AdamW(nnx.Linear(1, 1), no_decay=patterns)


def test_error_for_a_pattern_that_matches_nothing():
    with pytest.raises(ArgumentError, match=r"no_decay: .* got '\*.norm', which matches none of 0.weight, 0.bias"):
        nnx.AdamW(model_of(3, 2), no_decay=("*bias", "*.norm"))


@each
def test_error_for_complex_parameters(kind):
    model = nnx.Linear(1, 1, dtype="complex64")
    with pytest.raises(DTypeError, match=r"expected real parameters, got complex64; use nnx\.SGD"):
        kind(model).step(gradients_of(model))

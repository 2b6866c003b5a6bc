"""The battery that every optimizer goes through; its rows are in ``tests/helpers/rows/optimizers.py``."""

import json

import numpy as np
import pytest
from rows import CAPABILITY_OF, OPTIMIZERS
from rows.record import DTYPES

import nnx
from nnx.errors import ArgumentError, CheckpointError, ShapeError
from nnx.testing import assert_close

each = pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in OPTIMIZERS])
SHAPES = {"0.weight": (3, 4), "0.bias": (4,), "2.weight": (4, 2)}


def make_model(xp, dtype="float64"):
    with nnx.use_backend(xp.spec):
        first, last = nnx.Linear(3, 4, rng=0, dtype=dtype), nnx.Linear(4, 2, bias=False, rng=1, dtype=dtype)
        return nnx.Sequential([first, nnx.ReLU(), last])


def gradients(xp, step, dtype="float64"):
    rng = np.random.default_rng(step)
    return {path: xp.asarray(rng.normal(size=shape), dtype) for path, shape in SHAPES.items()}


def run(xp, model, optimizer, steps, dtype="float64"):
    for step in steps:
        optimizer.step(gradients(xp, step, dtype))


@each
def test_steps_are_those_of_pytorch(xp, row):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    model = make_model(xp)
    theirs = {path: torch.tensor(np.array(nnx.to_numpy(w))) for path, w in model.parameters().items()}
    reference, optimizer = row.build_torch(torch, list(theirs.values())), row.build(model)
    for step in range(20):
        optimizer.step(gradients(xp, step))
        for path, gradient in gradients(xp, step).items():
            theirs[path].grad = torch.tensor(np.array(nnx.to_numpy(gradient)))
        reference.step()
    for path, own in model.parameters().items():
        np.testing.assert_allclose(nnx.to_numpy(own), theirs[path].numpy(), rtol=1e-12, atol=1e-14)


@each
def test_the_rule_is_pure_and_gives_what_a_step_gives(xp, row):
    model = make_model(xp)
    optimizer = row.build(model)
    parameters = [copied(w) for w in model.parameters().values()]
    state = optimizer.init(parameters, optimizer.hyperparameters)
    for step in range(3):
        given = list(gradients(xp, step).values())
        before = [[copied(x) for x in given], parameters, {name: list(column) for name, column in state.items()}]
        kept = [[copied(x) for x in part] for part in (given, parameters, *state.values())]
        parameters, state = optimizer.update(given, state, parameters, step, optimizer.hyperparameters)
        for part, copy in zip((given, before[1], *before[2].values()), kept, strict=True):
            assert_close(part, copy, rtol=0.0, atol=0.0)
        optimizer.step(gradients(xp, step))
    assert_close(parameters, list(model.parameters().values()), rtol=1e-14)


def copied(x):
    return nnx.namespace(x).asarray(x, copy=True)


@each
def test_nothing_that_somebody_holds_is_written(xp, row):
    model = make_model(xp)
    optimizer = row.build(model)
    run(xp, model, optimizer, range(2))
    held = [model.state_dict(), optimizer.state_dict(), gradients(xp, 2)]
    before = [{path: copied(x) if hasattr(x, "shape") else x for path, x in tree.items()} for tree in held]
    optimizer.step(held[2])
    run(xp, model, optimizer, range(3, 5))
    for tree, copy in zip(held, before, strict=True):
        for path, x in tree.items():
            assert nnx.to_numpy(x).tolist() == nnx.to_numpy(copy[path]).tolist() if hasattr(x, "shape") else True


@each
@pytest.mark.parametrize("taken", [0, 3])
def test_a_saved_state_goes_on_with_the_same_bits(xp, row, taken):
    model = make_model(xp)
    optimizer = row.build(model)
    run(xp, model, optimizer, range(taken))
    twin = make_model(xp).load_state_dict(model.state_dict())
    restored = row.build(twin).load_state_dict(optimizer.state_dict())
    run(xp, model, optimizer, range(taken, taken + 3))
    run(xp, twin, restored, range(taken, taken + 3))
    assert_close(twin.parameters(), model.parameters(), rtol=0.0, atol=0.0)
    with pytest.raises(CheckpointError, match=f"the saved values do not fit {row.make.__name__}: "):
        row.build(twin).load_state_dict({"step": 1, "nonsense.0.weight": 1.0})


TAKEN = [(row, dtype) for row in OPTIMIZERS for kind in CAPABILITY_OF[row.id].dtypes for dtype in DTYPES[kind]]


@pytest.mark.parametrize(("row", "dtype"), [pytest.param(*case, id=f"{case[0].id}-{case[1]}") for case in TAKEN])
def test_library_device_and_dtype_are_kept(xp, row, dtype):
    if not hasattr(xp.namespace, dtype):
        pytest.skip(f"{xp.name} has no {dtype}")
    model = make_model(xp, dtype)
    optimizer = row.build(model)
    run(xp, model, optimizer, range(3), dtype)
    of_state = "float32" if row.keeps_wide_state and dtype in DTYPES["half"] else dtype
    leaves = [(w, dtype) for w in model.parameters().values()]
    leaves += [(s, of_state) for s in optimizer.state_dict().values() if hasattr(s, "shape")]
    for leaf, expected in leaves:
        assert_close(0 * leaf, 0 * xp.asarray(np.zeros(tuple(leaf.shape)), expected))


@each
def test_errors_for_gradients_that_do_not_fit(xp, row):
    model = make_model(xp)
    optimizer = row.build(model)
    before = model.state_dict()
    with pytest.raises(ShapeError, match=r"0\.weight.*\(3, 4\).*\(4, 3\)"):
        optimizer.step(gradients(xp, 0) | {"0.weight": xp.asarray(np.zeros((4, 3)), "float64")})
    with pytest.raises(ArgumentError, match=r"2\.weight"):
        optimizer.step({path: g for path, g in gradients(xp, 0).items() if path != "2.weight"})
    assert_close(model.state_dict(), before, rtol=0.0, atol=0.0)


@each
def test_configuration_and_repr(row):
    model = nnx.Linear(1, 1, rng=0)
    optimizer = row.build(model)
    again = nnx.from_config(json.loads(json.dumps(optimizer.config())), model=model)
    assert type(again) is row.make
    assert again.config() == optimizer.config()
    assert repr(again) == repr(optimizer)
    if row.repr:
        assert repr(optimizer) == row.repr

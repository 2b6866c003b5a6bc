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
def test_a_hundred_steps_are_those_of_the_reference(xp, row):
    torch = None if row.formula else pytest.importorskip("torch", reason="torch is not installed")
    model = make_model(xp)
    optimizer = row.build(model)
    weights = [np.array(nnx.to_numpy(w)) for w in model.parameters().values()]
    drawn = [gradients(xp, step) for step in range(100)]
    expected = row.trajectory(weights, [[*nnx.to_numpy(of_step).values()] for of_step in drawn], torch)
    for of_step in drawn:
        optimizer.step(of_step)
    for own, other in zip(model.parameters().values(), expected, strict=True):
        np.testing.assert_allclose(nnx.to_numpy(own), other, rtol=1e-11, atol=1e-13)


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


@each
def test_hyperparameters_are_numbers_of_python(row):
    """Numbers of NumPy would widen float32."""
    options = {name: convert(value) for name, value in row.options.items()}
    optimizer = row.make(nnx.Linear(1, 1, rng=0), np.float64(row.learning_rate), **options)
    for value in optimizer.hyperparameters.values():
        assert {type(part) for part in (value if isinstance(value, tuple) else (value,))} <= {
            bool,
            int,
            float,
            type(None),
        }


def convert(value):
    if isinstance(value, tuple):
        return tuple(map(convert, value))
    return np.bool_(value) if isinstance(value, bool) else np.float64(value) if isinstance(value, float) else value


FIRST = [CAPABILITY_OF[row.id].rows[0] for row in OPTIMIZERS if row is CAPABILITY_OF[row.id].rows[0]]


@each
def test_what_no_longer_has_a_gradient_leaves_no_subnormal_numbers(row):
    """Many CPUs are slow on them. They are counted, since a time would depend on the machine."""
    model = nnx.Linear(4, 100, rng=0)
    optimizer = row.make(model, row.learning_rate, **{**row.options, "weight_decay": 0.0})
    draw = np.random.default_rng(0)
    sizes = {path: np.exp(draw.uniform(-80.0, 0.0, w.shape)).astype("f4") for path, w in model.parameters().items()}
    for step in range(200):
        optimizer.step(sizes if step == 0 else {path: np.zeros_like(w) for path, w in sizes.items()})
        for name, x in optimizer.state_dict().items() if step >= 16 else ():
            assert name == "step" or not np.any((x != 0) & (np.abs(x) < np.finfo("f4").smallest_normal)), name


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in FIRST])
def test_the_rule_can_be_compiled_for_all_steps(row):
    """Where the number of the step and the learning rate are arrays that have no values yet."""
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    with nnx.use_backend("jax"):
        model = nnx.Linear(2, 3, rng=0)
    optimizer = row.build(model)
    options, parameters = dict(optimizer.hyperparameters), list(model.parameters().values())
    state = optimizer.init(parameters, options)
    compiled = jax.jit(lambda g, s, w, step, rate: optimizer.update(g, s, w, step, options | {"learning_rate": rate}))
    draw = np.random.default_rng(0)
    for i in range(18):  # beyond one that flushes tiny values
        of_step = {
            path: jax.numpy.asarray(draw.normal(size=w.shape), "float32") for path, w in model.parameters().items()
        }
        optimizer.step(of_step)
        parameters, state = compiled(list(of_step.values()), state, parameters, i, optimizer.learning_rate)
    for own, eager in zip(parameters, model.parameters().values(), strict=True):
        assert own.dtype == eager.dtype
        np.testing.assert_allclose(own, eager, rtol=1e-5, atol=1e-6)


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
def test_what_nobody_holds_is_written_in_place(row):
    model = nnx.Model([nnx.Linear(3, 4, rng=0), nnx.ReLU(), nnx.Linear(4, 2, bias=False, rng=1)])
    optimizer, draw, seen = row.build(model), np.random.default_rng(0), []
    for _ in range(18):  # with one step that flushes tiny values
        optimizer.step({path: draw.standard_normal(shape).astype("f4") for path, shape in SHAPES.items()})
        held = model.parameters() | optimizer.state_dict()
        seen.append({path: id(array) for path, array in held.items() if path != "step"})
        del held
    assert all(one == seen[0] for one in seen)


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


@each
def test_an_assigned_rate_is_part_of_the_state(row):
    model = nnx.Linear(1, 1, rng=0)
    optimizer = row.build(model)
    before = optimizer.state_dict()
    optimizer.learning_rate = 0.375
    assert row.build(model).load_state_dict(optimizer.state_dict()).learning_rate == 0.375
    assert optimizer.load_state_dict(before).learning_rate == row.build(model).learning_rate != 0.375


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

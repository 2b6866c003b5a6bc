"""The battery that every function, layer and loss goes through; its records and rows are in ``tests/helpers/rows``."""

import contextlib
import functools
import json
import re
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rows import CAPABILITIES, CAPABILITY_OF, FUNCTIONS, LAYERS, LOSSES, ROWS, Row
from rows.record import DTYPES

import nnx
from nnx.autodiff import Primitive
from nnx.errors import NnxError, ShapeError
from nnx.testing import assert_close, check_gradients
from nnx.tree import tree_flatten, tree_leaves, tree_map

RTOL = {"float64": 1e-10, "float32": 1e-5}
AMONG_LIBRARIES = {"float64": 1e-12, "float32": 1e-5}  # and kernels: the same formulas, hence closer


def each(rows):
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.id, marks=marks_of(row)) for row in rows])


def marks_of(row):
    return () if CAPABILITY_OF[row.id].rows[0] is row else pytest.mark.further


def each_record(records):
    return pytest.mark.parametrize("record", [pytest.param(record, id=record.name) for record in records])


@pytest.fixture(autouse=True)
def limits(request):
    """Expect to fail what a record says does not work on a library."""
    if reason := limit_of(getattr(request.node, "callspec", None)):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))


def limit_of(case):
    chosen = case.params if case else {}
    record = CAPABILITY_OF[chosen["row"].id] if "row" in chosen else chosen.get("record")
    return record.limits.get(chosen.get("xp")) if record else None


CALLED = [record for record in CAPABILITIES if record.kind != "optimizers"]  # those: tests/test_optimizer_battery.py


class Host:
    """NumPy in the place of the fixture ``xp``: what the other libraries have to agree with."""

    spec = "numpy"

    def asarray(self, data, dtype):
        return np.asarray(data, dtype)

    def compiled(self, function):
        return function


def derivatives(row: Row, library, dtype: str):
    """Return value, gradients, and the derivatives of the gradients: all of one row that numbers can tell."""
    function, given = row.subject(library, dtype)
    modules, inputs = (given[:1], given[1:]) if row.make else ([], given)

    def differentiate(states, inputs):
        args = [*(module.with_state(state) for module, state in zip(modules, states, strict=True)), *inputs]
        rng = row.rng(1)

        def random_like(tree):
            return tree_map(lambda x: library.asarray(rng.normal(size=tuple(x.shape)), dtype), tree)

        value, pullback = nnx.vjp(function, *args)
        cotangent = random_like(value)
        gradients, second = nnx.vjp(lambda *args: nnx.vjp(function, *args)[1](cotangent), *args)
        return value, gradients, second(random_like(gradients)), pullback(cotangent)

    states = [module.state_dict() for module in modules]
    value, gradients, second, again = library.compiled(differentiate)(states, inputs)
    assert_close(again, gradients)
    return {"value": value, "first": gradients, "second": second}


@pytest.fixture
def by_operations(monkeypatch):
    """Differentiate operation by operation, as if no function of nnx.functional had a pullback of its own."""
    written = {id(getattr(nnx.functional, name)) for name in nnx.functional.__all__}
    call = Primitive.__call__

    def plain(self, *args, **kwargs):
        return self.function(*args, **kwargs) if id(self) in written else call(self, *args, **kwargs)

    monkeypatch.setattr(Primitive, "__call__", plain)


@each(ROWS)
def test_derivatives_of_both_orders_are_those_of_finite_differences(xp, row):
    if xp.name == "jax":
        pytest.skip("JAX compiles each operation; both orders are those of NumPy in test_same_numbers_as_numpy")
    function, args = row.subject(xp, "float64")
    check_gradients(function, *args, modes=("reverse", "forward"))


@each(ROWS)
def test_written_pullback_is_the_traced_derivative(xp, row, request):
    if xp.name == "jax":
        pytest.skip("JAX compiles each operation; its pullbacks are those of NumPy in test_same_numbers_as_numpy")
    written = derivatives(row, xp, "float64")
    request.getfixturevalue("by_operations")
    assert_close(derivatives(row, xp, "float64"), written, atol=1e-13)


@each(ROWS)
@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.further)])
def test_same_numbers_as_numpy(xp, row, dtype):
    """On the library and device of the arguments, and in their dtype."""
    found, like = derivatives(row, xp, dtype), xp.asarray([0.0], dtype)
    for leaf in tree_leaves(found):
        assert_close(nnx.namespace(leaf).zeros_like(leaf), like[0], check_shape=False)
    assert_same_numbers(found, of_numpy(row, dtype), AMONG_LIBRARIES[dtype])


def assert_same_numbers(found, expected, rtol):
    # JAX's dicts come back from jax.jit with sorted keys.
    found, expected = (dict(sorted(tree_flatten(tree).items())) for tree in (found, expected))
    assert_close(found, expected, rtol=rtol, atol=rtol * 0.1, check_namespace=False, check_device=False)


@functools.cache
def of_numpy(row: Row, dtype: str):
    """Return the derivatives of a row on NumPy, to which several tests compare theirs."""
    return derivatives(row, Host(), dtype)


@each(ROWS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_same_numbers_as_pytorch(row, dtype):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    found = of_numpy(row, dtype)
    expected = by_torch(torch, row, dtype)
    assert_close(tree_leaves(found["value"]), expected["value"], rtol=RTOL[dtype])
    for part in ("first", "second"):
        assert_close(tree_leaves(found[part]), expected[part], rtol=RTOL[dtype], atol=RTOL[dtype] * 0.1)


def by_torch(torch, row: Row, dtype: str):
    """Do in PyTorch what :func:`derivatives` does, drawing the same numbers."""
    rng = row.rng()
    to_torch = lambda x: torch.as_tensor(x, dtype=getattr(torch, dtype) if x.dtype.kind == "f" else None)  # noqa: E731
    inputs = [to_torch(x).requires_grad_() for x in row.inputs(rng)]
    constants = [to_torch(c) for c in row.constants(rng)]
    parameters, trained = {}, []
    if row.make is not None:
        module = row.make(dtype)
        parameters = {path: to_torch(np.array(w)) for path, w in module.parameters().items()}
        trained = [parameters[path].requires_grad_() for path in module.trainable_parameters()]
    leaves = [*trained, *inputs]
    value = row.torch(torch, *([parameters] if row.make else []), *inputs, *constants)
    values = tree_leaves(value)
    rng = row.rng(1)
    total = sum((part * to_torch(rng.normal(size=tuple(part.shape)))).sum() for part in values)
    gradients = torch.autograd.grad(total, leaves, create_graph=True, materialize_grads=True)
    along = [to_torch(rng.normal(size=tuple(g.shape))) for g in gradients]
    contracted = sum((g * a).sum() for g, a in zip(gradients, along, strict=True))
    if contracted.requires_grad:
        second = torch.autograd.grad(contracted, leaves, materialize_grads=True)
    else:
        second = [torch.zeros_like(leaf) for leaf in leaves]
    found = {"value": values, "first": gradients, "second": second}
    return {name: [x.numpy(force=True) for x in arrays] for name, arrays in found.items()}


@each([row for row in ROWS if row.batch])
def test_batch_is_the_sum_of_its_examples(row):
    inputs, constants = row.arrays(Host(), "float64")
    first = [row.module(Host(), "float64")] if row.make else []
    arrays = [*inputs, *constants]
    whole = row.call(*first, *row.in_order(*arrays))
    count = next(len(a) for place, a in enumerate(arrays) if place not in row.unbatched)
    parts = []
    for i in range(count):
        one = [a if place in row.unbatched else a[i : i + 1] for place, a in enumerate(arrays)]
        parts.append(row.call(*first, *row.in_order(*one)))
    join = {
        "concat": lambda *xs: np.concatenate([np.atleast_1d(x) for x in xs]),
        "sum": lambda *xs: sum(xs),
        "mean": lambda *xs: sum(xs) / count,
    }
    assert_close(tree_map(join[row.batch], *parts), whole, rtol=1e-12)


@each([row for row in LAYERS if row.training])
def test_backward_gives_what_vjp_gives(xp, row):
    function, (module, *inputs) = row.subject(xp, "float64")
    value, pullback = nnx.vjp(function, module, *inputs)
    assert_close(function(module, *inputs), value)
    rng = row.rng(1)
    cotangent = tree_map(lambda x: xp.asarray(rng.normal(size=tuple(x.shape)), "float64"), value)
    of_parameters, *of_inputs = pullback(cotangent)
    found = module.backward(cotangent, input_gradient=True)
    assert_close([x for x in tree_leaves(found) if x is not None][: len(of_inputs)], of_inputs)
    assert_close(module.gradients(), of_parameters)


@each(LOSSES)
def test_gradient_of_a_loss_is_that_of_vjp(xp, row):
    function, inputs = row.subject(xp, "float64")
    value, gradients = nnx.value_and_grad(function, argnums=range(len(inputs)))(*inputs)
    assert_close(function(*inputs), value)
    found = row.call.gradient()
    assert_close(found if isinstance(found, tuple) else (found,), gradients)
    assert value.shape == ()


@each(LAYERS)
def test_state_survives_saving_and_loading(xp, row):
    inputs, constants = row.arrays(xp, "float32")
    module, other = row.module(xp, "float32"), row.module(xp, "float32")
    row.call(module, *inputs, *constants)  # in training mode, so that its buffers are not those of a new one
    before = row.call(module.eval(), *inputs, *constants)
    other.eval().replace_parameters({path: 0.0 * w for path, w in other.parameters().items()})
    other.load_state_dict(module.state_dict())
    assert_close(row.call(other, *inputs, *constants), before, rtol=0.0)
    host = nnx.to_numpy(module.state_dict())
    assert_close(row.call(other.load_state_dict(host), *inputs, *constants), before, rtol=0.0)


@each([row for row in (*LAYERS, *LOSSES) if row.repr])
def test_repr(row):
    assert repr(row.make("float32") if row.make else row.call) == row.repr


@each(LAYERS)
def test_summary_counts_the_parameters(row):
    module = row.make("float32")
    count = sum(np.size(w) for w in module.parameters().values())
    assert re.search(rf"^total: {count:,} parameter{'' if count == 1 else 's'}\b", module.summary(), re.MULTILINE)


class Called(nnx.Module):
    """A layer as its row calls it."""

    def __init__(self, module, row):
        self.module, self.row = module, row

    def forward(self, *args):
        return self.row.call(self.module, *self.row.in_order(*args))


@each(LAYERS)
def test_profile_says_where_the_time_goes(xp, row):
    inputs, constants = row.arrays(xp, "float32")
    module = row.module(xp, "float32")
    found = nnx.profile(Called(module, row), *inputs, *constants, repeats=1)
    assert sum(part["own"] for part in found.rows) == pytest.approx(found.total)
    assert not module.parameters() or found.rows[0]["backward"] > 0


@each(FUNCTIONS)  # of which layers and losses are made
@pytest.mark.parametrize("tier", nnx.kernels.TIERS[:-1])
def test_kernels_give_what_the_bodies_below_them_give(xp, row, tier):
    """In test_same_numbers_as_numpy those of the highest tier ran."""
    above = nnx.kernels.TIERS[nnx.kernels.TIERS.index(tier) + 1 :]
    if not {(xp.spec.partition(":")[0], other) for other in above} & kernels_by_tier():
        pytest.skip(f"there are no kernels above {tier} for {xp.name}")
    with nnx.use_kernels(tier):
        assert_same_numbers(derivatives(row, xp, "float64"), of_numpy(row, "float64"), AMONG_LIBRARIES["float64"])


@functools.cache
def kernels_by_tier():
    """Return the pairs of library and tier for which there are kernels of any function."""
    for library in nnx.kernels.PROVIDERS:
        with contextlib.suppress(ImportError):
            nnx.kernels.load(library)
    files = [module for name, module in sys.modules.items() if name.startswith("nnx.functional.")]
    primitives = [value for file in files for value in vars(file).values() if isinstance(value, Primitive)]
    return {(kernel.library, kernel.tier) for primitive in primitives for kernel in primitive.kernels}


@each(ROWS)
def test_nothing_is_written(xp, row):
    """Not into an argument, the cotangent, or what an earlier call returned."""
    if xp.name == "jax":
        pytest.skip("JAX's arrays cannot be written")
    function, args = row.subject(xp, "float64")
    value, pullback = nnx.vjp(function, *args)
    cotangent = tree_map(lambda x: xp.asarray(row.rng(1).normal(size=tuple(x.shape)), "float64"), value)
    held = [args, cotangent, value, pullback(cotangent)]
    before = copied(held)
    pullback(cotangent)
    nnx.grad(lambda *args: squares(function(*args)), argnums=range(len(args)))(*args)
    assert_close(held, before, rtol=0.0, atol=0.0)


def squares(tree):
    return sum(nnx.namespace(x).sum(x * x) for x in tree_leaves(tree))


def copied(tree):
    return tree_map(lambda x: nnx.namespace(x).asarray(x, copy=True), tree)


@each_record(CALLED)
@pytest.mark.parametrize(("dtypes", "dtype"), [(kind, dtype) for kind in DTYPES for dtype in DTYPES[kind]])
def test_dtypes_of_the_record_are_kept_and_others_refused(xp, record, dtypes, dtype):
    if not hasattr(xp.namespace, dtype):
        pytest.skip(f"{xp.name} has no {dtype}")
    row = record.rows[0]
    if dtypes not in record.dtypes:
        with pytest.raises(NnxError, match=r"expected .* got "):
            evaluate(row, xp, dtype)
        return
    for leaf in tree_leaves(evaluate(row, xp, dtype)):
        assert nnx.backend.dtype_name(leaf.dtype) == dtype


def evaluate(row: Row, library, dtype: str):
    function, args = row.subject(library, dtype)
    return function(*args)


@each_record([record for record in CAPABILITIES if record.wrong])
def test_error_for_a_wrong_shape(xp, record):
    row = record.rows[0]
    arrays = record.wrong.arrays(xp, row.rng())
    module = [row.module(xp, "float32")] if row.make else []
    with pytest.raises(ShapeError, match=record.wrong.match):
        row.call(*module, *arrays)


@each([*LAYERS, *LOSSES])
def test_configuration_rebuilds_it(row):
    built = row.make("float32") if row.make else row.call
    again = nnx.from_config(json.loads(json.dumps(built.config())))
    assert type(again) is type(built)
    assert again.config() == built.config()
    assert repr(again) == repr(built)


@each_record(CAPABILITIES)
def test_pytorch_has_what_the_record_names(record):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    for word in record.torch.replace("(", " ").replace(",", " ").replace(")", " ").split():
        if word.startswith("torch."):
            found = torch
            for part in word.split(".")[1:]:
                found = getattr(found, part)


SURGERY = {"add_lora", "freeze", "merge_lora", "replace", "unfreeze"}


def test_every_function_layer_and_loss_has_a_record_of_its_own():
    names = [record.name.removeprefix("functional.") for record in CAPABILITIES]
    assert len(set(names)) == len(names)
    bases = {"Buffer", "Loss", "Model", "Module", "Parameter", "Tied"}
    not_called = {"ModuleDict", "ModuleList", "layer_outputs", "remat", *SURGERY}
    for room in (nnx.functional, nnx.layers, nnx.losses):
        assert set(room.__all__) - bases - not_called <= set(names), room.__name__


def test_every_row_is_of_what_its_record_names():
    for row in (*LAYERS, *LOSSES):
        built = row.make("float32") if row.make else row.call
        assert type(built) is CAPABILITY_OF[row.id].public


def test_a_limit_holds_for_its_library_alone(monkeypatch):
    limited = replace(CAPABILITIES[0], limits={"torch": "a reason"})
    monkeypatch.setitem(CAPABILITY_OF, limited.rows[0].id, limited)
    for params in ({"record": limited}, {"row": limited.rows[0]}):
        assert limit_of(SimpleNamespace(params={**params, "xp": "torch"})) == "a reason"
        assert limit_of(SimpleNamespace(params={**params, "xp": "numpy"})) is None
        assert limit_of(SimpleNamespace(params=params)) is None

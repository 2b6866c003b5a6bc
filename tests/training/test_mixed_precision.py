"""A model that is kept in float32 and computes in 16 bits."""

import dataclasses
import json

import numpy as np
import pytest
from rows import LAYERS

import nnx
from nnx.errors import ArgumentError, DTypeError
from nnx.training import Policy, as_policy, supervised
from nnx.tree import tree_flatten, tree_leaves, tree_map

RNG = np.random.default_rng(0)
X, LABELS = RNG.normal(size=(8, 1, 8, 8)), RNG.integers(3, size=8)
HALF = ("float16", "bfloat16")


def dtype_names(tree):
    return {nnx.backend.dtype_name(leaf.dtype) for leaf in tree_leaves(tree)}


def skip_without(xp, dtype):
    if not hasattr(xp.namespace, dtype):
        pytest.skip(f"{xp.name} has no {dtype}")


def network(xp):
    with nnx.use_backend(xp.spec):
        return nnx.Model(
            [
                nnx.Conv2d(1, 4, 3, rng=0),
                nnx.BatchNorm2d(4),
                nnx.ReLU(),
                nnx.Dropout(0.1, seed=0),
                nnx.Flatten(),
                nnx.Linear(144, 3, rng=1),
            ]
        )


@pytest.mark.parametrize("dtype", HALF)
def test_what_is_kept_is_float32_and_what_is_computed_is_not(xp, dtype):
    skip_without(xp, dtype)
    model, batch = network(xp), (xp.asarray(X), xp.asarray(LABELS, "int64"))
    seen = []

    def objective(model, batch):
        value, outputs = supervised(nnx.CrossEntropy())(model, batch)
        seen.extend([dtype_names(model.parameters()), dtype_names(outputs)])
        return value, outputs

    (value, outputs), gradients = nnx.value_and_grad(Policy(dtype).objective(objective), has_aux=True)(model, batch)
    assert seen == [{dtype}, {"float32"}]
    assert dtype_names([value, outputs, gradients]) == {"float32"}
    assert dtype_names([model.parameters(), model[1].running_mean.value]) == {"float32"}
    assert model[1].num_batches.value == 1
    assert not np.allclose(nnx.to_numpy(model[1].running_mean.value), 0.0)
    other = network(xp)
    (_, expected_outputs), expected = nnx.value_and_grad(supervised(nnx.CrossEntropy()), has_aux=True)(other, batch)
    eps = {"float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
    for found, wanted in zip(
        tree_leaves([outputs, dict(gradients)]), tree_leaves([expected_outputs, dict(expected)]), strict=True
    ):
        found, wanted = nnx.to_numpy(found), nnx.to_numpy(wanted)
        np.testing.assert_allclose(found, wanted, rtol=0.0, atol=8 * eps * max(1.0, np.abs(wanted).max()))


def test_a_step_under_a_policy_can_be_compiled():
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    with nnx.use_backend("jax"):
        model = nnx.Model([nnx.Linear(8, 4, rng=0), nnx.BatchNorm1d(4), nnx.Linear(4, 3, rng=1)])
    batch = jax.numpy.asarray(X[:, 0, 0], "float32"), jax.numpy.asarray(LABELS)
    objective = Policy("bfloat16").objective(supervised(nnx.CrossEntropy()))

    def step(state, batch):
        copy = model.with_state(state)
        (value, _), gradients = nnx.value_and_grad(objective, has_aux=True)(copy, batch)
        return value, dict(gradients), copy.state_dict()

    found, expected = jax.jit(step)(model.state_dict(), batch), step(model.state_dict(), batch)
    assert dtype_names(list(found[:2])) == {"float32"}
    found, expected = (tree_flatten(list(parts)) for parts in (found, expected))
    for part, other in ((found[path], expected[path]) for path in expected):
        np.testing.assert_allclose(part, other, rtol=0.0, atol=2.0**-6)


def test_float32_changes_nothing():
    objective = supervised(nnx.MSE())
    assert Policy("float32").objective(objective) is objective
    model = nnx.Linear(1, 1)
    assert Policy().model(model) is model


def test_a_policy_is_a_name():
    assert as_policy("float16") == Policy("float16") == as_policy(Policy("float16"))
    assert [Policy(name).is_mixed for name in ("float32", *HALF)] == [False, True, True]
    assert [Policy(name).needs_loss_scale for name in ("float32", *HALF)] == [False, True, False]
    assert Policy(**json.loads(json.dumps(dataclasses.asdict(Policy("bfloat16"))))) == Policy("bfloat16")
    for wrong in ("half", None, 16):
        with pytest.raises(
            ArgumentError, match="expected a policy that is one of 'float32', 'bfloat16', 'float16', got"
        ):
            as_policy(wrong)


@pytest.mark.parametrize("dtype", HALF)
def test_error_where_a_library_does_not_have_the_dtype(xp, dtype):
    if hasattr(xp.namespace, dtype):
        pytest.skip(f"{xp.name} has {dtype}")
    has = {"float16": "NumPy, CuPy, torch and JAX have", "bfloat16": "torch and JAX have"}[dtype]
    objective = Policy(dtype).objective(supervised(nnx.CrossEntropy()))
    with pytest.raises(DTypeError, match=f"has no {dtype}, which {has}"):
        nnx.value_and_grad(objective, has_aux=True)(network(xp), (xp.asarray(X), xp.asarray(LABELS, "int64")))


def test_targets_and_weights_of_samples_stay_float32(xp):
    skip_without(xp, "float16")
    target = xp.asarray([[1.0001], [2.0]])
    seen = []

    def objective(model, batch):
        seen.append(batch["target"])
        return nnx.functional.mse(model(batch["x"]), batch["target"]), model(batch["x"])

    with nnx.use_backend(xp.spec):
        model = nnx.Linear(2, 1, rng=0)
    Policy("float16").objective(objective)(model, {"x": xp.asarray([[1.0, 2.0], [3.0, 4.0]]), "target": target})
    assert seen[0] is target


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in LAYERS])
def test_every_layer_computes_in_16_bits_beside_a_state_of_float32(xp, row, dtype):
    skip_without(xp, dtype)
    if xp.name == "jax":
        pytest.skip("JAX compiles each operation for each shape; the network above is tested there")
    eps = {"float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype]
    found, expected = (derivatives_under(Policy(name), row, xp) for name in (dtype, "float32"))
    for part, other in zip(found, expected, strict=True):
        assert part.dtype == other.dtype  # float32, or integers
        part, other = nnx.to_numpy(part), nnx.to_numpy(other)
        np.testing.assert_allclose(part, other, rtol=0.0, atol=10 * eps * max(1.0, np.abs(other).max(initial=0.0)))


def derivatives_under(policy, row, xp):
    """Return value, gradients and buffers of a layer."""
    function, (module, *inputs) = row.subject(xp, "float32")
    value, pullback = nnx.vjp(lambda module, *inputs: function(policy.model(module), *inputs), module, *inputs)
    rng = row.rng(1)
    gradients = pullback(tree_map(lambda y: xp.asarray(rng.normal(size=tuple(y.shape))), value))
    row.call(policy.model(module), *[x for arrays in row.arrays(xp, "float32") for x in arrays])
    buffers = [buffer.value for buffer in module.buffers().values() if not isinstance(buffer.value, int)]
    return tree_leaves([value, gradients, buffers])

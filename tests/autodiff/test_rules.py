"""Every derivative rule against finite differences to second order in both modes, and against the engines of others."""

import functools
import importlib

import numpy as np
import pytest
from differences import check, draw
from rule_cases import CASES, FIRST, each, function_of

import nnx
from nnx.autodiff.rules import COMPOSED, CONSTANT, LIKE, PASSED, REFUSED, RULES
from nnx.errors import MissingRuleError
from nnx.testing import assert_close
from nnx.tree import tree_leaves, tree_map


@each(CASES)
def test_against_finite_differences_to_second_order(case):
    rng = np.random.default_rng(0)
    function, arrays = function_of(case), case.arrays()
    cotangent, direction = check(function, arrays, rng)
    check(lambda *arrays: nnx.vjp(function, *arrays)[1](cotangent), arrays, rng)
    check(lambda *arrays: nnx.jvp(function, arrays, direction)[1], arrays, rng)


@functools.cache
def on_numpy(case):
    """Return arrays, a cotangent of the output, the output, and what the pullback makes of the cotangent."""
    arrays = case.arrays()
    value, pullback = nnx.vjp(function_of(case), *arrays)
    cotangent = tuple(draw(np.random.default_rng(1), leaf) for leaf in tree_leaves(value))
    return arrays, cotangent, tree_leaves(value), pullback(tree_like(value, cotangent))


def tree_like(value, leaves):
    leaves = iter(leaves)
    return tree_map(lambda _: next(leaves), value)


def by_torch(xp, case, arrays, cotangent):
    import torch

    arrays = [array.requires_grad_() for array in arrays]
    outputs = tree_leaves(case.call(xp.namespace, *arrays))
    reached = [(y, g.conj()) for y, g in zip(outputs, cotangent, strict=True) if y.requires_grad]
    if not reached:
        return [torch.zeros_like(array) for array in arrays]
    outputs, cotangent = zip(*reached, strict=True)
    found = torch.autograd.grad(outputs, arrays, cotangent, allow_unused=True, materialize_grads=True)
    return [part.conj().resolve_conj() for part in found]


def by_jax(xp, case, arrays, cotangent):
    import jax

    _, pullback = jax.vjp(lambda *arrays: tree_leaves(case.call(xp.namespace, *arrays)), *arrays)
    return pullback(list(cotangent))


ENGINES = {"torch": by_torch, "jax": by_jax}


@each(CASES)
def test_on_each_library_and_against_its_own_engine(xp, case):
    if xp.name == "jax" and case is not FIRST[case.name, case.dtype]:
        pytest.skip("JAX compiles for every shape, so one row of a function stands for the others")
    arrays, cotangent, expected_value, expected = on_numpy(case)
    arrays = [xp.asarray(array, array.dtype) for array in arrays]
    cotangent = [xp.asarray(array, array.dtype) for array in cotangent]

    def derivatives(arrays, cotangent):
        value, pullback = nnx.vjp(function_of(case), *arrays)
        has_engine = xp.name in ENGINES and xp.name not in case.no_engine
        engine = ENGINES[xp.name](xp, case, arrays, cotangent) if has_engine else ()
        return tree_leaves(value), pullback(tree_like(value, cotangent)), engine

    if xp.name == "jax":  # which else compiles every operation by itself
        derivatives = importlib.import_module("jax").jit(derivatives)
    value, found, engine = derivatives(arrays, cotangent)
    for leaf, expected_leaf in zip(value, expected_value, strict=True):
        np.testing.assert_allclose(xp.to_numpy(leaf), expected_leaf, rtol=1e-9, atol=1e-9)
    for part, array in zip(found, arrays, strict=True):
        assert_close(0.0 * part, 0.0 * array)
    for gradients in (found, engine) if engine else (found,):
        for part, expected_part in zip(gradients, expected, strict=True):
            np.testing.assert_allclose(xp.to_numpy(part), expected_part, rtol=1e-9, atol=1e-9)


@each(CASES)
def test_nothing_is_written_but_what_a_rule_has_made(case):
    rng = np.random.default_rng(2)
    function, arrays = function_of(case), case.arrays()
    value, pullback = nnx.vjp(function, *arrays)
    cotangent = tree_map(lambda leaf: draw(rng, leaf), value)
    directions = tuple(draw(rng, array) for array in arrays)
    held = tree_leaves([value, cotangent, list(arrays), directions])
    before = [np.array(leaf) for leaf in held]
    first, second = pullback(cotangent), pullback(cotangent)
    moved = [nnx.jvp(function, arrays, directions)[1] for _ in range(2)]
    for leaf, kept in zip(held, before, strict=True):
        np.testing.assert_array_equal(leaf, kept)
    for a, b in zip(tree_leaves([first, moved[0]]), tree_leaves([second, moved[1]]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_rule_has_a_case():
    assert {*RULES, *COMPOSED, "getitem"} == {case.name for case in CASES}


def names_of_the_standard():
    strict = pytest.importorskip("array_api_strict", minversion="2.6")
    extensions = {"linalg": {*strict.linalg.__all__, "eig", "eigvals"}, "fft": set(strict.fft.__all__)}
    own = {"ArrayAPIStrictFlags", "Device", "__version__", *extensions}
    names = {name for name in strict.__all__ if name not in own and "strict_flags" not in name}
    return names | {f"{prefix}.{name}" for prefix, members in extensions.items() for name in members}


def test_every_name_of_the_standard_is_in_one_table():
    tables = [*RULES, *COMPOSED, *CONSTANT, *LIKE, *PASSED, *REFUSED]
    assert len(tables) == len(set(tables))
    assert set(tables) == names_of_the_standard()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_would_lose_a_derivative_is_refused(name):
    with pytest.raises(MissingRuleError, match=name):
        nnx.grad(lambda x: getattr(nnx.namespace(x), name)(x))(np.asarray([1.0, 2.0]))


@each(FIRST.values())
def test_what_a_pullback_returns_belongs_to_the_caller(case):
    arrays = case.arrays()
    given = [array.copy() for array in arrays]
    value, pullback = nnx.vjp(function_of(case), *arrays)
    cotangent = draw(np.random.default_rng(2), value)
    kept = tree_map(np.copy, cotangent)
    first = pullback(cotangent)
    expected = [np.copy(part) for part in first]
    for part in first:
        if isinstance(part, np.ndarray):
            part[...] = 7.0
    for part, array in zip((*pullback(cotangent), *arrays), (*expected, *given), strict=True):
        np.testing.assert_array_equal(part, array)
    for part, array in zip(tree_leaves(cotangent), tree_leaves(kept), strict=True):
        np.testing.assert_array_equal(part, array)

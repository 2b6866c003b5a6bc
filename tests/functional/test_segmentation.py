"""Focal and Dice losses where examples are certain or regions empty, and what is refused."""

import numpy as np
import pytest

import nnx
from nnx import functional as F
from nnx.errors import ArgumentError, ShapeError
from nnx.testing import assert_close


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_without_a_focus_it_is_cross_entropy(xp, reduction):
    rng = np.random.default_rng(0)
    logits, weight = xp.asarray(rng.normal(size=(4, 3)), "float64"), xp.asarray([0.5, 1.0, 2.0], "float64")
    target, options = xp.asarray([0, 2, -100, 1], "int64"), {"reduction": reduction}
    focal = nnx.vjp(lambda x: F.focal(x, target, weight, gamma=0.0, **options), logits)
    entropy = nnx.vjp(lambda x: F.cross_entropy(x, target, weight, **options), logits)
    assert_close(focal[0], entropy[0])
    assert_close(focal[1](focal[0]), entropy[1](focal[0]), atol=1e-14)
    pair = xp.asarray(rng.uniform(size=(4, 3)), "float64")
    found = F.binary_focal(logits, pair, alpha=None, gamma=0.0, **options)
    assert_close(found, F.bce_with_logits(logits, pair, **options))


def test_an_example_that_does_not_count_may_have_a_class_that_cannot_be(xp):
    logits = xp.asarray([[-np.inf, 0.0, 0.0], [0.0, 0.0, 0.0]], "float64")
    for target, weight in (([-100, 1], None), ([0, 1], xp.asarray([0.0, 1.0, 1.0], "float64"))):
        indices = xp.asarray(target, "int64")
        found, pullback = nnx.vjp(lambda x, t=indices, w=weight: F.focal(x, t, w, reduction="sum"), logits)
        assert_close(found, F.focal(logits[1:, :], indices[1:], reduction="sum"))
        assert_close(pullback(nnx.namespace(found).ones_like(found))[0][0, :], xp.asarray([0.0, 0.0, 0.0], "float64"))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 3.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_certain_answers(xp, gamma, dtype):
    logits = xp.asarray([[1e4, -1e4], [-1e4, 1e4]], dtype)
    value, pullback = nnx.vjp(lambda x: F.focal(x, xp.asarray([0, 0], "int64"), gamma=gamma, reduction="none"), logits)
    assert_close(value, xp.asarray([0.0, 2e4], dtype))
    assert_close(pullback(0.0 * value + 1.0)[0], xp.asarray([[0.0, 0.0], [-1.0, 1.0]], dtype))
    options, ones = {"alpha": None, "gamma": gamma, "reduction": "none"}, 0.0 * logits + 1.0
    value, pullback = nnx.vjp(lambda x: F.binary_focal(x, ones, **options), logits)
    assert_close(value, xp.asarray([[0.0, 1e4], [1e4, 0.0]], dtype))
    assert_close(pullback(0.0 * value + 1.0)[0], xp.asarray([[0.0, -1.0], [-1.0, 0.0]], dtype))


def test_dice_of_empty_regions_and_of_equal_ones(xp):
    mask = xp.asarray([[[0.0, 0.0], [1.0, 1.0]]], "float64")
    assert_close(F.dice(mask, mask, reduction="none"), xp.asarray([[0.0, 0.0]], "float64"))
    assert_close(F.dice(mask, 1.0 - mask, smooth=1e-9), xp.asarray(1.0, "float64"), rtol=1e-8)
    assert F.dice(mask, mask, axis=(0, 2), reduction="none").shape == (2,)
    assert F.dice(mask, mask, axis=(0, 1, 2), reduction="none").shape == ()


def test_arguments_are_checked():
    x = np.full((4, 3), 0.5)
    for function in (F.focal, F.binary_focal):
        with pytest.raises(ArgumentError, match=r"expected gamma >= 0, got -1\.0"):
            function(x, np.zeros(4, np.int64) if function is F.focal else x, gamma=-1.0)
    with pytest.raises(ArgumentError, match=r"expected alpha in \[0, 1\] or None, got 2"):
        F.binary_focal(x, x, alpha=2)
    with pytest.raises(ShapeError, match=r"input of shape \(batch, classes, \.\.\.\), got \(4, 3\); name the axes"):
        F.dice(x, x)
    with pytest.raises(ShapeError, match="expected an array that has axis 2, got one with 2 axes"):
        F.dice(x, x, axis=2)
    for axis in ((0, 0), ()):
        with pytest.raises(ArgumentError, match="expected at least one axis, each once, got axis="):
            F.dice(x, x, axis=axis)
    with pytest.raises(ArgumentError, match="expected smooth > 0, got 0"):
        F.dice(x, x, axis=1, smooth=0)

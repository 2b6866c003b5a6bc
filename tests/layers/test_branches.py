"""Residual and parallel branches: arguments, errors."""

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, ShapeError
from nnx.testing import assert_close

X = np.ones((4, 3), np.float32)


def test_a_residual_hands_all_arguments_to_the_inner_module():
    class Shift(nnx.Module):
        def forward(self, x, by, *, sign=1.0):
            return sign * by

    assert_close(nnx.Residual(Shift())(X, 2 * X, sign=-1.0), -X)


def test_a_residual_does_not_broadcast():
    block = nnx.Residual(nnx.Linear(3, 1, rng=0))
    message = r"Residual: expected the inner layers to return shape \(4, 3\), as the shortcut does, got \(4, 1\)"
    with pytest.raises(ShapeError, match=message):
        block(X)


@pytest.mark.parametrize("make", [lambda: nnx.Residual([max]), lambda: nnx.Residual(nnx.ReLU(), max)])
def test_a_residual_of_no_module(make):
    with pytest.raises(ArgumentError, match="to be a Module, got <built-in function max>"):
        make()


def test_what_a_residual_is_made_of_can_be_replaced():
    block = nnx.Residual([nnx.ReLU()])
    block.inner.append(nnx.Sigmoid())
    block.shortcut = nnx.Linear(3, 3)
    again = nnx.from_config(block.config())
    assert repr(again) == repr(block)


@pytest.mark.parametrize("combine", ["sum", "product", "stack"])
def test_outputs_of_different_shapes(combine):
    branches = nnx.Parallel([nnx.Linear(3, 2, rng=0), nnx.Linear(3, 1, rng=0)], combine)
    with pytest.raises(ShapeError, match=r"expected branch 1 to return shape \(4, 2\), as branch 0 does, got \(4, 1\)"):
        branches(X)


def test_outputs_that_cannot_be_concatenated():
    branches = nnx.Parallel([nnx.Linear(3, 2, rng=0), nnx.Linear(3, 1, rng=0)], "concatenate", axis=0)
    with pytest.raises(ShapeError, match=r"as branch 0 does, except for axis 0, got \(4, 1\)"):
        branches(X)


def test_another_combination_or_none_at_all():
    with pytest.raises(ArgumentError, match=r"expected combine to be one of 'sum', 'product', .*, got 'max'"):
        nnx.Parallel([nnx.ReLU()], "max")
    with pytest.raises(ArgumentError, match="expected at least one branch, got none"):
        nnx.Parallel([])(X)


def test_a_slice_keeps_the_options():
    branches = nnx.Parallel([nnx.ReLU()] * 3, "concatenate", axis=0)
    part = branches[:2]
    assert (type(part), part.combine, part.axis) == (nnx.Parallel, "concatenate", 0)
    assert part(X).shape == (8, 3)
    assert nnx.from_config(part.config()).config() == part.config()


def test_one_branch_is_returned_as_it_is():
    assert_close(nnx.Parallel([nnx.ReLU()])(X), X)

"""The line search, on functions of one number, and the direction that follows from pairs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnx.optimizers.curvature import appended, descent_direction, pair_of
from nnx.optimizers.line_search import CURVATURE, DECREASE, Trial, strong_wolfe

FUNCTIONS = {
    "quadratic": lambda t: ((t - 1.0) ** 2, 2.0 * (t - 1.0)),
    "far": lambda t: ((t - 500.0) ** 2, 2.0 * (t - 500.0)),
    "near": lambda t: ((t - 1e-4) ** 2, 2.0 * (t - 1e-4)),
    "wavy": lambda t: (math.cos(5.0 * t) - t + 0.1 * t * t, -5.0 * math.sin(5.0 * t) - 1.0 + 0.2 * t),
    # More and Thuente, "Line search algorithms with guaranteed sufficient decrease", 1994, functions 1 and 2.
    "first": lambda t: (-t / (t * t + 2.0), (t * t - 2.0) / (t * t + 2.0) ** 2),
    "second": lambda t: ((t + 0.004) ** 5 - 2.0 * (t + 0.004) ** 4, 5.0 * (t + 0.004) ** 4 - 8.0 * (t + 0.004) ** 3),
    "wall": lambda t: (-t, -1.0) if t < 0.3 else (math.inf, math.nan) if t > 0.4 else (-0.3 + (t - 0.3) ** 2, t - 0.3),
    "huge": lambda t: (1e200 * (t - 1.0) ** 2, 2e200 * (t - 1.0)),
    "hole": lambda t: (math.nan, math.nan) if t > 2.0 else ((t - 1.5) ** 2, 2.0 * (t - 1.5)),
}


def search(function, length, limit=25):
    asked = []

    def evaluate(t):
        asked.append(t)
        return Trial(t, *function(t), None)

    start = Trial(0.0, *function(0.0), None)
    found, count = strong_wolfe(evaluate, start, length, limit=limit, direction_size=1.0)
    assert count == len(asked)
    return start, found, count


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("length", [1e-3, 0.1, 1.0, 10.0])
def test_the_strong_wolfe_conditions(name, length):
    start, found, count = search(FUNCTIONS[name], length)
    assert count <= 26
    assert found.value <= start.value + DECREASE * found.length * start.slope
    assert abs(found.slope) <= CURVATURE * abs(start.slope)


@given(st.floats(-3.0, 3.0), st.floats(0.1, 5.0), st.floats(1e-3, 1e3), st.floats(0.01, 10.0))
def test_a_quartic(shift, scale, length, slope):
    def function(t):
        u = scale * t
        return (
            u**4 - shift * u**3 + u**2 - slope * u,
            scale * (4.0 * u**3 - 3.0 * shift * u**2 + 2.0 * u - slope),
        )

    start, found, _ = search(function, length, limit=100)
    assert found.value <= start.value + DECREASE * found.length * start.slope
    assert abs(found.slope) <= CURVATURE * abs(start.slope)


@pytest.mark.parametrize("limit", [0, 1, 2, 5])
def test_it_gives_up_after_some_trials(limit):
    start, found, count = search(lambda t: (-t, -1.0), 1.0, limit)  # no minimum
    assert count == 1 + limit
    assert found.value < start.value
    start, found, count = search(lambda t: (0.0, -1.0) if t == 0.0 else (math.nan, math.nan), 1.0, limit)
    assert (found, count) == (start, 1 + limit)


def test_it_ends_where_the_interval_is_too_small():
    start, found, count = search(lambda t: (0.0, -1.0) if t == 0.0 else (1.0, 1.0), 1.0, 100)
    assert found is start
    assert count < 50


def test_the_direction_is_that_of_the_dense_formula():
    """The update of the inverse in BFGS, equation 6.17 of Nocedal and Wright, from the scale of equation 7.20."""
    draw = np.random.default_rng(0)
    hessian = np.diag(np.arange(1.0, 7.0)) + 0.1
    pairs, gradient = (), draw.normal(size=6)
    for _ in range(5):
        step = draw.normal(size=6)
        pairs = appended(pairs, pair_of(step, hessian @ step), 3)
    assert len(pairs) == 3
    inverse = np.eye(6) * pairs[-1].product / np.sum(pairs[-1].change ** 2)
    for step, change, product in pairs:
        left = np.eye(6) - np.outer(step, change) / product
        inverse = left @ inverse @ left.T + np.outer(step, step) / product
    np.testing.assert_allclose(descent_direction(gradient, pairs), -inverse @ gradient, rtol=1e-12)
    np.testing.assert_array_equal(descent_direction(gradient, ()), -gradient)


def test_a_pair_without_positive_curvature_is_not_kept():
    for change in (-1.0, 0.0, 1e-11, np.nan):
        assert appended((), pair_of(np.ones(1), np.full(1, change)), 3) == ()

"""What a transform holds in memory, in bytes, against a count by hand. NumPy tells tracemalloc of its arrays."""

import gc
import tracemalloc

import numpy as np
import pytest

import nnx

SIZE = 250_000  # elements of float64: an array takes 2 MB, beside which Python's own objects do not count
ARRAY = 8 * SIZE
SLACK = 0.25  # of an array


def peak_arrays(function, *args):
    """Return the greatest number of arrays of SIZE elements that a call holds beside its arguments."""
    function(*args)  # what is made once
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        found = function(*args)
        _, peak = tracemalloc.get_traced_memory()
        del found
    finally:
        tracemalloc.stop()
    return (peak - before) / ARRAY


def repeated(step, count):
    def function(x):
        xp = nnx.namespace(x)
        for _ in range(count):
            x = step(xp, x)
        return xp.sum(x)

    return function


@pytest.fixture(autouse=True)
def without_collector():
    gc.disable()  # so that what goes away does so by itself, not by chance
    yield
    gc.enable()


# Arrays kept for the backward pass, per operation: its output where the pullback needs it, its input where that is
# the output of the operation before, and nothing for a linear one.
KEPT = {
    "multiplication by a number": (lambda xp, x: x * 1.1, 0),
    "addition": (lambda xp, x: x + 1.0, 0),
    "negation": (lambda xp, x: -x, 0),
    "exp keeps its output": (lambda xp, x: xp.exp(-x), 1),
    "tanh keeps its output": (lambda xp, x: xp.tanh(x), 1),
    "sin keeps its input": (lambda xp, x: xp.sin(x), 1),
    "square keeps its input": (lambda xp, x: x**2, 1),
}


@pytest.mark.parametrize("case", KEPT)
def test_an_operation_keeps_what_its_pullback_needs(case):
    step, kept = KEPT[case]
    few, many = (peak_arrays(nnx.grad(repeated(step, count)), np.full(SIZE, 0.5)) for count in (4, 12))
    assert (many - few) / 8 == pytest.approx(kept, abs=SLACK / 8)


def test_nothing_is_kept_for_what_nobody_differentiates():
    weight = np.full(SIZE, 0.5)
    few, many = (
        peak_arrays(nnx.grad(lambda x, n=n: repeated(lambda xp, x: x * weight, n)(x)), np.full(SIZE, 0.5))
        for n in (4, 12)
    )
    assert many == pytest.approx(few, abs=SLACK)  # the weight is the caller's; no input of a product is kept


def test_the_walk_lets_go_of_what_it_has_passed():
    """A node lets go as the walk passes it: the peak is that of the way there, and a few arrays more."""
    count = 12
    peak = peak_arrays(nnx.grad(repeated(lambda xp, x: xp.exp(-x), count)), np.full(SIZE, 0.5))
    assert peak <= count + 4


def test_forward_mode_records_nothing():
    def tangent(x, t, count):
        return nnx.jvp(repeated(lambda xp, x: xp.exp(-x), count), (x,), (t,))[1]

    arrays = (np.full(SIZE, 0.5), np.ones(SIZE))
    few, many = (peak_arrays(lambda x, t, n=n: tangent(x, t, n), *arrays) for n in (4, 12))
    assert many == pytest.approx(few, abs=SLACK)


def test_checkpoint_keeps_its_arguments_alone():
    inner = 8

    def block(x):
        xp = nnx.namespace(x)
        for _ in range(inner):
            x = xp.exp(-x)
        return x

    def blocks(function, count):
        return nnx.grad(repeated(lambda xp, x: function(x), count))

    x = np.full(SIZE, 0.5)
    plain = [peak_arrays(blocks(block, count), x) for count in (2, 4)]
    again = [peak_arrays(blocks(nnx.remat(block), count), x) for count in (2, 4)]
    assert (plain[1] - plain[0]) / 2 == pytest.approx(inner, abs=SLACK)
    assert (again[1] - again[0]) / 2 == pytest.approx(1, abs=SLACK)
    np.testing.assert_array_equal(blocks(nnx.remat(block), 4)(x), blocks(block, 4)(x))


def test_two_sets_of_activations_are_never_held():
    """A second call in training mode lets go of what the first kept, before it computes."""
    model = nnx.Sequential([nnx.Sigmoid() for _ in range(8)])
    x = np.full(SIZE, -0.5)

    def twice(x):
        model(x)
        model(x)
        model.eval()
        model.train()

    assert peak_arrays(twice, x) == pytest.approx(8, abs=2)

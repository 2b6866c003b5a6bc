import math

import numpy as np
import pytest

import nnx
from nnx import initializers as init
from nnx.errors import ArgumentError, ShapeError
from nnx.testing import assert_close

FAN_IN, FAN_OUT = 300, 200
SHAPE = (FAN_IN, FAN_OUT)

STD = {
    init.Normal(mean=0.0, std=0.3): 0.3,
    init.Uniform(-0.6, 0.6): 0.6 / math.sqrt(3),
    init.HeNormal(): math.sqrt(2 / FAN_IN),
    init.HeUniform(): math.sqrt(2 / FAN_IN),
    init.LeCunNormal(): math.sqrt(1 / FAN_IN),
    init.LeCunUniform(): math.sqrt(1 / FAN_IN),
    init.XavierNormal(): math.sqrt(2 / (FAN_IN + FAN_OUT)),
    init.XavierUniform(): math.sqrt(2 / (FAN_IN + FAN_OUT)),
}


def each(initializers):
    return pytest.mark.parametrize("initializer", initializers, ids=lambda i: type(i).__name__)


@each(list(STD))
def test_mean_and_standard_deviation(initializer):
    values = initializer(0, SHAPE, FAN_IN, FAN_OUT)
    std = STD[initializer]
    count = math.prod(SHAPE)
    assert values.shape == SHAPE
    assert abs(values.std() / std - 1) < 5 / math.sqrt(count)
    assert abs(values.mean()) < 5 * std / math.sqrt(count)


@each([i for i in STD if "Uniform" in type(i).__name__])
def test_uniform_ones_are_bounded(initializer):
    values = initializer(0, SHAPE, FAN_IN, FAN_OUT)
    limit = STD[initializer] * math.sqrt(3)
    assert abs(values).max() <= limit
    assert abs(values).max() > 0.99 * limit


@each([*STD, init.TruncatedNormal(), init.Orthogonal()])
def test_a_seed_gives_the_same_numbers_again(initializer):
    draw = lambda rng: initializer(rng, (6, 4), 6, 4)  # noqa: E731
    assert_close(draw(7), draw(np.random.default_rng(7)), rtol=0.0)
    assert np.any(draw(7) != draw(8))


def test_one_generator_gives_each_layer_other_numbers():
    rng = nnx.generator(0)
    assert np.any(init.HeNormal()(rng, (3, 3), 3, 3) != init.HeNormal()(rng, (3, 3), 3, 3))


def test_constant():
    assert_close(init.Constant(2.5)(None, (2, 3), 2, 3), np.full((2, 3), 2.5))


def test_truncated_normal_is_cut():
    values = init.TruncatedNormal(std=0.5, cut=1.5)(0, SHAPE, FAN_IN, FAN_OUT)
    assert abs(values).max() <= 0.75
    assert abs(values).max() > 0.74
    with pytest.raises(ArgumentError, match=r"expected cut > 0, got 0"):
        init.TruncatedNormal(cut=0)


@pytest.mark.parametrize("shape", [(5, 3), (3, 5), (4, 4), (4, 2, 3)])
def test_orthogonal(shape):
    matrix = init.Orthogonal(gain=2.0)(0, shape, 1, 1).reshape(shape[0], -1)
    small = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    assert_close(small @ small.T, 4.0 * np.eye(small.shape[0]))


def test_orthogonal_needs_a_matrix():
    with pytest.raises(ShapeError, match=r"expected at least two axes for an orthogonal matrix, got shape \(3,\)"):
        init.Orthogonal()(0, (3,), 3, 3)


@each([*STD, init.Constant(1.0), init.TruncatedNormal(), init.Orthogonal()])
def test_same_on_every_backend_and_in_every_layer(xp, initializer):
    with nnx.use_backend(xp.spec):
        layer = nnx.Linear(4, 3, initializer=initializer, rng=11, dtype="float64")
    assert_close(layer.weight, xp.asarray(initializer(11, (4, 3), 4, 3), "float64"), rtol=0.0)

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.testing import assert_close


def test_formula(xp):
    with nnx.use_backend(xp.spec):
        layer = nnx.Linear(2, 1, initializer=nnx.initializers.Constant(2.0))
    assert_close(layer(xp.asarray([[1.0, 3.0]])), xp.asarray([[8.0]]))


def test_first_values_are_the_same_on_every_backend(xp):
    with nnx.use_backend(xp.spec):
        layer = nnx.Linear(20, 30, rng=5)
    assert_close(layer.weight, xp.asarray(nnx.Linear(20, 30, rng=5).weight), rtol=0.0)
    assert_close(layer.bias, xp.asarray(np.zeros(30)))


def test_first_values_are_he_normal():
    weight = nnx.Linear(400, 300, rng=0, dtype="float64").weight
    assert abs(weight.std() - np.sqrt(2 / 400)) < 1e-3
    assert abs(weight.mean()) < 1e-3


@pytest.mark.parametrize("sizes", [(0, 1), (1, 0), (-1, 2)])
def test_sizes(sizes):
    with pytest.raises(ArgumentError, match=r"expected (in|out)_features to be an integer of at least 1, got -?[01]"):
        nnx.Linear(*sizes)


def test_wrong_width_and_rank(xp):
    with nnx.use_backend(xp.spec):
        layer = nnx.Linear(3, 2)
    with pytest.raises(ShapeError, match=r"Linear: expected input of shape \(\.\.\., 3\), got \(4, 2\)"):
        layer(xp.asarray(np.ones((4, 2))))
    with pytest.raises(ShapeError, match=r"expected input of shape \(\.\.\., 3\), got \(\)"):
        layer(xp.asarray(1.0))


def test_wrong_dtype(xp):
    with nnx.use_backend(xp.spec):
        layer = nnx.Linear(3, 2)
    with pytest.raises(DTypeError, match="expected input of a floating-point dtype, got int64; convert it"):
        layer(xp.asarray(np.ones((4, 3)), "int64"))
    with pytest.raises(
        DTypeError, match=r"expected input of dtype float32, as weight, got float64; .*to.dtype='float64'"
    ):
        layer(xp.asarray(np.ones((4, 3)), "float64"))


def test_empty_batch():
    layer = nnx.Linear(3, 2)
    assert layer(np.ones((0, 3), np.float32)).shape == (0, 2)
    assert layer.backward(np.ones((0, 2), np.float32)).shape == (0, 3)
    assert_close(layer.gradients()["weight"], np.zeros((3, 2), np.float32))


def test_the_first_layer_computes_no_gradient_for_an_input_nobody_traces():
    weight = np.ones((3, 2))
    _, pullback = nnx.functional.linear.rule((False, True, False), np.ones((4, 3)), weight, None)
    assert pullback(np.ones((4, 2)))[0] is None


@pytest.mark.parametrize("sizes", [(3.0, 2), (2, "3"), (True, 2), (2, None)])
def test_sizes_that_are_no_integers(sizes):
    with pytest.raises(ArgumentError, match=r"expected (in|out)_features to be an integer of at least 1, got "):
        nnx.Linear(*sizes)


def test_an_activation_takes_no_arguments():
    with pytest.raises(TypeError, match=r"ReLU takes no arguments, got inplace"):
        nnx.ReLU(inplace=True)

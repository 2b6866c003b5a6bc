import numpy as np
import pytest

import nnx
from nnx.errors import MissingRuleError
from nnx.testing import assert_close


@nnx.primitive
def scaled(x, factor=None, *, power=1):
    """Return factor times x to a power."""
    return (x if factor is None else factor * x) ** power


@scaled.with_pullback
def _(wanted, x, factor=None, *, power=1):
    inner = x if factor is None else factor * x

    def pullback(g):
        outer = g * power * inner ** (power - 1)
        return outer if factor is None else outer * factor, None if factor is None else outer * x

    return scaled(x, factor, power=power), pullback


THREE, TWO = np.asarray(3.0), np.asarray(2.0)


def test_looks_like_the_function():
    assert scaled.__name__ == "scaled"
    assert scaled.__doc__ == "Return factor times x to a power."
    assert repr(scaled) == "<primitive scaled>"


def test_plain_arrays_take_the_plain_forward():
    assert_close(scaled(THREE, TWO, power=2), np.asarray(36.0))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: scaled(x, TWO, power=2),
        lambda x: scaled(x, factor=TWO, power=2),
        lambda x: scaled(x=x, factor=TWO, power=2),
        lambda x: scaled(factor=TWO, power=2, x=x),
    ],
)
def test_arrays_may_be_passed_by_name(call):
    assert_close(nnx.grad(call)(THREE), np.asarray(24.0))


def test_an_array_passed_by_name_is_differentiated():
    assert_close(nnx.grad(lambda f: scaled(THREE, factor=f, power=2))(TWO), np.asarray(36.0))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: nnx.functional.leaky_relu(x, slope=np.float64(0.1)),
        lambda x: nnx.functional.layer_norm(x=x, eps=np.float64(1e-5)),
        lambda x: nnx.functional.huber(x, target=2.0 * x, delta=np.float64(0.5)),
        lambda x: nnx.functional.dice(x, x, axis=np.int64(-1), smooth=np.float64(1.0)),
        lambda x: nnx.functional.attention(x, x, x, scale=1 / np.sqrt(3.0)),
    ],
)
def test_numbers_of_numpy_among_the_options_do_not_widen_the_result(xp, call):
    x = xp.asarray(np.arange(6.0).reshape(1, 2, 3))
    y, pullback = nnx.vjp(call, x)
    assert y.dtype == x.dtype
    assert pullback(nnx.namespace(y).ones_like(y))[0].dtype == x.dtype


def test_defaults_fill_in():
    assert_close(nnx.grad(lambda x: scaled(x))(THREE), np.asarray(1.0))
    assert_close(nnx.grad(lambda x: scaled(x, power=2))(THREE), np.asarray(6.0))


def test_wrong_arguments_give_pythons_own_message():
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        scaled(factor=TWO)
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        scaled(THREE, colour="red")


def test_without_a_pullback():
    @nnx.primitive
    def bare(x):
        return x

    assert bare(3) == 3
    with pytest.raises(MissingRuleError, match="bare has no derivative rule"):
        nnx.grad(bare)(THREE)


def test_the_plain_form_is_differentiated_by_operations():
    assert_close(nnx.grad(lambda x: scaled.function(x, TWO, power=2))(THREE), np.asarray(24.0))

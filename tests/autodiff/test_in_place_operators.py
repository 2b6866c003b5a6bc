"""Operators such as ``+=`` act on the array, for every name that it has, as they do on a plain array."""

import operator

import numpy as np
import pytest

import nnx
from nnx.errors import DTypeError, ShapeError, TraceError, UsageError
from nnx.testing import assert_close

IN_PLACE = [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow]


def assigned_twice(y):
    z = y
    z += 1.0
    return y * y


def in_a_loop(y):
    parts = [y * 1.0, y * 2.0]
    for part in parts:
        part += 1.0
    return parts[0] * parts[1]


def normalize(a, norm):
    a /= norm


def in_a_helper(y):
    a = y * 1.0
    normalize(a, 2.0)
    return a * a * a


@pytest.mark.parametrize("function", [assigned_twice, in_a_loop, in_a_helper])
@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_every_name_sees_it(xp, function, mode):
    y = xp.asarray([1.0, 2.0, 3.0], "float64")
    start = np.asarray([1.0, 2.0, 3.0])
    plain = function(nnx.namespace(y).asarray(y, copy=True))  # by the library's own operators
    h = 1e-6
    if xp.name == "jax":  # whose arrays nobody can write into: Python gives the name a new one
        expected_of = {assigned_twice: lambda y: y * y, in_a_loop: lambda y: 2 * y * y, in_a_helper: lambda y: y**3}
        slope = (expected_of[function](start + h) - expected_of[function](start - h)) / (2 * h)
    else:
        slope = (function(start + h) - function(start - h)) / (2 * h)
    if mode == "reverse":
        value, pullback = nnx.vjp(function, y)
        (found,) = pullback(nnx.namespace(y).ones_like(y))
    else:
        value, found = nnx.jvp(function, (y,), (nnx.namespace(y).ones_like(y),))
    assert_close(value, plain)
    np.testing.assert_allclose(xp.to_numpy(found), slope, rtol=1e-6)
    np.testing.assert_array_equal(xp.to_numpy(y), start)  # the caller's array is as it was


@pytest.mark.parametrize("write", IN_PLACE, ids=lambda f: f.__name__)
def test_each_operator(write):
    def function(x):
        y, other = x * 1.0, x + 2.0
        alias = y
        write(y, other)
        return alias * x

    x = np.asarray([0.5, 1.5])
    h = 1e-6
    value, pullback = nnx.vjp(function, x)
    np.testing.assert_allclose(value, function(x), rtol=1e-15)
    expected = (function(x + h) - function(x - h)) / (2 * h)
    np.testing.assert_allclose(pullback(np.ones(2))[0], expected, rtol=1e-6)


def test_a_second_derivative_goes_through_it():
    def cube(x):
        y = x * 1.0
        alias = y
        y *= x
        return nnx.namespace(x).sum(alias * x)

    slope = nnx.grad(lambda x: nnx.namespace(x).sum(nnx.grad(cube)(x)))
    assert slope(np.asarray([2.0])).tolist() == [12.0]


def test_what_an_inner_transform_has_kept_is_as_it_was():
    x, w = np.asarray([2.0]), np.asarray([3.0])

    def outer(w):
        w = w * 1.0

        def inner(x):
            product = x * w
            nonlocal_w = w
            nonlocal_w += 10.0  # after w was used
            return nnx.namespace(product).sum(product)

        return nnx.grad(inner)(x)[0]  # is w from before

    value, gradient = nnx.value_and_grad(outer)(w)
    assert (float(value), gradient.tolist()) == (3.0, [1.0])


def test_a_numpy_scalar_is_immutable_as_without_a_transform():
    def function(x):
        y = nnx.namespace(x).sum(x)
        z = y
        z += 1.0
        return y * y

    assert nnx.grad(function)(np.asarray([1.0, 2.0])).tolist() == [6.0, 6.0]


def test_comparisons_and_floor_division_become_constants():
    def function(x):
        y = x * 2.0
        alias = y
        y //= 1.0
        return nnx.namespace(x).sum(alias * x)

    assert nnx.grad(function)(np.asarray([1.3])).tolist() == [2.0]
    assert nnx.jvp(function, (np.asarray([1.3]),), (np.ones(1),))[1].tolist() == 2.0


def test_a_view_is_refused():
    def rows(x):
        for row in x:
            row += 1.0  # on NumPy this changes x, elsewhere it may not
        return nnx.namespace(x).sum(x)

    with pytest.raises(TraceError, match=r"\+= on a view, such as a row x\[i\] or a reshaped array"):
        nnx.grad(rows)(np.ones((2, 2)))


def test_shape_and_dtype_stay():
    def grow(x):
        y = x * 1.0
        y += np.ones((2, 3))
        return nnx.namespace(y).sum(y)

    with pytest.raises(ShapeError, match=r"fits into an array of shape \(3,\) for \+=, got a result of shape \(2, 3\)"):
        nnx.grad(grow)(np.ones(3))

    def widen(x):
        y = x * 1.0
        y += np.ones(3)
        assert y.dtype == np.float32
        return nnx.namespace(y).sum(y)

    assert nnx.grad(widen)(np.ones(3, np.float32)).dtype == np.float32

    def turn(x):
        y = x * 1.0
        y *= 1j
        return nnx.namespace(y).sum(nnx.namespace(y).real(y))

    with pytest.raises(DTypeError, match=r"keeps dtype float64 for \*=, got a result of complex128"):
        nnx.grad(turn)(np.ones(3))


@pytest.mark.parametrize("write", IN_PLACE, ids=lambda f: f.__name__)
def test_a_traced_array_written_into_a_plain_one_is_refused(xp, write):
    def function(x):
        a = nnx.namespace(xp.empty).ones((2,), dtype=x.dtype, device=xp.device)
        b = a
        write(a, x)
        return nnx.namespace(x).sum(b * x)

    x = xp.asarray([1.0, 2.0])
    if xp.name == "jax":  # Python gives the name a new array, with or without a transform
        assert nnx.grad(function)(x).tolist() == [1.0, 1.0]
        return
    with pytest.raises((TraceError, UsageError, TypeError), match=r"met a traced array|unsupported operand|Expected"):
        nnx.grad(function)(x)


VIEWED = {
    "a row": lambda xp, y: y[0, ...],
    "a reshaped array": lambda xp, y: xp.reshape(y, (4,)),
    "a transpose": lambda xp, y: y.mT,
    "an expanded array": lambda xp, y: xp.expand_dims(y, axis=0),
    "a view of a view": lambda xp, y: xp.reshape(y, (4,))[1:],
}


@pytest.mark.parametrize("view", VIEWED.values(), ids=VIEWED)
def test_a_view_that_is_in_use_is_not_changed_in_silence(xp, view):
    def function(x):
        namespace = nnx.namespace(x)
        y = x * 2.0
        shown = view(namespace, y)
        y *= 3.0  # on NumPy this changes what is shown
        return namespace.sum(shown * shown)

    x = xp.asarray([[1.0, 2.0], [3.0, 4.0]], "float64")
    if xp.name == "jax":  # whose arrays nobody can write into
        assert nnx.grad(function)(x).shape == (2, 2)
        return
    for differentiate in (lambda: nnx.grad(function)(x), lambda: nnx.jvp(function, (x,), (x,))):
        with pytest.raises(TraceError, match=r"\*= on an array of which a view is in use, such as a row"):
            differentiate()


def test_a_view_that_is_not_in_use_any_more_does_not_matter():
    def function(x):
        xp = nnx.namespace(x)
        y = x * 2.0
        first = xp.sum(y[0] * y[0]) + xp.sum(xp.reshape(y, (4,)) * 1.0)
        y *= 3.0
        return first + xp.sum(y * y)

    x = np.asarray([[1.0, 2.0], [3.0, 4.0]])
    h = 1e-6
    unit = np.asarray([[0.0, 1.0], [0.0, 0.0]])
    expected = (function(x + h * unit) - function(x - h * unit)) / (2 * h)
    np.testing.assert_allclose(nnx.grad(function)(x)[0, 1], expected, rtol=1e-7)
    nested = nnx.grad(lambda x: nnx.namespace(x).sum(nnx.grad(function)(x) ** 2))(x)
    assert np.all(np.isfinite(nested))


def test_an_array_that_a_function_hands_back_is_one_with_its_argument(xp):
    def function(x):
        namespace = nnx.namespace(x)
        y = x * 2.0
        same = namespace.asarray(y)  # without a copy
        same += 1.0
        return namespace.sum(y * same)

    x = xp.asarray([1.0, 2.0])
    if xp.name == "jax":
        assert nnx.grad(function)(x).shape == (2,)
        return
    with pytest.raises(TraceError, match="view"):
        nnx.grad(function)(x)

"""``x[key]`` for every kind of key, and functions that take indices: repeats add up, and a key is kept as it was."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nnx
from nnx.testing import assert_close

X = np.arange(12.0).reshape(4, 3)


def by_brute_force(take, x, weights):
    """Return the derivative of sum(weights * take(x)) by x, with one element of x after the other."""
    found = np.zeros(x.size)
    for i in range(x.size):
        unit = np.zeros(x.size)
        unit[i] = 1.0
        found[i] = np.sum(weights * np.asarray(take(np.reshape(unit, x.shape))))
    return np.reshape(found, x.shape)


def check_key(xp, key, shape=X.shape):
    """Hold both modes to brute force, and the pullback of the pullback to what the key takes."""
    x, take = xp.asarray(np.reshape(np.arange(float(np.prod(shape))), shape), "float64"), lambda x: x[key]
    value, pullback = nnx.vjp(take, x)
    weights = xp.asarray(np.random.default_rng(0).integers(1, 1000, tuple(value.shape)), "float64")  # exact sums
    plain = lambda unit: xp.to_numpy(xp.asarray(unit, "float64")[key])  # noqa: E731
    expected = by_brute_force(plain, xp.to_numpy(x), xp.to_numpy(weights))
    np.testing.assert_array_equal(xp.to_numpy(value), xp.to_numpy(x[key]))
    np.testing.assert_array_equal(xp.to_numpy(pullback(weights)[0]), expected)
    np.testing.assert_array_equal(xp.to_numpy(nnx.jvp(take, (x,), (x,))[1]), xp.to_numpy(x[key]))
    (again,) = nnx.vjp(lambda g: pullback(g)[0], weights)[1](x)
    np.testing.assert_array_equal(xp.to_numpy(again), xp.to_numpy(x[key]))


REPEATED = [
    [0, 0, 1],
    ([0, 0, 1],),
    ((0, 0, 1),),
    (slice(None), [1, 1]),
    ([0, 0], 1),
    (1, [2, 2, 0]),
    (None, [0, 0]),
    ([0, 0], None, [1, 1]),
    (True, [0, 0]),
    ([[0, 0], [1, 0]],),
    ([[0], [0]], [1, 1, 2]),
    (..., [1, 1]),
    ([-4, 0, -4],),
    ([0, 0, 2, 2], slice(None, None, 2)),
]


@pytest.mark.parametrize("key", REPEATED, ids=str)
def test_repeats_in_lists_and_tuples(xp, key):
    if xp.name in ("array-api-strict", "jax"):
        pytest.skip("takes arrays and no lists of indices")
    check_key(xp, key)


def test_three_lists(xp):
    if xp.name in ("array-api-strict", "jax"):
        pytest.skip("takes arrays and no lists of indices")
    check_key(xp, ([0, 0, 3], [1, 1, 3], [0, 0, 2]), (4, 4, 3))


def test_boolean_keys(xp):
    if xp.name == "array-api-strict":
        pytest.skip("boolean indexing is switched off, as it stops a GPU's queue")
    mask = xp.asarray([True, False, True, True], "bool")
    check_key(xp, mask)
    check_key(xp, (mask, 1))
    check_key(xp, (mask, xp.asarray([0, 0, 2], "int64")))
    check_key(xp, xp.asarray(X % 2 == 0, "bool"))
    check_key(xp, xp.asarray(False, "bool"))
    if xp.name != "jax":
        check_key(xp, [True, False, False, True])


@pytest.mark.parametrize("number", [1, -1, np.int64(1), np.uint8(2)], ids=repr)
def test_numbers(xp, number):
    if xp.name in ("array-api-strict",) and not isinstance(number, int):
        pytest.skip("takes no number of NumPy")
    check_key(xp, (number, ...))
    check_key(xp, (..., number))
    check_key(xp, (number, number))


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8"])
def test_arrays_of_shape_empty(xp, dtype):
    if xp.name == "torch" and dtype == "uint8":
        pytest.skip("a mask to torch")
    index = xp.asarray(2, dtype)
    if xp.name != "array-api-strict":
        check_key(xp, (index, ...))
    check_key(xp, (index, index))
    check_key(xp, (index, xp.asarray([0, 0, 1], "int64")))


def test_an_index_of_a_narrow_dtype(xp):
    # 300 elements have no number in int8.
    index = xp.asarray([-1, 5, 5, 127], "int8")
    if xp.name in ("jax", "torch"):
        pytest.skip("its own indexing overflows, or takes no int8")
    check_key(xp, (index,), (300,))
    x = xp.asarray(np.arange(300.0), "float64")
    _, pullback = nnx.vjp(lambda x: nnx.namespace(x).take(x, index, axis=0), x)
    found = xp.to_numpy(pullback(xp.asarray([1.0, 2.0, 3.0, 4.0], "float64"))[0])
    assert (found[[299, 5, 127]].tolist(), float(found.sum())) == ([1.0, 5.0, 4.0], 10.0)


@st.composite
def keys(draw, shape):
    """Return a key that fits a shape, as NumPy takes it: of each kind at most a few, in any order."""
    common = draw(st.sampled_from([(), (1,), (3,), (2, 3)]))
    parts = [draw(_part(n, common)) for n in shape]
    start, stop = sorted((draw(st.integers(0, len(shape))), draw(st.integers(0, len(shape)))))
    parts[start:stop] = draw(st.sampled_from([[...], parts[start:stop]]))
    for extra in draw(st.lists(st.sampled_from([None, True, np.True_]), max_size=2)):
        parts.insert(draw(st.integers(0, len(parts))), extra)
    is_bare = len(parts) == 1 and not isinstance(parts[0], tuple) and draw(st.booleans())
    return parts[0] if is_bare else tuple(parts)


def _part(length, common):
    number = st.integers(-length, length - 1)
    arrays = hnp.arrays(np.int64, common, elements=number)
    one_axis = hnp.arrays(np.int32, (1,) if not common else common[-1:], elements=number)
    return st.one_of(
        number,
        number.map(np.int64),
        st.slices(length),
        arrays,
        arrays.map(np.ndarray.tolist),
        one_axis.map(lambda a: tuple(a.tolist())),
    )


@settings(max_examples=150)
@given(data=st.data())
def test_random_keys(xp, data):
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=4))
    key = _moved(xp, data.draw(keys(shape)))
    try:
        _ = xp.asarray(np.zeros(shape), "float64")[key]
    except Exception:
        if xp.name.startswith("numpy"):
            raise
        return  # a kind of key that the library does not take
    if xp.name == "jax" and any(
        isinstance(part, (bool, np.bool_)) for part in (key if isinstance(key, tuple) else [key])
    ):
        return  # JAX 0.10 takes other elements than NumPy for a truth value beside None or an ellipsis, or none at all
    check_key(xp, key, shape)


def _moved(xp, key):
    """Return a key with its arrays as the library's, which some of them want."""
    if isinstance(key, tuple):
        return tuple(_moved(xp, part) for part in key)
    return xp.asarray(key, str(key.dtype)) if isinstance(key, np.ndarray) else key


class TestTheKeyIsKeptAsItWas:
    def test_a_list(self, xp):
        if xp.name in ("array-api-strict", "jax"):
            pytest.skip("takes arrays and no lists of indices")
        rows, columns = [0, 0, 1], [[0, 1, 2]]
        x = xp.asarray(X, "float64")
        _, pullback = nnx.vjp(lambda x: x[[rows, rows][0], columns[0]] ** 2, x)
        rows[:], columns[0][:] = [3, 3, 3], [1, 1, 1]
        expected = by_brute_force(lambda x: x[[0, 0, 1], [0, 1, 2]], X, 2 * X[[0, 0, 1], [0, 1, 2]])
        assert_close(pullback(xp.namespace.ones_like(x[0, :]))[0], xp.asarray(expected, "float64"))

    @pytest.mark.parametrize("name", ["getitem", "take", "take_along_axis", "gather", "index_add", "repeat"])
    def test_an_array(self, xp, name):
        if xp.name in ("numpy-readonly", "jax"):
            pytest.skip("arrays do not change")
        if xp.name == "array-api-strict" and name == "repeat":
            pytest.skip("a shape that depends on the data is switched off")
        index = xp.asarray([[1], [1], [0], [2]] if name in ("take_along_axis", "gather") else [1, 1, 0, 2], "int64")
        functions = {
            "getitem": lambda x: x[index, index],
            "take": lambda x: nnx.namespace(x).take(x, index, axis=0),
            "take_along_axis": lambda x: nnx.namespace(x).take_along_axis(x, index, axis=1),
            "gather": lambda x: nnx.functional.gather(x, index, axis=1),
            "index_add": lambda x: nnx.functional.index_add(0.0 * x, index, x),
            "repeat": lambda x: nnx.namespace(x).repeat(x, index, axis=0),
        }
        x = xp.asarray(X, "float64")
        value, pullback = nnx.vjp(functions[name], x)
        weights = xp.asarray(np.arange(np.prod(value.shape)).reshape(value.shape), "float64")
        before = pullback(weights)[0]
        index[...] = 0
        assert_close(pullback(weights)[0], before)

    @pytest.mark.parametrize("name", ["permute_dims", "roll", "moveaxis", "tensordot"])
    def test_lists_of_axes(self, name):
        axes, more = [1, 0, 2], [0, 1]
        functions = {
            "permute_dims": lambda ns, x: ns.permute_dims(x, axes),
            "roll": lambda ns, x: ns.roll(x, more, axis=(0, 1)),
            "moveaxis": lambda ns, x: ns.moveaxis(x, more, [2, 0]),
            "tensordot": lambda ns, x: ns.tensordot(x, x, axes=(more, more)),
        }
        x = np.arange(24.0).reshape(2, 3, 4)
        value, pullback = nnx.vjp(lambda x: functions[name](nnx.namespace(x), x), x)
        weights = np.arange(float(np.size(value))).reshape(np.shape(value))
        (before,) = pullback(weights)
        axes[:], more[:] = [2, 1, 0], [1, 2]
        assert_close(pullback(weights)[0], before)


@pytest.mark.parametrize("function", ["getitem", "take", "take_along_axis", "gather", "index_add"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_many_repeats_in_few_bits(xp, function, dtype):
    if not hasattr(xp.namespace, dtype):
        pytest.skip(f"the library has no {dtype}")
    index = xp.asarray(np.ones(4096), "int64")
    short = lambda x: nnx.namespace(x).astype(x, getattr(xp.namespace, dtype))  # noqa: E731
    x, ones = short(xp.asarray([0.0, 0.0], "float32")), short(xp.asarray(np.ones(4096), "float32"))
    if function == "index_add":
        found = nnx.functional.index_add(x, index, ones)
    else:
        functions = {
            "getitem": lambda x: x[index],
            "take": lambda x: nnx.namespace(x).take(x, index, axis=0),
            "take_along_axis": lambda x: nnx.namespace(x).take_along_axis(x, index, axis=0),
            "gather": lambda x: nnx.functional.gather(x, index, axis=0),
        }
        (found,) = nnx.vjp(functions[function], x)[1](ones)
    assert found.dtype == x.dtype
    assert [float(found[0]), float(found[1])] == [0.0, 4096.0]


def test_an_index_that_a_primitive_made(xp):
    @nnx.primitive
    def largest(x):
        ns = nnx.namespace(x)
        return ns.max(x), ns.reshape(ns.argmax(x), (1,))

    @largest.with_pullback
    def _(wanted, x):
        return largest(x), lambda g: (None,)

    x = xp.asarray([1.0, 3.0, 2.0], "float64")
    (found,) = nnx.vjp(lambda x: x[(largest(x)[1],)], x)[1](xp.asarray([5.0], "float64"))
    assert_close(found, xp.asarray([0.0, 5.0, 0.0], "float64"))


def test_a_traced_key_of_floats_is_refused(xp):
    x = xp.asarray([1.0, 3.0, 2.0], "float64")
    with pytest.raises((IndexError, TypeError)):
        nnx.vjp(lambda x: x[x], x)

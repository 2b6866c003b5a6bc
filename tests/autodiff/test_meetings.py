"""What meets a traced array: foreign functions, other threads, Python's complex numbers, wrong names."""

import threading

import numpy as np
import pytest

import nnx
from nnx.errors import MissingRuleError, TraceError


def total(x):
    return nnx.namespace(x).sum(x)


def test_a_foreign_ufunc_with_the_name_of_an_operator_is_refused():
    divide = np.frompyfunc(lambda a, b: a - b, 2, 1)

    class Named:
        pass

    from nnx.backend import operator_of_ufunc

    assert operator_of_ufunc(np.divide, "__call__", {}) == "truediv"
    assert operator_of_ufunc(divide, "__call__", {}) is None  # whatever its name
    assert operator_of_ufunc(np.divide, "reduce", {}) is None
    assert operator_of_ufunc(np.divide, "__call__", {"where": True}) is None
    with pytest.raises(TraceError, match=r"numpy.* met a traced array"):
        nnx.grad(lambda x: divide(x, 2.0))(np.asarray(1.0))


def in_thread(function):
    found = []

    def run():
        try:
            found.append(function())
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("inside", [nnx.grad, lambda f: lambda y: nnx.jvp(f, (y,), (np.ones(1),))])
def test_a_traced_array_of_another_thread_is_refused(inside):
    def outer(x):
        error = in_thread(lambda: inside(lambda y: total(y * x))(np.ones(1)))
        assert isinstance(error, TraceError), error
        assert "one of a transform in another thread" in str(error)
        return total(x)

    nnx.grad(outer)(np.asarray([24.0]))


def test_one_that_started_later_too():
    ready, done = threading.Event(), threading.Event()
    box = []

    def other():
        def inner(y):
            box.append(y)
            ready.set()
            done.wait(10)
            return total(y)

        nnx.grad(inner)(np.ones(1))

    def outer(x):
        thread = threading.Thread(target=other)
        thread.start()
        ready.wait(10)
        try:
            return total(x * box[0])
        finally:
            done.set()
            thread.join()

    with pytest.raises(TraceError, match="another thread"):
        nnx.grad(outer)(np.ones(1))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: nnx.namespace(x).abs(x[0] + 1j * x[1]),
        lambda x: nnx.namespace(x).abs(1j * total(x)),
        lambda x: nnx.namespace(x).real((1 + 2j) * x[0] * x[1]),
        lambda x: nnx.namespace(x).real(2j ** x[0]),
        lambda x: nnx.namespace(x).abs(1j - x[1]),
        lambda x: nnx.namespace(x).abs(1j / x[1]),
    ],
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_complex_numbers_of_python_beside_a_single_number(xp, function, dtype):
    start = np.asarray([0.5, 1.5])
    h = 1e-6
    eye = np.eye(2)
    expected = [(float(function(start + h * e)) - float(function(start - h * e))) / (2 * h) for e in eye]
    x = xp.asarray(start, dtype)
    found = nnx.grad(function)(x)
    assert found.dtype == x.dtype
    np.testing.assert_allclose(xp.to_numpy(found), expected, rtol=1e-5 if dtype == "float64" else 1e-4, atol=1e-6)


def test_a_transform_keeps_name_and_docstring():
    def energy(x):
        """Return the energy."""
        return total(x)

    for transformed in (nnx.grad(energy), nnx.value_and_grad(energy), nnx.jacobian(energy), nnx.hessian(energy)):
        assert transformed.__name__ == "energy"
        assert transformed.__doc__ == "Return the energy."
    assert nnx.grad(nnx.Linear(1, 1)) is not None  # what has no name works too


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("sum", r"write xp.sum\(x, ...\)"),
        ("reshape", r"write xp.reshape\(x, ...\)"),
        ("transpose", r"write xp.permute_dims\(x, axes\), or x.mT"),
        ("cumsum", r"write xp.cumulative_sum\(x\)"),
        ("item", r"nnx.stop_gradient\(x\) for the value alone"),
        ("wibble", "functions are in xp"),
    ],
)
def test_a_method_of_other_arrays_names_its_replacement(name, advice):
    with pytest.raises(MissingRuleError, match=f"no attribute '{name}'.*{advice}"):
        nnx.grad(lambda x: getattr(x, name)())(np.ones(2))


def test_a_tangent_rule_that_closes_over_a_traced_array():
    def outer(w):
        @nnx.custom_jvp
        def scaled(x):
            return x * 1.0

        @scaled.with_tangent
        def _(primals, tangents):
            return scaled(primals[0]), tangents[0] * w

        return total(nnx.jvp(scaled, (np.ones(2),), (np.ones(2),))[1])

    assert nnx.grad(outer)(np.asarray([1.0, 2.0])).tolist() == [1.0, 1.0]  # w is of an outer transform

    def inner(w):
        @nnx.custom_jvp
        def scaled(x):
            return x * 1.0

        @scaled.with_tangent
        def _(primals, tangents):
            return scaled(primals[0]), tangents[0] * w

        return scaled(w + 0.0)

    with pytest.raises(TraceError, match=r"not among its arguments|has ended"):
        nnx.jvp(inner, (np.ones(2),), (np.ones(2),))
    with pytest.raises(TraceError, match=r"not among its arguments|has ended"):
        nnx.grad(lambda w: total(inner(w)))(np.ones(2))


def test_a_primitive_without_arguments():
    with pytest.raises(TypeError, match="missing 2 required positional arguments"):
        nnx.functional.linear()
    with pytest.raises(TypeError, match="missing a required argument: 'weight'"):
        nnx.functional.linear(np.ones((1, 2)))
    with pytest.raises(TypeError, match="too many positional arguments"):
        nnx.functional.relu(np.ones(2), np.ones(2))

"""The traced array: the standard's operators and attributes, and refusals that say what to do."""

import operator

import numpy as np
import pytest

import nnx
from nnx.autodiff import TracedArray
from nnx.autodiff.rules import REFUSED
from nnx.errors import ArgumentError, MissingRuleError, TraceError
from nnx.testing import assert_close


def inside(x, function):
    """Call a function on a traced array, and return what it returns."""
    found = []

    def f(x):
        found.append(function(x))
        return nnx.namespace(x).sum(x)

    nnx.grad(f)(x)
    return found[0]


ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.mod]
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


def others(xp):
    """What may stand beside a traced array of float64."""
    found = {"float": 2.0, "int": 3, "array": xp.asarray([2.0, 3.0], "float64"), "0-d": xp.asarray(2.0, "float64")}
    if xp.name in ("numpy", "numpy-readonly"):
        found["numpy scalar"] = np.float64(2.0)
    return found


class TestOperators:
    @pytest.mark.parametrize("op", ARITHMETIC, ids=lambda op: op.__name__)
    def test_in_either_order(self, xp, op):
        x = xp.asarray([1.2, 0.7], "float64")
        for name, other in others(xp).items():
            for call in (lambda x, other=other: op(x, other), lambda x, other=other: op(other, x)):
                if xp.name == "jax" and op is operator.pow and name == "int":
                    continue  # JAX has a function of its own for integer powers
                value, _ = nnx.vjp(call, x)
                assert_close(value, call(x), rtol=1e-14)
                if op is not operator.mod:
                    gradient = nnx.vjp(call, x)[1](xp.asarray([1.0, 1.0], "float64"))[0]
                    step = 1e-6
                    expected = (call(x + step) - call(x - step)) / (2.0 * step)
                    assert_close(gradient, expected, rtol=1e-7)

    @pytest.mark.parametrize("op", COMPARISONS, ids=lambda op: op.__name__)
    def test_comparisons_give_plain_booleans(self, xp, op):
        x = xp.asarray([1.0, 2.0], "float64")
        for other in others(xp).values():
            for call in (lambda x, other=other: op(x, other), lambda x, other=other: op(other, x)):
                found = inside(x, call)
                assert type(found) is type(x)
                assert_close(found, call(x))

    def test_matmul_in_either_order(self, xp):
        x, y = xp.asarray([[1.0, 2.0]], "float64"), xp.asarray([[3.0], [4.0]], "float64")
        assert_close(nnx.vjp(lambda x: x @ y, x)[0], x @ y)
        assert_close(nnx.vjp(lambda y: x @ y, y)[0], x @ y)

    def test_two_traced_arrays(self, xp):
        x = xp.asarray([1.2], "float64")
        assert_close(nnx.vjp(lambda a, b: a * b + a / b - a**b, x, x)[0], x * x + x / x - x**x)

    @pytest.mark.parametrize("op", [operator.neg, operator.pos, abs], ids=lambda op: op.__name__)
    def test_unary(self, xp, op):
        x = xp.asarray([-1.5, 2.0], "float64")
        assert_close(nnx.vjp(op, x)[0], op(x))

    def test_floor_division_is_a_constant(self, xp):
        x = xp.asarray([1.5, 2.0], "float64")
        assert_close(nnx.vjp(lambda x: x // 1.0, x)[1](x), (0.0 * x,))


class TestAttributes:
    def test_of_the_standard(self, xp):
        x = xp.asarray([[1.0, 2.0, 3.0]], "float32")
        seen = inside(x, lambda x: (tuple(x.shape), x.ndim, x.size, x.dtype, x.device, len(x)))
        assert seen == ((1, 3), 2, 3, x.dtype, nnx.backend.device_of(x), 1)

    def test_transposes(self, xp):
        x = xp.asarray([[1.0, 2.0, 3.0]], "float64")
        assert_close(nnx.vjp(lambda x: (x.T, x.mT), x)[0], (x.T, x.mT))

    def test_repr_shows_the_value(self):
        assert inside(np.asarray([1.0]), repr) == "TracedArray(array([1.]))"

    def test_iteration_ends(self, xp):
        x = xp.asarray([1.0, 2.0, 3.0], "float64")

        def rows(x):
            found = []
            for row in x:
                found.append(row)
                if len(found) > 3:
                    break
            return len(found)

        assert inside(x, rows) == 3

    def test_a_namespace_of_traced_and_plain_arrays(self, xp):
        x, y = xp.asarray([1.0]), xp.asarray([2.0])
        names = inside(x, lambda x: {nnx.namespace(*pair).__name__ for pair in ((x, y), (y, x), (x, 2.0), (None, x))})
        assert names == {f"nnx.traced({nnx.backend.library_name(xp.namespace)})"}
        assert "<namespace nnx.traced(" in inside(x, lambda x: repr(nnx.namespace(x)))

    def test_stop_gradient_gives_the_plain_array(self, xp):
        x = xp.asarray([1.0])
        assert inside(x, lambda x: type(nnx.stop_gradient(x))) is type(x)
        assert nnx.stop_gradient(x) is x


class TestRefusals:
    @pytest.mark.parametrize(
        ("convert", "word"),
        [(float, "float"), (int, "int"), (bool, "bool"), (complex, "complex"), (operator.index, "an index")],
    )
    def test_of_conversions(self, xp, convert, word):
        message = f"a traced array cannot become {word}: its derivative would be lost; use xp.where"
        with pytest.raises(TraceError, match=message):
            inside(xp.asarray(1.0), convert)

    def test_of_branches(self, xp):
        with pytest.raises(TraceError, match="cannot become bool"):
            inside(xp.asarray(1.0), lambda x: 1 if x else 2)

    def test_of_numpy_functions(self):
        for function in (np.asarray, np.stack):
            with pytest.raises(TraceError, match=r"a function of NumPy|numpy\.stack met a traced array"):
                inside(np.ones(2), lambda x, f=function: f([x] if f is np.stack else x))
        with pytest.raises(TypeError):
            inside(np.ones(2), np.sin)

    def test_of_item_assignment(self, xp):
        with pytest.raises(TraceError, match="item assignment on a traced array would lose its derivative; build"):
            inside(xp.asarray([1.0]), lambda x: operator.setitem(x, 0, 2.0))

    def test_of_other_libraries(self, xp):
        for name in ("__dlpack__", "__dlpack_device__"):
            with pytest.raises(TraceError, match="a traced array cannot be handed to another library"):
                inside(xp.asarray([1.0]), lambda x, name=name: getattr(x, name)())

    def test_of_moves(self, xp):
        with pytest.raises(MissingRuleError, match="a traced array stays on its device; move the arrays before"):
            inside(xp.asarray([1.0]), lambda x: x.to_device("cpu"))

    def test_of_unknown_attributes(self, xp):
        x = xp.asarray([1.0])
        with pytest.raises(MissingRuleError, match="a traced array has no attribute 'colour'"):
            inside(x, lambda x: x.colour)
        assert inside(x, lambda x: hasattr(x, "colour")) is False

    def test_of_unknown_functions(self, xp):
        x = xp.asarray([1.0])
        for name in ("no_such_function", "gradient"):
            with pytest.raises(MissingRuleError, match=f"the traced namespace has no function '{name}'.*; compute it"):
                inside(x, lambda x, name=name: getattr(nnx.namespace(x), name))
            assert inside(x, lambda x, name=name: hasattr(nnx.namespace(x), name)) is False

    @pytest.mark.parametrize("name", sorted(name for name in REFUSED if "." not in name))
    def test_of_functions_without_a_derivative(self, name):
        with pytest.raises(MissingRuleError, match=f"{name} of a traced array would lose its derivative: "):
            inside(np.ones(2), lambda x: getattr(nnx.namespace(x), name)(x))

    def test_of_asarray_of_a_sequence(self, xp):
        with pytest.raises(TraceError, match=r"asarray of a sequence of traced arrays would lose .*; use xp\.stack"):
            inside(xp.asarray(1.0), lambda x: nnx.namespace(x).asarray([x, x]))

    def test_of_an_unknown_indexing(self, xp):
        x = xp.asarray([1.0])
        with pytest.raises(ArgumentError, match="expected indexing to be 'xy' or 'ij', got 'ab'"):
            inside(x, lambda x: nnx.namespace(x).meshgrid(x, x, indexing="ab"))

    def test_of_hashing(self):
        with pytest.raises(TypeError, match="unhashable"):
            inside(np.asarray(1.0), hash)

    def test_is_a_missing_attribute_and_not_implemented(self):
        assert issubclass(MissingRuleError, AttributeError)
        assert issubclass(MissingRuleError, NotImplementedError)


def test_arrays_made_inside_keep_the_library(xp):
    x = xp.asarray([1.0, 2.0])

    def f(x):
        ns = nnx.namespace(x)
        made = ns.arange(2, dtype=x.dtype, device=x.device) + ns.zeros_like(x) + ns.ones_like(x)
        return ns.sum(made * x), type(made)

    assert not isinstance(TracedArray, type(x))
    assert_close(nnx.grad(f, has_aux=True)(x)[0], xp.asarray([1.0, 2.0]))

"""The operators of a traced array. They call the plain arrays' own operators, so results are the same bit for bit."""

import operator
from collections.abc import Callable
from typing import Any

from nnx.autodiff.library import bind
from nnx.autodiff.namespace import on_plain
from nnx.autodiff.primitives import Primitive
from nnx.autodiff.rules import RULES
from nnx.autodiff.rules.indexing import GETITEM
from nnx.autodiff.traced import OPERATORS, TracedArray
from nnx.autodiff.views import refuse_shared, remember
from nnx.backend import asarray, dtype_name, is_immutable, is_view, namespace
from nnx.errors import DTypeError, ShapeError, TraceError

_STANDARD = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "pow": "pow",
    "matmul": "matmul",
    "mod": "remainder",
    "neg": "negative",
    "pos": "positive",
    "abs": "abs",
    "getitem": "getitem",
}
_UNARY = ("neg", "pos", "abs", "invert")
_BITWISE = ("and", "or", "xor", "lshift", "rshift")
_CONSTANT = ("floordiv", "eq", "ne", "lt", "le", "gt", "ge", "invert", *_BITWISE)
_REFLECTED = ("add", "sub", "mul", "truediv", "pow", "matmul", "floordiv", "mod", *_BITWISE)

_SCALARS = frozenset({bool, int, float, complex})
_NO_OPTIONS: dict[str, Any] = {}  # one shared dict, never written to: a new one per operator costs time


def _attach_primitive(name: str, function: Primitive[..., Any]) -> None:
    def method(self: TracedArray, other: Any) -> Any:
        kind = type(other)
        if kind is TracedArray:
            if other.trace is not self.trace:
                return function(self, other)  # the primitive finds the innermost trace
        elif kind not in _SCALARS and kind is not type(self.value):
            namespace(self, other)  # refuses arrays of another library, which the operator might silently convert
        return self.trace.record(function, (self, other), _NO_OPTIONS)

    def reflected(self: TracedArray, other: Any) -> Any:
        kind = type(other)
        if kind is complex:
            other = _as_complex_array(other, self)
        elif kind not in _SCALARS:
            namespace(self, other)
        return self.trace.record(function, (other, self), _NO_OPTIONS)

    def viewing(self: TracedArray, other: Any = None) -> Any:
        made = self.trace.record(function, (self,) if name in _UNARY else (self, other), _NO_OPTIONS)
        remember(made, self)
        return made

    _attach(name, viewing if name == "pos" else function, viewing if name == "getitem" else method, reflected)


def _as_complex_array(number: complex, like: TracedArray) -> Any:
    """Return a complex number as a 0-d array if the traced value is a number to Python.

    ``np.float64`` and ``np.complex128`` are subclasses of ``float`` and ``complex``, so that the operator of Python's
    complex number would take them and return another Python number.
    """
    plain: Any = like.untraced
    if not issubclass(type(plain), (float, complex)):
        return number
    wide = dtype_name(plain.dtype) in ("float64", "complex128")
    return asarray(number, dtype="complex128" if wide else "complex64", like=plain)


def _attach_constant(name: str) -> None:
    constant = on_plain(getattr(operator, f"__{name}__"))

    def operate(*operands: Any) -> Any:
        found = constant(*operands)
        for operand in operands:
            if type(operand) is TracedArray:
                found = operand.trace.wrap_constant(found)
        return found

    def method(self: TracedArray, other: Any) -> Any:
        if type(other) not in _SCALARS and type(other) is not TracedArray:
            namespace(self, other)
        return operate(self, other)

    def reflected(self: TracedArray, other: Any) -> Any:
        if type(other) not in _SCALARS:
            namespace(self, other)
        return operate(other, self)

    _attach(name, operate, method, reflected)


def _attach(
    name: str,
    function: Callable[..., Any],
    method: Callable[[TracedArray, Any], Any],
    reflected: Callable[[TracedArray, Any], Any],
) -> None:
    # Only a plain function binds as a method: an instance, such as a primitive, would be called without self.
    if name in _UNARY:
        setattr(TracedArray, f"__{name}__", lambda self: function(self))
        return
    OPERATORS[name] = function
    setattr(TracedArray, f"__{name}__", method)
    if name in _REFLECTED:
        setattr(TracedArray, f"__r{name}__", reflected)
        setattr(TracedArray, f"__i{name}__", _in_place(name, method))


def _in_place(name: str, method: Callable[[TracedArray, Any], Any]) -> Callable[[TracedArray, Any], Any]:
    """Return an operator such as ``+=``. It changes the array object, under all of its names, like a plain array's."""

    def operate(self: TracedArray, other: Any) -> Any:
        made = method(self, other)
        plain = self.untraced
        if is_immutable(plain):
            return made  # Python rebinds the name to a new array, as it does for the plain one
        if is_view(plain):
            raise TraceError(
                f"{_SYMBOLS[name]}= on a view, such as a row x[i] or a reshaped array, would change the whole array on "
                f"some libraries only; write y = y {_SYMBOLS[name]} ... for a new array, or build the whole with "
                "xp.where, xp.concat or xp.stack"
            )
        refuse_shared(self, _SYMBOLS[name])
        if made.shape != self.shape:
            raise ShapeError(
                f"expected an operand that fits into an array of shape {tuple(self.shape)} for {_SYMBOLS[name]}=, got "
                f"a result of shape {tuple(made.shape)}; write y = y {_SYMBOLS[name]} ... for a new array"
            )
        if made.dtype != self.dtype:
            made = _cast_back(made, self, _SYMBOLS[name])
        if type(made) is not TracedArray or made.trace is not self.trace:
            made = self.trace.constant(made) if type(made) is not TracedArray else made
        # The same object from now on stands for the result; earlier nodes of the tape keep the old slot.
        self.value, self.trace, self.entry = made.value, made.trace, made.entry
        return self

    return operate


def _cast_back(made: Any, own: TracedArray, symbol: str) -> Any:
    """Return a result in the dtype of the array that it is written into, where the library would convert it too."""
    xp = namespace(made)
    if not xp.isdtype(made.dtype, "real floating") or not xp.isdtype(own.dtype, "real floating"):
        raise DTypeError(
            f"expected an operand that keeps dtype {dtype_name(own.dtype)} for {symbol}=, got a result of "
            f"{dtype_name(made.dtype)}; write y = y {symbol} ... for a new array"
        )
    return xp.astype(made, own.dtype)


_SYMBOLS = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "truediv": "/",
    "pow": "**",
    "matmul": "@",
    "floordiv": "//",
    "mod": "%",
    "and": "&",
    "or": "|",
    "xor": "^",
    "lshift": "<<",
    "rshift": ">>",
}


def _transposed(self: TracedArray) -> Any:
    if self.ndim != 2:
        raise ShapeError(f"expected 2 axes for x.T, as in the standard, got shape {tuple(self.shape)}; use x.mT")
    return self.mT


for _name, _rule in _STANDARD.items():
    _rules = {**RULES, "getitem": GETITEM}
    _attach_primitive(_name, bind(_rule, getattr(operator, _name), _rules[_rule]))
for _name in _CONSTANT:
    _attach_constant(_name)
TracedArray.mT = property(lambda self: self.__array_namespace__().matrix_transpose(self))  # type: ignore[attr-defined]
TracedArray.T = property(_transposed)  # type: ignore[attr-defined]

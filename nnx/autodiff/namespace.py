"""The traced namespace: the functions of an array API namespace, for traced arrays beside plain ones."""

import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.primitive import Primitive
from nnx.autodiff.rules import COMPOSED, CONSTANT, EXTENSIONS, LIKE, PASSED, REFUSED, RULES
from nnx.autodiff.rules.indexing import GETITEM
from nnx.autodiff.rules.kinds import Rule
from nnx.autodiff.traced import OPERATORS, OpenTrace, TracedArray
from nnx.backend import library_name, namespace
from nnx.errors import MissingRuleError, ShapeError, TraceError
from nnx.types import Array, DType, Namespace


class TracedNamespace:
    """A namespace with the standard's names, whose functions take traced arrays too.

    Parameters
    ----------
    untraced : namespace
        The namespace that does the work.
    extension : str
        ``"linalg."`` or ``"fft."`` for an extension, whose names have that in front in the tables.

    Attributes
    ----------
    untraced : namespace
    """

    def __init__(self, untraced: Namespace, extension: str = "") -> None:
        self.untraced = untraced
        self.__name__ = f"nnx.traced({library_name(untraced)})"
        members = vars(self)
        for table, make in _TABLES:
            for full_name in table:
                prefix, _, name = full_name.rpartition(".")
                if (f"{prefix}." if prefix else "") == extension and hasattr(untraced, name):
                    members[name] = make(self, full_name, getattr(untraced, name))
        for name in () if extension else EXTENSIONS:
            if hasattr(untraced, name):
                members[name] = TracedNamespace(getattr(untraced, name), f"{name}.")

    def __getattr__(self, name: str) -> Any:
        raise MissingRuleError(
            f"the traced namespace has no function {name!r}"
            + ("" if hasattr(self.untraced, name) else ", nor has the array library")
            + "; compute it from functions that have a derivative, or call it on nnx.stop_gradient(x)"
        )

    def __repr__(self) -> str:
        return f"<namespace {self.__name__}>"


def _bound(name: str, function: Callable[..., Any], rule: Rule) -> Primitive[..., Any]:
    bound: Primitive[..., Any] = Primitive(function)
    bound.name = name
    bound.takes_keywords = False  # arrays are positional-only in the standard
    bound.forward = rule.bind(bound)
    bound.forward_of_plain = rule.bind(function)
    bound.tangent = rule.bind_tangent(bound)
    bound.tangent_of_plain = rule.bind_tangent(function)
    bound.most_by_position = getattr(rule, "positional", None)
    bound.retraced = bound.may_close_over_traced = False
    return bound


def _differentiable(xp: TracedNamespace, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    if name in _ADAPTERS:
        return _ADAPTERS[name](function, RULES[name])
    return _bound(name, function, RULES[name])


def _composed(xp: TracedNamespace, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    composition = COMPOSED[name]

    @functools.wraps(function, updated=())
    def composed(*args: Any, **kwargs: Any) -> Any:
        if _any_traced((args, kwargs)):
            return composition(xp, *args, **kwargs)
        return function(*args, **kwargs)

    return composed


def _constant(xp: Any, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``function`` on the plain arrays behind traced ones: its derivative is zero, or it has none."""

    @functools.wraps(function, updated=())
    def constant(*args: Any, **kwargs: Any) -> Any:
        return function(*(_plain(a) for a in args), **{key: _plain(a) for key, a in kwargs.items()})

    return constant


def _like(xp: Any, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function, updated=())
    def like(x: Array, /, *args: Any, **kwargs: Any) -> Any:
        return function(_plain(x), *args, **kwargs)

    return like


def _passed(xp: Any, name: str, function: Any) -> Any:
    return function


def _refused(xp: Any, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function, updated=())
    def refused(*args: Any, **kwargs: Any) -> Any:
        if _any_traced((args, kwargs)):
            raise MissingRuleError(f"{name} of a traced array would lose its derivative: {REFUSED[name]}")
        return function(*args, **kwargs)

    return refused


_TABLES = (
    (RULES, _differentiable),
    (COMPOSED, _composed),
    (CONSTANT, _constant),
    (LIKE, _like),
    (PASSED, _passed),
    (REFUSED, _refused),
)


def _plain(value: Any) -> Any:
    if type(value) is TracedArray:
        return value.untraced
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(v) for v in value)
    return value


def _any_traced(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_any_traced, value))
    if isinstance(value, dict):
        return any(map(_any_traced, value.values()))
    return type(value) is TracedArray


def _sequence_first(function: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
    """Adapt ``concat`` and ``stack``, which take a sequence of arrays."""

    def one_by_one(*arrays: Array, axis: Any = 0) -> Array:
        return function(list(arrays), axis=axis)

    bound = _bound(getattr(function, "__name__", "concat"), one_by_one, rule)

    def joined(arrays: Sequence[Array], /, *, axis: Any = 0) -> Array:
        return bound(*arrays, axis=axis)

    return joined


def _clip(function: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
    """Adapt ``clip``, whose bounds are arrays that may be passed by name."""
    bound = _bound("clip", function, rule)

    def clip(x: Array, /, min: Any = None, max: Any = None) -> Array:
        return bound(x, min, max)

    return clip


def _is_differentiable(plain: Array, dtype: DType) -> bool:
    """Tell whether a derivative goes on through a change to a dtype; none is no change."""
    return dtype is None or bool(namespace(plain).isdtype(dtype, ("real floating", "complex floating")))


def _astype(function: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
    """Adapt ``astype``: the way to integers or booleans ends the derivative, as that of ``floor``."""
    bound = _bound("astype", function, rule)

    def astype(x: Array, dtype: DType, /, *, copy: bool = True, device: Any = None) -> Array:
        options = {"copy": copy} if device is None else {"copy": copy, "device": device}
        plain = _plain(x)
        if plain is x or _is_differentiable(plain, dtype):
            return bound(x, dtype, **options)
        return function(plain, dtype, **options)

    return astype


def _asarray(function: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
    """Adapt ``asarray``: of a traced array it is a copy or a change of dtype."""

    def convert(x: Array, dtype: DType = None, copy: bool | None = None, **options: Any) -> Array:
        return function(x, dtype=dtype, copy=copy, **options)

    bound = _bound("asarray", convert, rule)

    def asarray(obj: Any, /, *, dtype: DType = None, device: Any = None, copy: bool | None = None) -> Array:
        if type(obj) is TracedArray:
            if _is_differentiable(_plain(obj), dtype):
                return bound(obj, dtype, copy)
            return convert(_plain(obj), dtype, copy)  # which ends the derivative, as astype does
        if _any_traced(obj):
            raise TraceError("asarray of a sequence of traced arrays would lose their derivatives; use xp.stack")
        options = {"device": device} if device is not None else {}
        return convert(obj, dtype, copy, **options)

    return asarray


def _accumulated(name: str) -> Callable[[Callable[..., Any], Rule], Callable[..., Any]]:
    """Return the adapter of a reduction that may accumulate in another dtype: one of integers ends the derivative."""

    def adapt(function: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
        bound = _bound(name, function, rule)

        @functools.wraps(function, updated=())
        def accumulated(x: Array, /, *args: Any, dtype: DType = None, **options: Any) -> Array:
            if dtype is not None:
                options["dtype"] = dtype
            if _is_differentiable(_plain(x), dtype):
                return bound(x, *args, **options)
            return function(_plain(x), *args, **options)

        return accumulated

    return adapt


_ADAPTERS: dict[str, Callable[[Callable[..., Any], Rule], Callable[..., Any]]] = {
    "asarray": _asarray,
    "astype": _astype,
    "clip": _clip,
    "concat": _sequence_first,
    "cumulative_prod": _accumulated("cumulative_prod"),
    "cumulative_sum": _accumulated("cumulative_sum"),
    "prod": _accumulated("prod"),
    "stack": _sequence_first,
    "sum": _accumulated("sum"),
}

_NAMESPACES: dict[Namespace, TracedNamespace] = {}


def traced_namespace(xp: Namespace) -> TracedNamespace:
    """Return the traced namespace over an array API namespace."""
    found = _NAMESPACES.get(xp)
    return found if found is not None else _NAMESPACES.setdefault(xp, TracedNamespace(xp))


# What follows completes TracedArray. The operators compute with those of the plain arrays, so that a traced function
# gives the same bits as the plain one.
_OPERATORS = {
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
_BITWISE = ("and", "or", "xor", "lshift", "rshift")
_CONSTANT_OPERATORS = ("floordiv", "eq", "ne", "lt", "le", "gt", "ge", "invert", *_BITWISE)
_REFLECTED = ("add", "sub", "mul", "truediv", "pow", "matmul", "floordiv", "mod", *_BITWISE)


_SCALARS = frozenset({bool, int, float, complex})
_NO_OPTIONS: dict[str, Any] = {}  # nobody writes into it


def _attach(name: str, function: Any) -> None:
    # A plain function becomes a method; an instance, such as a primitive, would not be given the array.
    if name in ("neg", "pos", "abs", "invert"):
        setattr(TracedArray, f"__{name}__", lambda self: function(self))
        return
    OPERATORS[name] = function

    is_primitive = isinstance(function, Primitive)

    def method(self: TracedArray, other: Any) -> Any:
        kind = type(other)
        if kind is TracedArray:
            if other.trace is not self.trace or not is_primitive:
                return function(self, other)
        elif kind not in _SCALARS and kind is not type(self.value) and name != "getitem":
            namespace(self, other)  # an operator of another library's array might convert in silence
        return self.trace.record(function, (self, other), _NO_OPTIONS) if is_primitive else function(self, other)

    def reflected(self: TracedArray, other: Any) -> Any:
        if type(other) not in _SCALARS:
            namespace(self, other)
        return self.trace.record(function, (other, self), _NO_OPTIONS) if is_primitive else function(other, self)

    setattr(TracedArray, f"__{name}__", method)
    if name in _REFLECTED:
        setattr(TracedArray, f"__r{name}__", reflected)


def _constant_operator(name: str) -> Callable[..., Any]:
    constant = _constant(None, name, getattr(operator, f"__{name}__"))

    def operate(*operands: Any) -> Any:
        found = constant(*operands)
        for operand in operands:
            if type(operand) is TracedArray and isinstance(operand.trace, OpenTrace):
                return operand.trace.wrap(found)
        return found

    return operate


for _name, _standard in _OPERATORS.items():
    _attach(_name, _bound(_standard, getattr(operator, _name), {**RULES, "getitem": GETITEM}[_standard]))
for _name in _CONSTANT_OPERATORS:
    _attach(_name, _constant_operator(_name))


def _array_namespace(self: TracedArray, /, *, api_version: str | None = None) -> Any:
    return self.trace.namespace() if isinstance(self.trace, OpenTrace) else traced_namespace(namespace(self.untraced))


TracedArray.__array_namespace__ = _array_namespace  # type: ignore[attr-defined]


def _transposed(self: TracedArray) -> Any:
    if self.ndim != 2:
        raise ShapeError(f"expected 2 axes for x.T, as in the standard, got shape {tuple(self.shape)}; use x.mT")
    return self.mT


TracedArray.mT = property(lambda self: self.__array_namespace__().matrix_transpose(self))  # type: ignore[attr-defined]
TracedArray.T = property(_transposed)  # type: ignore[attr-defined]

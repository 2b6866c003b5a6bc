"""The traced namespace: the functions of an array API namespace, for plain and traced arrays alike."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.library import bind, remembering
from nnx.autodiff.rules import BEYOND, COMPOSED, CONSTANT, EXTENSIONS, LIKE, PASSED, REFUSED, RULES, SIGNATURES
from nnx.autodiff.rules.kinds import Rule
from nnx.autodiff.stopping import call_underlying
from nnx.autodiff.traced import TracedArray
from nnx.autodiff.views import VIEWS
from nnx.backend import library_name, namespace
from nnx.errors import MissingRuleError, TraceError
from nnx.types import Array, DType, Namespace


class TracedNamespace:
    """A namespace with the standard's names, whose functions take traced arrays too.

    Parameters
    ----------
    untraced : namespace
        The namespace that does the work.
    extension : str
        ``"linalg."`` or ``"fft."`` for an extension: the prefix of its names in the tables.

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


def _differentiable(xp: TracedNamespace, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    if name in _ADAPTERS:
        return _ADAPTERS[name](function, RULES[name])
    bound = bind(name, function, RULES[name], SIGNATURES[name])
    return remembering(bound) if name in VIEWS else bound


def _composed(xp: TracedNamespace, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    composition, signature = COMPOSED[name], SIGNATURES[name]

    @functools.wraps(function, updated=())
    def composed(*args: Any, **kwargs: Any) -> Any:
        if _any_traced((args, kwargs)):
            signature.refuse(name, args, kwargs)
            return composition(xp, *args, **kwargs)
        return function(*args, **kwargs)

    return composed


def _constant(xp: Any, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    return on_plain(function, name)


def on_plain(function: Callable[..., Any], name: str = "") -> Callable[..., Any]:
    """Return ``function`` applied to the plain arrays behind traced ones: its derivative is zero, or does not exist."""
    signature = SIGNATURES.get(name)

    @functools.wraps(function, updated=())
    def constant(*args: Any, **kwargs: Any) -> Any:
        if signature is not None and (kwargs or len(args) > signature.most) and _any_traced((args, kwargs)):
            signature.refuse(name, args, kwargs)
        return call_underlying(function, args, kwargs)

    return constant


def _like(xp: Any, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    signature = SIGNATURES[name]

    @functools.wraps(function, updated=())
    def like(x: Array, /, *args: Any, **kwargs: Any) -> Any:
        plain = _plain(x)
        if plain is not x:
            signature.refuse(name, (x, *args), kwargs)
        return function(plain, *args, **kwargs)

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
    (BEYOND, _passed),
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


def _sequence_first(name: str) -> Callable[[Callable[..., Any], Rule], Callable[..., Any]]:
    """Return the adapter of ``concat`` or ``stack``, which take a sequence of arrays."""

    def adapt(function: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
        # A primitive's arrays are its positional arguments, so the sequence is spread out.
        def one_by_one(*arrays: Array, axis: Any = 0) -> Array:
            return function(list(arrays), axis=axis)

        bound = bind(name, one_by_one, rule)

        def joined(arrays: Sequence[Array], /, *, axis: Any = 0, **beyond: Any) -> Array:
            if beyond:
                SIGNATURES[name].refuse(name, (arrays,), beyond)
            return bound(*arrays, axis=axis)

        return joined

    return adapt


def _clip(function: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
    """Adapt ``clip``, whose bounds are arrays that may be passed by name."""
    bound = bind("clip", function, rule)

    def clip(x: Array, /, min: Any = None, max: Any = None, **beyond: Any) -> Array:
        if beyond:
            SIGNATURES["clip"].refuse("clip", (x,), beyond)
        return bound(x, min, max)

    return clip


def _is_differentiable(plain: Array, dtype: DType) -> bool:
    """Return whether a derivative passes through a conversion to a dtype; None converts nothing."""
    return dtype is None or bool(namespace(plain).isdtype(dtype, ("real floating", "complex floating")))


def _astype(function: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
    """Adapt ``astype``: a conversion to integers or booleans has derivative zero, like ``floor``."""
    bound = remembering(bind("astype", function, rule))

    def astype(x: Array, dtype: DType, /, *, copy: bool = True, device: Any = None, **beyond: Any) -> Array:
        if beyond:
            SIGNATURES["astype"].refuse("astype", (x, dtype), beyond)
        options = {"copy": copy} if device is None else {"copy": copy, "device": device}
        plain = _plain(x)
        if plain is x or _is_differentiable(plain, dtype):
            return bound(x, dtype, **options)
        return call_underlying(function, (x, dtype), options)

    return astype


def _asarray(function: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
    """Adapt ``asarray``: for a traced array it is a copy or a change of dtype."""

    def convert(x: Array, dtype: DType = None, copy: bool | None = None, **options: Any) -> Array:
        return function(x, dtype=dtype, copy=copy, **options)

    bound = remembering(bind("asarray", convert, rule))

    def asarray(obj: Any, /, *, dtype: DType = None, device: Any = None, copy: bool | None = None) -> Array:
        if type(obj) is TracedArray:
            if _is_differentiable(_plain(obj), dtype):
                return bound(obj, dtype, copy)
            return call_underlying(convert, (obj, dtype, copy), {})  # derivative zero, as in astype
        if _any_traced(obj):
            raise TraceError("asarray of a sequence of traced arrays would lose their derivatives; use xp.stack")
        options = {"device": device} if device is not None else {}
        return convert(obj, dtype, copy, **options)

    return asarray


def _accumulated(name: str) -> Callable[[Callable[..., Any], Rule], Callable[..., Any]]:
    """Return the adapter of a reduction with a dtype to accumulate in: an integer one makes the derivative zero."""

    def adapt(function: Callable[..., Any], rule: Rule) -> Callable[..., Any]:
        bound = bind(name, function, rule, SIGNATURES[name])

        @functools.wraps(function, updated=())
        def accumulated(x: Array, /, *args: Any, dtype: DType = None, **options: Any) -> Array:
            if dtype is not None:
                options["dtype"] = dtype
            if _is_differentiable(_plain(x), dtype):
                return bound(x, *args, **options)
            plain = _plain(x)
            if plain is not x:
                SIGNATURES[name].refuse(name, (x, *args), options)
            return call_underlying(function, (x, *args), options)

        return accumulated

    return adapt


_ADAPTERS: dict[str, Callable[[Callable[..., Any], Rule], Callable[..., Any]]] = {
    "asarray": _asarray,
    "astype": _astype,
    "clip": _clip,
    "concat": _sequence_first("concat"),
    "cumulative_prod": _accumulated("cumulative_prod"),
    "cumulative_sum": _accumulated("cumulative_sum"),
    "prod": _accumulated("prod"),
    "stack": _sequence_first("stack"),
    "sum": _accumulated("sum"),
}

_NAMESPACES: dict[Namespace, TracedNamespace] = {}  # setdefault below: threads that race agree on one


def traced_namespace(array: Array) -> TracedNamespace:
    """Return the traced namespace over the array API namespace of a plain array."""
    return namespace_over(namespace(array))


def namespace_over(xp: Namespace) -> TracedNamespace:
    """Return the traced namespace over an array API namespace."""
    found = _NAMESPACES.get(xp)
    return found if found is not None else _NAMESPACES.setdefault(xp, TracedNamespace(xp))

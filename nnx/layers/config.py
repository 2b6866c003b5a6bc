"""The configuration of a module: its class and the arguments that would build it, as data for JSON."""

from __future__ import annotations

import dataclasses
import math
import operator
import re
import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter as _Kind
from numbers import Integral, Real
from typing import Any

from nnx import functional
from nnx.backend import asarray, dtype_name, is_array, to_numpy
from nnx.errors import ArgumentError, NnxError
from nnx.functional.checks import nearest
from nnx.layers.node import Node
from nnx.layers.plan import Plan, freeze_slots, plan_of, walk
from nnx.layers.remembering import Configured, Unheld, arguments, parameters_of
from nnx.layers.ties import Tied

_MOST_ELEMENTS = 10_000  # of an array in a configuration, where it becomes text
_MOST_LEVELS = 200
_TAGS = frozenset({"type", "ties", "frozen"})
_DTYPES = re.compile(r"bool|u?int(8|16|32|64)|bfloat16|float(16|32|64)|complex(64|128)")


def config_of(configured: Any) -> dict[str, Any]:
    """Return the configuration of a module, loss or optimizer; see :meth:`nnx.Module.config`."""
    found: dict[str, Any] = _Writer().of(configured, ())
    if isinstance(configured, Node):
        plan = plan_of(configured)
        if ties := list(_ties(plan)):
            found["ties"] = ties
        if len(plan.paths) < len(plan.all_paths) or any(module._freezes for module in (configured, *plan.below)):
            found["frozen"] = [path for path in plan.all_paths if path not in frozenset(plan.paths)]
    return found


class _Writer:
    """Turns values into data; a module that occurs again is written as a reference to its first place."""

    def __init__(self) -> None:
        self._seen: dict[int, str] = {}

    def of(self, value: Any, where: tuple[str, ...]) -> Any:
        kind = type(value)
        if value is None or kind in (bool, int, str):
            return value
        if isinstance(value, Integral):  # such as NumPy's
            return operator.index(value)
        if isinstance(value, Real):  # JSON has no infinity and no NaN
            return float(value) if math.isfinite(value) else {"type": "float", "value": repr(float(value))}
        if isinstance(value, list):
            return self._items(value, where)
        if isinstance(value, tuple) and not hasattr(value, "_fields") and not isinstance(value, Unheld):
            return {"type": "tuple", "items": self._items(value, (*where, "items"))}
        if isinstance(value, dict) and all(type(key) is str for key in value):
            items = {key: self.of(item, (*where, "items", key)) for key, item in value.items()}
            return {"type": "dict", "items": items}
        if isinstance(value, Configured):
            return self._made(value, lambda: arguments(value), where)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = [field.name for field in dataclasses.fields(value) if field.init]
            return self._made(value, lambda: {name: getattr(value, name) for name in fields}, where)
        if is_array(value) and math.prod(value.shape) <= _MOST_ELEMENTS:
            return {"type": "array", "dtype": dtype_name(value.dtype), "values": to_numpy(value).tolist()}
        if (name := _function_name(value)) is not None:
            return {"type": "function", "name": name}
        what = value.text if isinstance(value, Unheld) else f"a {kind.__name__}"
        raise ArgumentError(
            f"{'.'.join(where)}: expected an argument that JSON can hold, a module or an initializer, got {what}"
        )

    def _items(self, values: Iterable[Any], where: tuple[str, ...]) -> list[Any]:
        return [self.of(item, (*where, str(i))) for i, item in enumerate(values)]

    def _made(self, value: Any, of: Callable[[], dict[str, Any]], where: tuple[str, ...]) -> dict[str, Any]:
        if isinstance(value, Node):
            if id(value) in self._seen:
                return {"type": "shared", "at": self._seen[id(value)]}
            self._seen[id(value)] = ".".join(where)
        found = of()
        if found.keys() & _TAGS:
            raise ArgumentError(f"{type(value).__name__}: expected arguments of other names than {sorted(_TAGS)}")
        return {"type": type_name(type(value)), **{name: self.of(x, (*where, name)) for name, x in found.items()}}


def type_name(kind: type) -> str:
    """Return the name of a class in a configuration: with its module, unless it is one of nnx.

    A schedule is ``schedules.Linear``, since layers and initializers have some of the same names.
    """
    if kind.__module__.startswith("nnx.schedules."):
        return f"schedules.{kind.__name__}"
    return kind.__name__ if kind.__module__.startswith("nnx.") else f"{kind.__module__}.{kind.__qualname__}"


def _function_name(value: Any) -> str | None:
    """Return the name by which a function is found again, as :func:`type_name` gives it, or None.

    A lambda expression, a function inside another one, and one whose name means something else now have none.
    """
    name, module = getattr(value, "__name__", ""), getattr(value, "__module__", None)
    if not callable(value) or isinstance(value, type) or not isinstance(module, str):
        return None
    if getattr(functional, name, None) is value:
        return str(name)
    qualified = getattr(value, "__qualname__", "")
    is_found = qualified.isidentifier() and getattr(sys.modules.get(module), qualified, None) is value
    return f"{module}.{qualified}" if is_found else None


def build(
    config: Mapping[str, Any],
    known: Mapping[str, type],
    allow: Iterable[Callable[..., Any]] = (),
    rng: Any = None,
    given: Mapping[str, Any] | None = None,
) -> Any:
    """Build what a configuration describes, using only known classes and functions: no name is imported.

    Parameters
    ----------
    config : mapping
        As :func:`config_of` returned it.
    known : mapping from name to class
        The classes of nnx.
    allow : classes and functions
        Others that may be built or used, such as your own.
    rng : NumPy Generator, optional
        Passed to every constructor that takes one.
    given : mapping, optional
        Arguments of the outermost constructor that are not part of a configuration, such as the model of an optimizer.

    Raises
    ------
    ArgumentError
        If the configuration names another class, is not a configuration, or cannot be built.
    """
    if not isinstance(config, Mapping):
        raise ArgumentError(f"config: expected a mapping with a type, got {_shown(config)}")
    made = _Reader(known, allow, rng).of(config, (), given or {})
    ties = config.get("ties", [])
    if not isinstance(ties, list):
        raise ArgumentError(f"config: expected a list of ties, got {_shown(ties)}")
    for tie in ties:
        _tie(made, tie)
    if "frozen" in config:
        _freeze(made, config["frozen"])
    return made


def _tie(root: Any, tie: Any) -> None:
    match tie:
        case {"at": str(at), "to": str(to), "transpose": bool(transpose)}:
            modules = dict(walk(root)) if isinstance(root, Node) else {}
            (module, name), (owner, source) = at.rpartition(".")[::2], to.rpartition(".")[::2]
            if module in modules and owner in modules and not hasattr(type(modules[module]), name):
                setattr(modules[module], name, Tied(modules[owner], source, transpose=transpose))
                return
    got = _shown(tie)
    raise ArgumentError(f"config: expected a tie between attributes of modules that are in the model, got {got}")


def _freeze(root: Any, frozen: Any) -> None:
    plan = plan_of(root) if isinstance(root, Node) else None
    if plan is None or not isinstance(frozen, list) or not {*map(str, frozen)} <= {*plan.all_paths}:
        raise ArgumentError(f"config: expected paths of parameters that are frozen, got {_shown(frozen)}")
    freeze_slots(root, plan.all_paths, is_frozen=False)
    freeze_slots(root, frozen)


class _Reader:
    def __init__(self, known: Mapping[str, type], allow: Iterable[Callable[..., Any]], rng: Any) -> None:
        self._known = known
        allow = list(allow)
        self._allowed = {type_name(kind): kind for kind in allow if isinstance(kind, type)}
        self._functions = {_function_name(function): function for function in allow if not isinstance(function, type)}
        self._rng = rng
        self._made: dict[str, Any] = {}

    def of(self, data: Any, where: tuple[str, ...], given: Mapping[str, Any] | None = None) -> Any:
        if len(where) > _MOST_LEVELS:
            raise ArgumentError(f"config: expected at most {_MOST_LEVELS} levels, got more at {'.'.join(where[:6])}...")
        if isinstance(data, list):
            return [self.of(item, (*where, str(i))) for i, item in enumerate(data)]
        if not isinstance(data, dict):
            return data
        if not all(isinstance(key, str) for key in data):
            raise ArgumentError(f"{_path(where)}: expected keys that are strings, got {_shown(data)}")
        match data:
            case {"type": "tuple", "items": list(items)}:
                return tuple(self.of(items, (*where, "items")))
            case {"type": "dict", "items": dict(items)}:
                return {key: self.of(item, (*where, "items", key)) for key, item in items.items()}
            case {"type": "float", "value": "inf" | "-inf" | "nan" as value}:
                return float(value)
            case {"type": "array", "dtype": str(dtype), "values": values}:
                return self._array(values, dtype, where)
            case {"type": "function", "name": str(name), **rest} if not rest:
                return self._function(name, where)
            case {"type": "shared", "at": str(at)} if at in self._made:
                return self._made[at]
            case {"type": str(name)}:
                made = self._make(self._class(name), data, where, given or {})
                self._made[".".join(where)] = made
                return made
        raise ArgumentError(f"{_path(where)}: expected a mapping with a type, got {_shown(data)}")

    def _array(self, values: Any, dtype: str, where: tuple[str, ...]) -> Any:
        if not _DTYPES.fullmatch(dtype):
            raise ArgumentError(f"{_path(where)}: expected an array of numbers or booleans, got {_shown(dtype)}")
        try:
            return asarray(values, dtype=dtype)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ArgumentError(f"{_path(where)}: cannot make an array: {error}") from error

    def _function(self, name: str, where: tuple[str, ...]) -> Any:
        if name in functional.__all__:
            return getattr(functional, name)
        if name not in self._functions:
            raise ArgumentError(
                f"{_path(where)}: the configuration names {_shown(name)}, which is neither a function of "
                "nnx.functional nor allowed; if you trust it, pass the function: "
                "from_config(config, allow=(my_function,))"
            )
        return self._functions[name]

    def _class(self, name: str) -> type:
        kind = self._known.get(name) or self._allowed.get(name)
        if kind is None:  # perhaps a class that has been moved to another module since
            ends = [kind for kind in self._allowed.values() if kind.__qualname__ == name.rpartition(".")[2]]
            kind = ends[0] if len(ends) == 1 and "." in name else None
        if kind is None:
            raise ArgumentError(
                f"the configuration names {_shown(name)}, which is neither a class of nnx nor allowed; if you trust "
                f"it, pass the class: from_config(config, allow=(MyLayer,)){nearest(name, self._known)}"
            )
        return kind

    def _make(self, kind: type, data: Mapping[str, Any], where: tuple[str, ...], given: Mapping[str, Any]) -> Any:
        values = {key: self.of(item, (*where, key)) for key, item in data.items() if key not in _TAGS}
        if unknown := sorted(values.keys() - parameters_of(kind).keys()):
            shown, near = ", ".join(map(_shown, unknown[:5])), nearest(unknown[0], parameters_of(kind))
            raise ArgumentError(f"{_path(where)}: {kind.__name__} takes no {shown}{near}")
        try:
            positional, named = self._arguments(kind, values, dict(given))
            return kind(*positional, **named)
        except NnxError:
            raise
        except Exception as error:  # arguments from elsewhere can be wrong in any way, also those of your own classes
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ArgumentError(f"{_path(where)}: {kind.__name__} cannot be made: {reason}") from error

    def _arguments(self, kind: type, values: dict[str, Any], named: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments of a constructor, by position and by name."""
        takes = parameters_of(kind)
        positional: list[Any] = []
        for name, parameter in takes.items():
            if parameter.kind is _Kind.VAR_POSITIONAL:
                positional += values.pop(name, ())
            elif parameter.kind is _Kind.VAR_KEYWORD:
                named |= values.pop(name, {})
            elif parameter.kind is _Kind.POSITIONAL_ONLY and name in values:
                positional.append(values.pop(name))
            elif name == "rng" and self._rng is not None:
                named[name] = self._rng  # one generator for all: the layers must not draw the same numbers
        # Python fills *args only after all positional parameters, so those before it cannot be passed by name.
        if any(parameter.kind is _Kind.VAR_POSITIONAL for parameter in takes.values()) and positional:
            before = [n for n, p in takes.items() if p.kind is _Kind.POSITIONAL_OR_KEYWORD and n in values]
            positional = [values.pop(name) for name in before] + positional
        return positional, dict(**named, **values)  # which refuses a name that comes twice


def _path(where: tuple[str, ...]) -> str:
    return ".".join(where) or "config"


def _shown(data: Any) -> str:
    """Return the beginning of a ``repr``: data from elsewhere may be of any length and depth."""
    try:
        return repr(data) if isinstance(data, str) and len(data) < 100 else reprlib.repr(data)
    except ValueError:  # Python prints no integers of more than 4300 digits
        return f"a {type(data).__name__}"


def _ties(plan: Plan) -> Iterable[dict[str, Any]]:
    paths = dict(enumerate(plan.module_paths))
    for i, name, owner, tie in plan.ties:
        if i in paths and owner in paths:
            at, to = (f"{paths[end]}.{n}" if paths[end] else n for end, n in ((i, name), (owner, tie.name)))
            yield {"at": at, "to": to, "transpose": tie.transpose}

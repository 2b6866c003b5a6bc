"""The text of a module: the arguments that are not the default, and the modules below it."""

from collections.abc import Mapping
from inspect import Parameter as _Kind
from numbers import Real
from typing import Any

from nnx.backend import dtype_name, is_array
from nnx.layers.containers import may_hold_nodes
from nnx.layers.node import Node
from nnx.layers.plan import walk
from nnx.layers.remembering import Configured, Unheld, arguments, parameters_of

_DEFAULTS: dict[Any, Any] = {_Kind.VAR_POSITIONAL: (), _Kind.VAR_KEYWORD: {}}


def text_of(module: Any) -> str:
    """Return what ``repr`` of a module shows."""
    return _text(module, {id(node): path for path, node in walk(module)}, ())


def description(module: Configured) -> str:
    """Return the arguments of a module or metric that are not the default, without the modules among them."""
    found = arguments(module, strict=False)
    takes = parameters_of(type(module))
    shown = []
    for name, value in found.items():
        default = _DEFAULTS.get(takes[name].kind, takes[name].default)
        is_default = value is default or (type(value) is type(default) and not is_array(value) and value == default)
        if not is_default and not may_hold_nodes(value) and not isinstance(value, Node):
            shown.append(f"{name}={_shown(value)}")
    return ", ".join(shown)


def _shown(value: Any) -> str:
    if isinstance(value, Unheld):
        return f"<{value.text}>"
    if isinstance(value, Real) or not is_array(value):
        return str(getattr(value, "__qualname__", None) or repr(value))  # of a function or class its name
    return f"<{dtype_name(value.dtype)} array of shape {tuple(value.shape)}>"


def _text(module: Any, paths: Mapping[int, str], above: tuple[int, ...]) -> str:
    if id(module) in above:  # a cycle, such as a child that refers to its parent
        return f"{type(module).__name__}(...)"
    ties = []
    for name, tie in module._ties.items():
        owner = paths.get(id(tie.owner))
        at = type(tie.owner).__name__ if owner is None else repr(f"{owner}.{tie.name}" if owner else tie.name)
        ties.append(f"{name}=Tied({at}{', transpose=True' if tie.transpose else ''})")
    frozen = [name for name in module._parameter_names if name in module._frozen]
    inside = ", ".join(filter(None, (module.describe(), *ties, f"frozen={frozen}" if frozen else "")))
    lines = []
    for name, child in module.named_children():
        text = (
            _text(child, paths, (*above, id(module)))
            if getattr(type(child), "__repr__", None) is getattr(type(module), "__repr__", None)
            else repr(child)
        )
        lines.append(f"({name}): {text}".replace("\n", "\n  "))
    if not lines:
        return f"{type(module).__name__}({inside})"
    return "\n  ".join([f"{type(module).__name__}({inside}", *lines]) + "\n)"

"""A recorded run as a Python function: its calls in a straight line, and each variable dropped after its last use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nnx.autodiff.primitives import Primitive
from nnx.replay.nesting import nested_leaves
from nnx.replay.recorder import Call, Ref

_LITERALS = frozenset({bool, int, str, type(None)})


class Program:
    """A function made of recorded calls.

    Parameters
    ----------
    inputs : sequence of Ref
        The variables that are the arguments of the function.
    calls : sequence of Call
    outputs
        What the function returns: constants, lists, tuples and dicts, with a ``Ref`` for each array.

    Attributes
    ----------
    source : str
        The text of the function, in Python.
    run : callable
        The function itself.
    """

    def __init__(self, inputs: Sequence[Ref], calls: Sequence[Call], outputs: Any) -> None:
        self._globals: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        calls = list(_needed(calls, outputs))
        lines = [f"def run({', '.join(_name(ref) for ref in inputs)}):"]
        dropped = _last_uses(calls, outputs)
        varied = _varied(calls)
        for i, call in enumerate(calls):
            lines += [f"    {line}" for line in self._lines(call, varied)]
            if dropped[i]:
                lines.append(f"    {' = '.join(f'v{number}' for number in dropped[i])} = None")
        lines.append(f"    return {self._text(outputs)}")
        self.source = "\n".join(lines)
        exec(compile(self.source, "<nnx.compile>", "exec"), self._globals)
        self.run: Callable[..., Any] = self._globals["run"]

    def _lines(self, call: Call, varied: set[int]) -> Iterator[str]:
        if call.overwrites is not None:
            wanted, may = call.overwrites
            wanted.may_overwrite = may
            if id(wanted) in varied:
                yield f"{self._constant(wanted, 'w')}.may_overwrite = {may}"
        arguments = [*map(self._text, call.args)]
        arguments += [f"{name}={self._text(value)}" for name, value in call.options.items()]
        text = ", ".join(arguments)
        function = _name(call.function) if type(call.function) is Ref else self._constant(_direct(call.function), "f")
        target = _target(call.output)
        if call.fallback is None:
            yield f"{target} = {function}({text})"
        else:
            yield f"made = {function}({text})"
            yield "if type(made) is not tuple:"
            yield f"    made = {self._constant(call.fallback, 'f')}({text})"
            yield f"{target} = made"
            yield "made = _ = None"  # they hold residuals and parameters, which then cannot be updated in place

    def _text(self, value: Any) -> str:
        """Return an expression for a value."""
        kind = type(value)
        if kind is Ref:
            return _name(value)
        if kind in _LITERALS:
            return repr(value)
        if kind is list:  # made anew at each call, as the function would
            return f"[{', '.join(map(self._text, value))}]"
        if kind is dict:
            return "{" + ", ".join(f"{self._text(k)}: {self._text(v)}" for k, v in value.items()) + "}"
        if isinstance(value, tuple) and _has_refs(value):
            items = "".join(f"{self._text(item)}, " for item in value)
            return f"({items})" if kind is tuple else f"{self._constant(kind, 'f')}({items})"
        return self._constant(value, "c")

    def _constant(self, value: Any, letter: str) -> str:
        name = self._names.get(id(value))
        if name is None:
            name = self._names[id(value)] = f"{letter}{len(self._names)}"
            self._globals[name] = value  # which keeps the value, and so its id
        return name


def _name(ref: Ref) -> str:
    return f"v{ref.number}"


def _direct(function: Any) -> Any:
    """Return what a primitive without kernels calls on plain arrays: one call less."""
    is_bare = isinstance(function, Primitive) and not function.may_have_kernels
    return function.function if is_bare else function


def _target(output: Any) -> str:
    if isinstance(output, tuple):
        return "(" + "".join(f"{_target(part)}, " for part in output) + ")" if output else "_"
    return "_" if output is None else _name(output)


def _refs(value: Any) -> Iterator[int]:
    return (leaf.number for leaf in nested_leaves(value) if type(leaf) is Ref)


def _has_refs(value: Any) -> bool:
    return next(_refs(value), None) is not None


def _uses(call: Call) -> set[int]:
    return {*_refs(call.function), *_refs(call.args), *_refs(call.options)}


def _needed(calls: Sequence[Call], outputs: Any) -> Iterator[Call]:
    """Leave out the calls whose results nobody uses; those without a result are made for what they do."""
    used = set(_refs(outputs))
    kept = []
    for call in reversed(calls):
        if call.is_effect or not used.isdisjoint(_refs(call.output)):
            kept.append(call)
            used |= _uses(call)
    return reversed(kept)


def _varied(calls: Sequence[Call]) -> set[int]:
    """Return the ids of what pullbacks are told by that are called more than once, and not told the same each time."""
    told: dict[int, set[bool]] = {}
    for call in calls:
        if call.overwrites is not None:
            wanted, may = call.overwrites
            told.setdefault(id(wanted), set()).add(may)
    return {key for key, found in told.items() if len(found) > 1}


def _last_uses(calls: Sequence[Call], outputs: Any) -> list[list[int]]:
    """Return for each call the variables that nobody uses after it."""
    later = set(_refs(outputs))
    dropped = []
    for call in reversed(calls):
        here = _uses(call) | set(_refs(call.output))
        dropped.append(sorted(here - later))
        later |= here
    return dropped[::-1]

"""The tape: what was done, in order. Its order is the topological order, so the way back needs no sort."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from nnx.autodiff.primitive import Carrier, Primitive, Pullback
from nnx.autodiff.traced import TracedArray
from nnx.backend import add_into
from nnx.errors import TraceError
from nnx.types import Array

# A transform that starts inside another has the higher level. Only the order counts, so one counter serves all
# threads: next() on it is atomic.
_levels = itertools.count(1)


def next_level() -> int:
    """Return the level of a transform that starts now."""
    return next(_levels)


def escaped(primitive: Primitive[..., Any]) -> TraceError:
    """Return the error for a traced array that outlived its transform."""
    return TraceError(
        f"{primitive!r} met a traced array of a transform that has ended; return what you need from the "
        "differentiated function instead of storing it, or store nnx.stop_gradient(x)"
    )


def refuse_hidden(primitive: Primitive[..., Any], output: Any, level: int) -> None:
    """Raise TraceError if an output came from a traced array that is not among the arguments."""
    for part in output if isinstance(output, (tuple, list)) else (output,):
        if type(part) is TracedArray and part.trace.level >= level:
            raise TraceError(
                f"{primitive!r} uses a traced array that is not among its arguments, so that its derivative would "
                "be lost; pass it as an argument"
            )


def refuse_escaped(output: Any) -> None:
    """Raise TraceError if what a function returned is traced by a transform inside it, which has ended."""
    if type(output) is TracedArray and output.trace.closed:
        raise TraceError(
            "the function returned a traced array of a transform that has ended inside it; return what you need from "
            "that transform, with has_aux=True, or store nnx.stop_gradient(x)"
        )


_Node = tuple[Pullback, list[int], Any]


class Tape:
    """The record of one reverse-mode transform.

    A node is (pullback, inputs, output): the places of its inputs on the tape, 0 for what is not traced by it,
    and the place of its output, or a tuple of places.
    """

    __slots__ = ("closed", "count", "level", "nodes")

    def __init__(self) -> None:
        self.level = next_level()
        self.nodes: list[_Node] = []
        self.count = 0
        self.closed = False

    def trace(self, value: Array) -> TracedArray:
        """Return ``value`` as a new place on the tape."""
        self.count = index = self.count + 1
        return TracedArray(value, self, index)

    def record(self, primitive: Primitive[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Run a primitive of which an argument is traced here, and append its node."""
        if self.closed:
            raise escaped(primitive)
        values = []
        inputs = []
        nested = False
        for arg in args:  # the hottest code of the library
            if type(arg) is not TracedArray:
                values.append(arg)
                inputs.append(0)
            elif arg.trace is self:
                value = arg.value
                values.append(value)
                inputs.append(arg.entry)
                if type(value) is TracedArray:
                    nested = True
            else:
                values.append(arg)
                inputs.append(0)
                nested = True
        forward = primitive.forward if nested else primitive.forward_of_plain
        if primitive.natives and not nested:
            native = primitive.natives.get(type(values[0]))
            forward = forward if native is None else native.forward
        output, pullback = forward(inputs, *values, **options)
        is_many = isinstance(output, (tuple, list))
        if (is_many or type(output) is TracedArray) and primitive.may_close_over_traced:
            refuse_hidden(primitive, output, self.level)
        if is_many:
            traced = [self.trace(value) for value in output]
            self.nodes.append((pullback, inputs, tuple(t.entry for t in traced)))
            return type(output)(*traced) if hasattr(output, "_fields") else type(output)(traced)
        self.count = index = self.count + 1
        self.nodes.append((pullback, inputs, index))
        return TracedArray(output, self, index)

    def walk(self, seeds: Sequence[tuple[int, Array]], *, consume: bool = False) -> list[Any]:
        """Carry cotangents from the end of the tape to its start.

        Parameters
        ----------
        seeds : sequence of (place, cotangent)
        consume : bool
            Drop each node as it is passed, and with it what it keeps in memory.

        Returns
        -------
        cotangents : list
            By place; ``None`` where nothing arrived. Places of intermediate results are emptied on the way.
        """
        cotangents: list[Any] = [None] * (self.count + 1)
        owned = bytearray(self.count + 1)  # where the array is the walk's own, and may be written into
        nodes = self.nodes if consume else self.nodes.copy()
        places: Sequence[int] = [place for place, _ in seeds]
        parts: Sequence[Any] = [cotangent for _, cotangent in seeds]
        are_own = False
        while True:
            if len(parts) < len(places):  # parameters left at their default add to the end
                raise TraceError(
                    f"expected a pullback that returns {len(places)} cotangents, one an argument, got {len(parts)}"
                )
            for place, arrived in zip(places, parts):  # noqa: B905  a keyword would cost as much as the loop
                if place and arrived is not None:  # place 0 is for what nobody differentiates for
                    held = cotangents[place]
                    if held is None:
                        cotangents[place] = arrived
                        owned[place] = are_own
                    elif owned[place]:
                        cotangents[place] = add_into(held, arrived)
                    else:
                        cotangents[place] = held + arrived
                        owned[place] = 1
            found = _next(nodes, cotangents)
            if found is None:
                return cotangents
            pullback, places, output, cotangent = found
            if isinstance(pullback, Carrier):
                parts, are_own = pullback.carry(cotangent, bool(owned[output]))
            else:
                parts, are_own = pullback(cotangent), False
                if not isinstance(parts, (tuple, list)):
                    raise TraceError(
                        "expected a pullback that returns a tuple with a cotangent for each argument, got "
                        f"{type(parts).__name__}"
                    )


def _next(nodes: list[_Node], cotangents: list[Any]) -> tuple[Pullback, list[int], Any, Any] | None:
    """Return the last node that a cotangent has arrived at, with the cotangent, which it takes from its place."""
    while nodes:
        pullback, inputs, output = nodes.pop()
        if type(output) is int:
            cotangent = cotangents[output]
            if cotangent is not None:
                cotangents[output] = None
                return pullback, inputs, output, cotangent
        elif any(cotangents[place] is not None for place in output):
            parts = tuple([cotangents[place] for place in output])
            for place in output:
                cotangents[place] = None
            return pullback, inputs, output, parts
    return None

"""The tape: what was done, in order. Its order is the topological order, so the backward pass needs no sort."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nnx.autodiff.namespace import TracedNamespace, traced_namespace
from nnx.autodiff.primitives import Primitive, Pullback, Wanted
from nnx.autodiff.traced import Trace, TracedArray, refuse_other_thread
from nnx.backend import add_into
from nnx.errors import TraceError, UsageError
from nnx.types import Array


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


_Node = tuple[Pullback, Wanted, Any, bool]


class Tape(Trace):
    """The record of one reverse-mode transform.

    A node is (pullback, inputs, output, fresh): the slots of its inputs, 0 for what is not traced here, the slot of its
    output, or a tuple of slots, and whether its cotangents are new memory. The inputs are what the rule was given as
    ``wanted``: so the flags cost nothing, and a walk can narrow them.
    """

    __slots__ = ("consumed", "count", "nodes")

    def __init__(self) -> None:
        super().__init__()
        self.nodes: list[_Node] = []
        self.count = 0
        self.consumed = False

    def trace(self, value: Array) -> TracedArray:
        """Return ``value`` in a new slot."""
        self.count = slot = self.count + 1
        return TracedArray(value.alias() if type(value) is TracedArray else value, self, slot)

    def constant(self, value: Array) -> TracedArray:
        """Return a value that no node leads to."""
        return self.trace(value)

    def namespace(self, array: TracedArray) -> TracedNamespace:
        """Return the functions for an array of this trace."""
        return traced_namespace(array.untraced)

    def record(self, primitive: Primitive[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Run a primitive of which an argument is traced here, and append its node."""
        if self.closed:
            raise escaped(primitive)
        values = []
        inputs = Wanted()
        inputs.may_overwrite = False
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
                refuse_other_thread(self, arg.trace)
                values.append(arg.alias())
                inputs.append(0)
                nested = True
        fresh = primitive.fresh
        if nested:
            output, pullback = primitive.rule(inputs, *values, **options)
        elif primitive.may_have_kernels:
            output, pullback, fresh = primitive.run_rule(inputs, values, options)
        else:
            output, pullback = primitive.plain_rule(inputs, *values, **options)
        is_many = isinstance(output, (tuple, list))
        if (is_many or type(output) is TracedArray) and primitive.may_hide_traced:
            refuse_hidden(primitive, output, self.level)
        if is_many:
            traced = [self.trace(value) for value in output]
            self.nodes.append((pullback, inputs, tuple([t.entry for t in traced]), fresh))
            return type(output)(*traced) if hasattr(output, "_fields") else type(output)(traced)
        self.count = slot = self.count + 1
        self.nodes.append((pullback, inputs, slot, fresh))
        return TracedArray(output, self, slot)

    def walk(
        self,
        seeds: Sequence[tuple[int, Array]],
        *,
        consume: bool = False,
        unwanted: Iterable[int] = (),
        on_leaf: tuple[Sequence[int], Callable[[int, Any, bool], None]] | None = None,
    ) -> tuple[list[Any], bytearray]:
        """Carry cotangents from the end of the tape to its start.

        Parameters
        ----------
        seeds : sequence of (slot, cotangent)
        consume : bool
            Drop each node as it is passed, and with it its residuals. A second walk is then an error.
        unwanted : slots
            Leaves whose cotangents nobody needs: what leads to them alone is not computed. Needs ``consume``.
        on_leaf : (slots, callable), optional
            Called as ``callable(slot, cotangent, owned)`` as soon as the cotangent of one of these leaves is final.

        Returns
        -------
        cotangents : list
            By slot; ``None`` where nothing arrived. Slots of intermediate results are emptied on the way.
        owned : bytearray
            By slot; whether nobody but the walk holds the array, so that it may be written into.
        """
        if self.consumed:
            raise UsageError(
                "the backward pass has freed what it needs already; run the function again before the next one"
            )
        self.consumed = consume
        cotangents: list[Any] = [None] * (self.count + 1)
        owned = bytearray(self.count + 1)
        nodes = self.nodes if consume else self.nodes.copy()
        if unwanted:
            _narrow(nodes, self.count, unwanted)
        finals = _finals(nodes, on_leaf[0]) if on_leaf else []
        slots: Sequence[int]
        parts: Sequence[Any]
        slots, parts = map(list, zip(*seeds, strict=True)) if seeds else ([], [])
        owns = False
        while True:
            for slot, part in zip(slots, parts):  # noqa: B905  a keyword would cost as much as the loop
                if slot and part is not None:  # slot 0 is for what nobody differentiates for
                    held = cotangents[slot]
                    if held is None:
                        cotangents[slot] = part
                        owned[slot] = owns
                    elif owned[slot]:
                        cotangents[slot] = add_into(held, part)
                    else:
                        cotangents[slot] = held + part
                        owned[slot] = 1
            if finals and on_leaf:
                _report(finals, len(nodes), cotangents, owned, on_leaf[1])
            # Find the last node that a cotangent has arrived at, and take the cotangent from its slot.
            while nodes:
                pullback, slots, output, fresh = nodes.pop()
                if type(output) is int:
                    cotangent = cotangents[output]
                    if cotangent is not None:
                        cotangents[output] = None
                        own = owned[output]
                        break
                else:
                    cotangent = tuple([cotangents[slot] for slot in output])
                    if any(part is not None for part in cotangent):
                        for slot in output:
                            cotangents[slot] = None
                        own = 0
                        break
            else:
                if finals and on_leaf:
                    _report(finals, 0, cotangents, owned, on_leaf[1])
                return cotangents, owned
            slots.may_overwrite = fresh and own == 1
            parts = pullback(cotangent)
            if not isinstance(parts, (tuple, list)) or len(parts) < len(slots):  # defaults add to the end of slots
                raise _wrong_pullback(parts, len(slots))
            owns = fresh or (own == 1 and _is_handed_on(cotangent, parts))


def _is_handed_on(cotangent: Any, parts: Sequence[Any]) -> bool:
    """Tell whether a pullback did no more than to hand the cotangent to one argument alone."""
    if len(parts) == 2:
        first, second = parts
        return (second is None and first is cotangent) or (first is None and second is cotangent)
    return len(parts) == 1 and parts[0] is cotangent


def _narrow(nodes: Sequence[_Node], count: int, unwanted: Iterable[int]) -> None:
    """Take from the inputs of all nodes the slots that lead to unwanted leaves alone."""
    needed = bytearray(b"\x01") * (count + 1)
    for slot in unwanted:
        needed[slot] = 0
    for _, inputs, output, _ in nodes:
        is_needed = 0
        for i, slot in enumerate(inputs):
            if slot and needed[slot]:
                is_needed = 1
            else:
                inputs[i] = 0
        if not is_needed:
            for slot in (output,) if type(output) is int else output:
                needed[slot] = 0


def _finals(nodes: Sequence[_Node], leaves: Sequence[int]) -> list[tuple[int, int]]:
    """Return for each leaf the number of the node after which its cotangent is final, the first that uses it.

    They are in the order of the numbers. A leaf that no node uses has what arrived as a seed.
    """
    left = dict.fromkeys(leaves)
    finals = []
    for number, (_, inputs, _, _) in enumerate(nodes):
        for slot in inputs:
            if slot in left:
                del left[slot]
                finals.append((number, slot))
    return finals + [(len(nodes), slot) for slot in left]


def _report(
    finals: list[tuple[int, int]],
    passed: int,
    cotangents: list[Any],
    owned: bytearray,
    on_leaf: Callable[[int, Any, bool], None],
) -> None:
    """Tell of the leaves that are final now that all nodes from a number on are passed."""
    while finals and finals[-1][0] >= passed:
        slot = finals.pop()[1]
        on_leaf(slot, cotangents[slot], bool(owned[slot]))


def _wrong_pullback(parts: Any, count: int) -> TraceError:
    if not isinstance(parts, (tuple, list)):
        return TraceError(
            f"expected a pullback that returns a tuple with a cotangent for each argument, got {type(parts).__name__}"
        )
    return TraceError(f"expected a pullback that returns {count} cotangents, one an argument, got {len(parts)}")

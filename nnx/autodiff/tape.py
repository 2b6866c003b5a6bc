"""The tape: the calls in the order in which they were made.

That order is topological, so the backward pass needs no sort and no recursion: it walks the list from its end.
"""

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
    # The values that the rule saw belong to lower levels. An output of this level or a higher one was computed from a
    # traced array that the function closed over.
    for part in output if isinstance(output, (tuple, list)) else (output,):
        if type(part) is TracedArray and part.trace.level >= level:
            raise TraceError(
                f"{primitive!r} uses a traced array that is not among its arguments, so that its derivative would "
                "be lost; pass it as an argument"
            )


def refuse_escaped(output: Any) -> None:
    """Raise TraceError if a function returned an array traced by a transform inside it, which has ended."""
    if type(output) is TracedArray and output.trace.closed:
        raise TraceError(
            "the function returned a traced array of a transform that has ended inside it; return what you need from "
            "that transform, with has_aux=True, or store nnx.stop_gradient(x)"
        )


_Node = tuple[Pullback, Wanted, Any, bool]


class Tape(Trace):
    """The record of one reverse-mode transform.

    A node is (pullback, inputs, output, fresh): ``inputs`` are the slots of its arguments, 0 where an argument is not
    traced here; ``output`` is a slot, or a tuple of slots; ``fresh`` says whether its cotangents are new memory. A rule
    is given the very list of inputs as ``wanted``: a slot is true, 0 is false, so the flags cost nothing, and a walk
    can narrow them after the rule has run.
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
        """Return a constant as a traced array: a slot that no node writes to."""
        return self.trace(value)

    def namespace(self, array: TracedArray) -> TracedNamespace:
        """Return the functions for an array of this trace."""
        return traced_namespace(array.untraced)

    def record(self, primitive: Primitive[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Run a primitive with an argument traced here, and append its node."""
        if self.closed:
            raise escaped(primitive)
        values = []
        inputs = Wanted()
        inputs.may_overwrite = False
        within: Trace | None = None  # the innermost of the traces around this one that a value belongs to
        # The hottest code of the library: no helper is called, and a single loop gathers all that is needed.
        for arg in args:
            if type(arg) is not TracedArray:
                values.append(arg)
                inputs.append(0)
            elif arg.trace is self:
                value = arg.value
                values.append(value)
                inputs.append(arg.entry)
                if type(value) is TracedArray and (within is None or value.trace.level > within.level):
                    within = value.trace
            else:
                refuse_other_thread(self, arg.trace)
                if arg.trace.level > self.level:  # it started later, inside this one, and takes the call
                    return arg.trace.record(primitive, args, options)
                # Traced by an enclosing transform: a constant here. The alias keeps the residual from changing when
                # the function later writes into the array with += or the like.
                values.append(arg.alias())
                inputs.append(0)
                if within is None or arg.trace.level > within.level:
                    within = arg.trace
        # Where an enclosing transform has to see the calls, the rule runs on primitives; otherwise on kernels, or
        # directly on the library.
        fresh = primitive.fresh
        if within is not None:
            output, pullback, fresh = within.run_rule(primitive, inputs, values, options)
        elif primitive.may_have_kernels:
            output, pullback, fresh = primitive.run_rule(inputs, values, options)
        else:
            output, pullback = primitive.plain_rule(inputs, *values, **options)
        is_many = isinstance(output, (tuple, list))
        if (is_many or type(output) is TracedArray) and primitive.may_hide_traced:
            refuse_hidden(primitive, output, self.level)
        if is_many:
            # Named tuples, such as those of linalg, keep their type.
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
            Drop each node, and with it its residuals, once it has been passed. A second walk is then an error.
        unwanted : slots
            Leaves whose cotangents are not needed: nothing is computed for them alone. Needs ``consume``, since the
            nodes are changed.
        on_leaf : (slots, callable), optional
            Called as ``callable(slot, cotangent, owned)`` as soon as the cotangent of one of these leaves is final.

        Returns
        -------
        cotangents : list
            By slot; ``None`` where none arrived. Slots of intermediate results are emptied as the walk passes them.
        owned : bytearray
            By slot; whether only the walk holds the array, so that it may be written into.
        """
        if self.consumed:
            raise UsageError(
                "the backward pass has already freed what it needs; run the function again before the next one"
            )
        self.consumed = consume
        cotangents: list[Any] = [None] * (self.count + 1)
        owned = bytearray(self.count + 1)
        nodes = self.nodes if consume else self.nodes.copy()  # popped from below: that is what frees the residuals
        if unwanted:
            _narrow(nodes, unwanted)
        finals = _finals(nodes, on_leaf[0]) if on_leaf else []
        slots: Sequence[int]
        parts: Sequence[Any]
        slots, parts = map(list, zip(*seeds, strict=True)) if seeds else ([], [])
        owns = False  # the seeds are the caller's
        while True:
            # Accumulate. The first cotangent of a slot is stored as it is; the second makes a sum in new memory, into
            # which all further ones are added in place.
            for slot, part in zip(slots, parts):  # noqa: B905  a keyword would cost as much as the loop
                if slot and part is not None:  # slot 0 stands for arguments that are constants here
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
            # Find the last node whose output has a cotangent, and take the cotangent out of its slot. It is complete:
            # all nodes that use the output come later on the tape, and have been passed.
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
            # A pullback that is not fresh might return the cotangent itself, or a view, for two arguments: none of them
            # may then be written into, nor may the cotangent.
            slots.may_overwrite = fresh and own == 1
            parts = pullback(cotangent)
            if not isinstance(parts, (tuple, list)) or len(parts) < len(slots):  # defaults add to the end of slots
                raise _wrong_pullback(parts, len(slots))
            owns = fresh or (
                own == 1
                and (parts[0] is None or parts[-1] is None or len(parts) == 1)  # most that are not, without a call
                and _is_handed_on(cotangent, parts)
            )


def _is_handed_on(cotangent: Any, parts: Sequence[Any]) -> bool:
    """Return whether a pullback only passed the cotangent on, unchanged and to a single argument."""
    if len(parts) == 2:
        first, second = parts
        return (second is None and first is cotangent) or (first is None and second is cotangent)
    return len(parts) == 1 and parts[0] is cotangent


def _narrow(nodes: Sequence[_Node], unwanted: Iterable[int]) -> None:
    """Clear the input slots of all nodes that lead to nothing but unwanted leaves."""
    dead = set(unwanted)  # grows in the order of the tape: a slot is settled before the nodes that use it
    for _, inputs, output, _ in nodes:
        if dead.isdisjoint(inputs):
            continue
        for i, slot in enumerate(inputs):
            if slot in dead:
                inputs[i] = 0
        if not any(inputs):
            dead.update((output,) if type(output) is int else output)


def _finals(nodes: Sequence[_Node], leaves: Sequence[int]) -> list[tuple[int, int]]:
    """Return for each leaf the index of the first node that uses it: once that is passed, its cotangent is final.

    The pairs (index, slot) are sorted by index. A leaf that no node uses is final once the seeds have arrived.
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
    """Report the leaves that are final now that all nodes from index ``passed`` on have been passed."""
    while finals and finals[-1][0] >= passed:
        slot = finals.pop()[1]
        on_leaf(slot, cotangents[slot], bool(owned[slot]))


def _wrong_pullback(parts: Any, count: int) -> TraceError:
    if not isinstance(parts, (tuple, list)):
        return TraceError(
            f"expected a pullback that returns a tuple with a cotangent for each argument, got {type(parts).__name__}"
        )
    return TraceError(f"expected a pullback that returns {count} cotangents, one per argument, got {len(parts)}")

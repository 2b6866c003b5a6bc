"""The forward trace: every traced array carries its tangent, and nothing is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nnx.autodiff.namespace import TracedNamespace, traced_namespace
from nnx.autodiff.primitives import Primitive, as_wanted
from nnx.autodiff.tape import escaped, refuse_hidden
from nnx.autodiff.traced import Trace, TracedArray, refuse_other_thread
from nnx.autodiff.transforms import vjp
from nnx.backend import is_floating, namespace
from nnx.types import Array


class Dual(Trace):
    """One forward-mode transform. The entry of a traced array is its tangent, or ``None`` for zero."""

    __slots__ = ()

    def trace(self, value: Array, tangent: Array | None) -> Any:
        """Return ``value`` with its tangent; a value without one stays a constant."""
        if tangent is None or not is_floating(value):
            return value
        if type(value) is TracedArray:  # an alias, so that += on the new array leaves the enclosing trace's as it is
            value = value.alias()
        return TracedArray(value, self, tangent.alias() if type(tangent) is TracedArray else tangent)

    def constant(self, value: Array) -> TracedArray:
        """Return a value whose tangent is zero."""
        return TracedArray(value, self, None)

    def namespace(self, array: TracedArray) -> TracedNamespace:
        """Return the functions for an array of this trace."""
        return traced_namespace(array.untraced)

    def record(self, primitive: Primitive[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Run a primitive with an argument traced here, on the values and on the tangents."""
        if self.closed:
            raise escaped(primitive)
        values: list[Any] = []
        tangents: list[Any] = []
        nested = False
        for arg in args:  # as hot as the loop in Tape.record, and written out for the same reason
            if type(arg) is not TracedArray:
                values.append(arg)
                tangents.append(None)
            elif arg.trace is self:
                value, tangent = arg.value, arg.entry
                values.append(value)
                tangents.append(tangent)
                if type(value) is TracedArray or type(tangent) is TracedArray:
                    nested = True
            else:
                refuse_other_thread(self, arg.trace)
                if arg.trace.level > self.level:  # it started later, inside this one, and takes the call
                    return arg.trace.record(primitive, args, options)
                values.append(arg.alias())
                tangents.append(None)
                nested = True
        # Inside another transform the rule must run on primitives, which that transform can see.
        rule = primitive.tangent_rule if nested else primitive.plain_tangent_rule
        if rule is not None:
            output, tangent = rule(values, tangents, options)
        elif primitive.retraced:
            return primitive.function(*args, **options)
        else:
            output, tangent = transposed_again(primitive, values, tangents, options)
        if primitive.may_hide_traced:
            refuse_hidden(primitive, output, self.level)
            refuse_hidden(primitive, tangent, self.level)
        if isinstance(output, (tuple, list)):
            parts = tangent if tangent is not None else [None] * len(output)
            traced = [self.trace(value, part) for value, part in zip(output, parts, strict=True)]
            return type(output)(*traced) if hasattr(output, "_fields") else type(output)(traced)
        return self.trace(output, tangent)


def transposed_again(
    primitive: Primitive[..., Any], values: Sequence[Any], tangents: Sequence[Any], options: dict[str, Any]
) -> tuple[Any, Any]:
    """Return output and tangent of a primitive that has only a pullback, by transposing the pullback."""
    # A pullback is linear in its cotangent: g -> J^T g. Its own pullback therefore maps a tangent t to J t, wherever
    # it is taken; zeros will do.
    wanted = as_wanted([tangent is not None for tangent in tangents])
    output, pullback = primitive.rule(wanted, *values, **options)

    def of_cotangent(g: Any) -> dict[str, Any]:
        found = pullback(g)
        return {str(i): found[i] for i, want in enumerate(wanted) if want and found[i] is not None}

    is_many = isinstance(output, (tuple, list))
    zeros = tuple(namespace(o).zeros_like(o) for o in output) if is_many else namespace(output).zeros_like(output)
    reached, transpose = vjp(of_cotangent, zeros)
    (tangent,) = transpose({path: tangents[int(path)] for path in reached})
    return output, tangent

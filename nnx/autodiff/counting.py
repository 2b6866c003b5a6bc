"""Count the floating-point operations of a function while it runs."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.library import LibraryFunction
from nnx.autodiff.namespace import TracedNamespace, traced_namespace
from nnx.autodiff.primitives import Primitive
from nnx.autodiff.tape import escaped
from nnx.autodiff.traced import Trace, TracedArray, refuse_other_thread
from nnx.backend import is_array, is_floating
from nnx.types import Array


class FlopCounter(Trace):
    """Counts multiplications and additions of products, two for each multiply-add, of what is computed with its arrays.

    Products are those of matrices, convolutions and attention. Of a primitive, its rule of ``with_flops`` says how many
    there are; one without a rule is looked into, down to the matrix products of the standard. All else counts nothing.

    Attributes
    ----------
    flops : int
        The count so far.
    """

    __slots__ = ("flops",)

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0

    def trace(self, value: Any) -> Any:
        """Return a value whose operations are counted, with its arrays of floating-point numbers traced."""
        if isinstance(value, (tuple, list)):
            parts = map(self.trace, value)
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        return TracedArray(value, self, None) if is_array(value) and is_floating(value) else value

    def constant(self, value: Array) -> TracedArray:
        """Return a value, traced here."""
        return TracedArray(value, self, None)

    def namespace(self, array: TracedArray) -> TracedNamespace:
        """Return the functions for an array of this trace."""
        return traced_namespace(array.untraced)

    def record(self, primitive: Primitive[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Count a primitive and run it on the values."""
        if self.closed:
            raise escaped(primitive)
        values = []
        for arg in args:
            if type(arg) is TracedArray and arg.trace is not self:
                refuse_other_thread(self, arg.trace)
                if arg.trace.level > self.level:  # of a transform that started inside
                    return arg.trace.record(primitive, args, options)
            values.append(arg.value if type(arg) is TracedArray and arg.trace is self else arg)
        rule = _OF_LIBRARIES.get(primitive.name) if isinstance(primitive, LibraryFunction) else primitive.flops
        if rule is None and primitive.counts_inside:
            return primitive.function(*args, **options)
        output = primitive(*values, **options)
        if rule is not None:
            self.flops += rule(output, *values, **options)
        return self.trace(output)


def _of_matmul(output: Array, x: Array, y: Array) -> int:
    return 2 * math.prod(output.shape) * x.shape[-1]


def _of_vecdot(output: Array, x: Array, y: Array, axis: int = -1) -> int:
    return 2 * math.prod(output.shape) * x.shape[axis]


_OF_LIBRARIES: dict[str, Callable[..., int]] = {
    "matmul": _of_matmul,
    "linalg.matmul": _of_matmul,
    "vecdot": _of_vecdot,
    "linalg.vecdot": _of_vecdot,
}

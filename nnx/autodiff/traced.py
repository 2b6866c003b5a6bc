"""The traced array: a value together with the trace that records its operations."""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, NoReturn
from weakref import ReferenceType

from nnx.autodiff.hints import replacement
from nnx.backend import device_of, foreign_function, operator_of_ufunc
from nnx.errors import MissingRuleError, TraceError, UsageError
from nnx.types import Array, Device, DType, Shape

# A transform that starts inside another has the higher level. Only the order matters, so one counter serves all
# threads: next() on it is atomic.
_levels = itertools.count(1)


class Trace:
    """A running transform, such as a tape, and what may be done with its arrays.

    The methods are policies: a transform refuses whatever would lose a derivative. A trace that has no derivative to
    lose is more permissive; see :mod:`nnx.testing`.

    Attributes
    ----------
    level : int
        Of two traces the one with the higher level started later, inside the other.
    closed : bool
        Whether the transform has ended.
    thread : int
        The thread that it runs in.
    shown : list
        Weak references to its arrays that may show the memory of others; see :mod:`nnx.autodiff.views`.
    is_record : bool
        Whether it records calls to repeat them, and is no transform: below it there are no derivatives to lose.
    """

    __slots__ = ("closed", "level", "shown", "thread")

    is_record: ClassVar[bool] = False

    def __init__(self) -> None:
        self.level = next(_levels)
        self.closed = False
        self.thread = threading.get_ident()
        self.shown: list[ReferenceType[TracedArray]] = []

    def record(self, primitive: Any, args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Run a primitive with an argument traced here."""
        raise NotImplementedError

    def run_rule(self, primitive: Any, wanted: Any, values: Sequence[Any], options: dict[str, Any]) -> Any:
        """Run the rule of a primitive for a trace inside this one; return output, pullback, and whether it is fresh.

        Some values are traced here, and none by a trace inside this one.
        """
        return *primitive.rule(wanted, *values, **options), primitive.fresh

    def call(self, function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Call a function without a derivative; asked only of a trace that is a record."""
        raise NotImplementedError

    def constant(self, value: Array) -> Any:
        """Return what an array traced here becomes when a constant is written into it."""
        raise NotImplementedError

    def read(self, array: TracedArray, name: str, kind: str) -> Any:
        """Turn an array into a Python number by its method ``name``."""
        raise TraceError(
            f"a traced array cannot become {kind}: its derivative would be lost; use xp.where for a choice, or "
            "nnx.stop_gradient(x) for the value alone"
        )

    def write(self, array: TracedArray, key: Any, value: Any) -> None:
        """Assign to elements of an array."""
        raise TraceError(
            "item assignment on a traced array would lose its derivative; build the result with xp.where, "
            "xp.concat or xp.stack"
        )

    def hand_over(self, array: TracedArray, name: str, options: dict[str, Any]) -> Any:
        """Give an array's memory to another library by its method ``name``."""
        raise TraceError("a traced array cannot be handed to another library; compute with xp = nnx.namespace(x)")

    def move(self, array: TracedArray, device: Device, stream: Any) -> TracedArray:
        """Move an array to another device. Refused: its pullback would have to move the cotangent back."""
        raise MissingRuleError("a traced array stays on its device; move the arrays before differentiating")

    def namespace(self, array: TracedArray) -> Any:
        """Return the functions for an array, ``array.__array_namespace__()``."""
        raise NotImplementedError

    def wrap_constant(self, output: Any) -> Any:
        """Return the result of an operator without a derivative, such as ``<``."""
        return output


def refuse_other_thread(here: Trace, other: Trace) -> None:
    """Raise TraceError if arrays of transforms in two threads meet: their levels say nothing about nesting."""
    if here.thread != other.thread:
        raise TraceError(
            "a traced array met one of a transform in another thread, where its derivative would be lost; pass "
            "nnx.stop_gradient(x), or differentiate in one thread"
        )


class TracedArray:
    """An array under differentiation. It has the operators, attributes and methods of the array API standard.

    The operators are added by :mod:`nnx.autodiff.operators`, which needs this class first.

    Attributes
    ----------
    value : array
        A plain array, or an array traced by an enclosing transform.
    trace : Trace
        The transform that it belongs to.
    entry : object
        What the trace records for it: the slot, counted from 1, on a tape; the tangent in forward mode.
    """

    __slots__ = ("__weakref__", "entry", "trace", "value")

    namespace_varies: ClassVar[bool] = True  # the namespace depends on the value: see nnx.namespace
    __hash__ = None  # type: ignore[assignment]  # == compares elements

    def __init__(self, value: Array, trace: Trace, entry: Any) -> None:
        self.value = value
        self.trace = trace
        self.entry = entry

    def alias(self) -> TracedArray:
        """Return another object for the same array, which ``+=`` and the like on this one do not change."""
        return TracedArray(self.value, self.trace, self.entry)

    @property
    def untraced(self) -> Array:
        """The plain array underneath all transforms."""
        value = self.value
        while type(value) is TracedArray:
            value = value.value
        return value

    @property
    def shape(self) -> Shape:
        """The length of each axis."""
        return self.value.shape

    @property
    def dtype(self) -> DType:
        """The dtype object of the library."""
        return self.value.dtype

    @property
    def device(self) -> Device:
        """The device object of the library."""
        return device_of(self.untraced)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.value.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.value.shape)

    def to_device(self, device: Device, /, *, stream: Any = None) -> TracedArray:
        """Move to another device, where the trace allows it."""
        return self.trace.move(self, device, stream)

    def __array_namespace__(self, /, *, api_version: str | None = None) -> Any:
        return self.trace.namespace(self)

    def __len__(self) -> int:
        return self._length()

    def __iter__(self) -> Iterator[Any]:
        # Python's default, by index until an IndexError, would never end where indices are clamped, as in JAX.
        return (self[(i, ...)] for i in range(self._length()))  # type: ignore[index]

    def _length(self) -> int:
        if not self.shape:
            raise TypeError("an array of shape () has no length, and cannot be iterated over")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"TracedArray({self.value!r})"

    def __copy__(self) -> TracedArray:
        return self.alias()

    def __deepcopy__(self, memo: Any) -> TracedArray:
        return self.alias()  # a deep copy would copy the transform too, and lose the derivative

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TraceError("a traced array cannot be pickled: its derivative would be lost; pickle nnx.stop_gradient(x)")

    def __setitem__(self, key: Any, value: Any) -> None:
        self.trace.write(self, key, value)

    def __getattr__(self, name: str) -> NoReturn:
        raise MissingRuleError(
            f"a traced array has no attribute {name!r}: it has those of the array API standard; {replacement(name)}, "
            "with xp = nnx.namespace(x)"
        )

    def __dlpack__(
        self, /, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        options = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        return self.trace.hand_over(self, "__dlpack__", options)

    def __dlpack_device__(self, /) -> Any:
        return self.trace.hand_over(self, "__dlpack_device__", {})

    # The protocols by which other libraries let a foreign object take part in their functions.

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        raise foreign_call("a function of NumPy")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        # Operators of NumPy's arrays and scalars, such as np.float32(2) * x, arrive here too: only these are computed.
        name = operator_of_ufunc(ufunc, method, options)
        if name is None:
            raise foreign_call(f"numpy.{ufunc.__name__}")
        return OPERATORS[name](*inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> NoReturn:
        raise foreign_call(f"numpy.{function.__name__}")

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = foreign_function(function)
        if name is None:
            return NotImplemented
        error = foreign_call(name)
        # torch turns a TypeError, which a TraceError is, from an operator such as += into NotImplemented, and Python
        # would then ask the traced array for its reflected operator.
        raise UsageError(error.message) if name.endswith("_") else error


OPERATORS: dict[str, Callable[..., Any]] = {}
"""The operators as functions of their operands in order; filled by :mod:`nnx.autodiff.operators`."""


def foreign_call(what: str) -> TraceError:
    """Return the error for a traced array passed to a function outside its namespace."""
    return TraceError(
        f"{what} met a traced array and would lose its derivative; call the same function of the namespace of all "
        "arrays that meet, xp = nnx.namespace(x, weight, ...), or nnx.stop_gradient(x) where no derivative is wanted"
    )


_KINDS = {
    "__float__": "float",
    "__int__": "int",
    "__bool__": "bool",
    "__index__": "an index",
    "__complex__": "complex",
}


def _reader(name: str, kind: str) -> Callable[[TracedArray], Any]:
    return lambda self: self.trace.read(self, name, kind)


for _name, _kind in _KINDS.items():
    setattr(TracedArray, _name, _reader(_name, _kind))

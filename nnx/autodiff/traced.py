"""The traced array: a value together with the trace that records what is done with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol

from nnx.backend import device_of, is_array
from nnx.errors import MissingRuleError, TraceError
from nnx.tree import tree_split
from nnx.types import Array, Device, DType, Shape, Tree

if TYPE_CHECKING:
    from nnx.autodiff.primitive import Primitive


class Trace(Protocol):
    """One transform that is under way, such as a tape.

    Attributes
    ----------
    level : int
        Of two traces the one with the higher level started later, inside the other.
    closed : bool
        Whether the transform has ended.
    """

    level: int
    closed: bool

    def record(self, primitive: Primitive[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Run a primitive of which an argument is traced here."""


class OpenTrace:
    """A trace that has no derivative to lose: its arrays may be read, written and moved. See :mod:`nnx.testing`."""

    level = 0
    closed = False

    def record(self, primitive: Primitive[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Run a primitive of which an argument is traced here."""
        raise NotImplementedError

    def wrap(self, output: Any) -> Any:
        """Return an output with its arrays traced here."""
        raise NotImplementedError

    def method(self, array: TracedArray, name: str, *args: Any, **options: Any) -> Any:
        """Call a method of the plain array behind a traced one."""
        raise NotImplementedError

    def namespace(self) -> Any:
        """Return the namespace of the arrays that are traced here."""
        raise NotImplementedError


class TracedArray:
    """An array under differentiation. It has the operators, attributes and methods of the array API standard.

    The operators, ``__array_namespace__``, ``T`` and ``mT`` are added by :mod:`nnx.autodiff.namespace`, which needs
    this class first.

    Attributes
    ----------
    value : array
        What it stands for: a plain array, or an array traced by an enclosing transform.
    trace : Trace
        The transform that it belongs to.
    entry : object
        What the trace knows of it: a tape its place, counted from 1; a forward trace its tangent.
    """

    __slots__ = ("entry", "trace", "value")

    namespace_varies: ClassVar[bool] = True  # the namespace depends on the value: see nnx.namespace
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: Array, trace: Trace, entry: Any) -> None:
        self.value = value
        self.trace = trace
        self.entry = entry

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
        """Refuse to move: a pullback would have to move back."""
        if isinstance(self.trace, OpenTrace):
            return self.trace.method(self, "to_device", device, stream=stream)
        raise MissingRuleError("a traced array stays on its device; move the arrays before differentiating")

    def __len__(self) -> int:
        return self._length()

    def __iter__(self) -> Iterator[Any]:
        # Python's own way, by index until an IndexError, would never end where an index is clamped, as in JAX.
        return (self[(i, ...)] for i in range(self._length()))  # type: ignore[index]

    def _length(self) -> int:
        if not self.shape:
            raise TypeError("an array of shape () has no length, and cannot be iterated over")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"TracedArray({self.value!r})"

    def __copy__(self) -> TracedArray:
        return self

    def __deepcopy__(self, memo: Any) -> TracedArray:
        return self  # a copy would be of its transform too, and lose the derivative

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TraceError("a traced array cannot be pickled: its derivative would be lost; pickle nnx.stop_gradient(x)")

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(self.trace, OpenTrace):
            return self.trace.method(self, "__setitem__", key, value)
        raise TraceError(
            "item assignment on a traced array would lose its derivative; build the result with xp.where, "
            "xp.concat or xp.stack"
        )

    def __getattr__(self, name: str) -> NoReturn:
        raise MissingRuleError(
            f"a traced array has no attribute {name!r}: it has those of the array API standard; functions are in "
            "xp = x.__array_namespace__()"
        )

    # What follows is how other libraries ask a foreign object to take part in their functions.

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        raise _foreign("a function of NumPy")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        # NumPy's arrays and scalars bring their operators here too, and those are welcome.
        function = OPERATORS.get(_NUMPY_OPERATORS.get(ufunc.__name__, ""))
        if function is None or method != "__call__" or options:
            raise _foreign(f"numpy.{ufunc.__name__}")
        return function(*inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> NoReturn:
        raise _foreign(f"numpy.{function.__name__}")

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if type(function).__name__.endswith("_descriptor"):  # an operator of a tensor, which then asks this class
            return NotImplemented
        raise _foreign(f"torch.{getattr(function, '__name__', function)}")


OPERATORS: dict[str, Callable[..., Any]] = {}
"""The operators as functions of their operands in order; filled by :mod:`nnx.autodiff.namespace`."""

_NUMPY_OPERATORS = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "truediv",
    "power": "pow",
    "matmul": "matmul",
    "floor_divide": "floordiv",
    "remainder": "mod",
    "bitwise_and": "and",
    "bitwise_or": "or",
    "bitwise_xor": "xor",
    "left_shift": "lshift",
    "right_shift": "rshift",
    "equal": "eq",
    "not_equal": "ne",
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
}


def _foreign(what: str) -> TraceError:
    return TraceError(
        f"{what} met a traced array and would lose its derivative; call the same function of the namespace of all "
        "arrays that meet, xp = nnx.namespace(x, weight, ...), or nnx.stop_gradient(x) where no derivative is wanted"
    )


def stop_gradient(x: Tree) -> Tree:
    """Return the plain array behind a traced one: a constant to every transform.

    Parameters
    ----------
    x : array, module or tree of them
        Traced or not; a plain array is returned itself, a tree or module as a copy whose arrays are plain.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> float(nnx.grad(lambda x: x * nnx.stop_gradient(x))(np.asarray(3.0)))
    3.0
    """
    if type(x) is TracedArray:
        return x.untraced
    if is_array(x):
        return x
    leaves, rebuild = tree_split(x)  # a module's copy shares its buffers, which tree_map would not
    return rebuild([leaf.untraced if type(leaf) is TracedArray else leaf for leaf in leaves.values()])


_REFUSED = {
    "__float__": "float",
    "__int__": "int",
    "__bool__": "bool",
    "__index__": "an index",
    "__complex__": "complex",
}


def _refuse(name: str, kind: str) -> Callable[[TracedArray], Any]:
    def refuse(self: TracedArray) -> Any:
        if isinstance(self.trace, OpenTrace):
            return self.trace.method(self, name)
        raise TraceError(
            f"a traced array cannot become {kind}: its derivative would be lost; use xp.where for a choice, or "
            "nnx.stop_gradient(x) for the value alone"
        )

    return refuse


def _dlpack(
    self: TracedArray, /, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
) -> Any:
    return _hand_over(self, "__dlpack__", stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)


def _dlpack_device(self: TracedArray, /) -> Any:
    return _hand_over(self, "__dlpack_device__")


def _hand_over(array: TracedArray, name: str, **options: Any) -> Any:
    if isinstance(array.trace, OpenTrace):
        return array.trace.method(array, name, **options)
    raise TraceError("a traced array cannot be handed to another library; compute with xp = nnx.namespace(x)")


for _name, _kind in _REFUSED.items():
    setattr(TracedArray, _name, _refuse(_name, _kind))
TracedArray.__dlpack__ = _dlpack  # type: ignore[attr-defined]
TracedArray.__dlpack_device__ = _dlpack_device  # type: ignore[attr-defined]

"""The building blocks of the kinds of rule: small functions, and the residuals kept for them."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from nnx.autodiff.traced import TracedArray
from nnx.backend import multiply_into, namespace
from nnx.types import Array, DType, Shape


class Spec(NamedTuple):
    """Shape and dtype of an argument."""

    shape: Shape
    dtype: DType


Reads = Sequence[tuple[str, Any]]
"""Name and default of parameters of the standard."""


class Part:
    """The derivative for one argument: a small function, and where the values of its parameters come from.

    Attributes
    ----------
    function : callable
    is_new : bool
        Whether it returns a new array, which may be written into, instead of one of its arguments.
    takes_xp : bool
        Whether its first parameter is ``xp``.
    sources : tuple
        For each further parameter except ``g``: -1 for the output, the index of an argument, or the name of an option.
    reads : list of (str, object)
        Name and default of the parameters that it shares with the standard's function.
    pick : callable
        Takes the arguments and the output as one tuple and returns the values of the parameters; for elementwise
        functions, which have no options.
    """

    __slots__ = ("defaults", "function", "is_new", "pick", "reads", "sources", "takes_xp")

    def __init__(self, function: Callable[..., Any] | str, parameters: Sequence[str]) -> None:
        names, defaults = ([function], {}) if isinstance(function, str) else parameters_of(function)
        self.function = _itself if isinstance(function, str) else function
        self.is_new = self.function is not _itself
        self.takes_xp = "xp" in names
        names = [name for name in names if name not in ("xp", "g")]
        # Parameter names are resolved to indices once, here, since pick() runs in every recorded call.
        indices: dict[str, Any] = {"y": -1} | {name: i for i, name in enumerate(parameters)}
        self.sources = tuple(indices.get(name, name) for name in names)
        self.pick = _picker(self.sources)
        self.defaults = {indices.get(name, name): (name, defaults.get(name)) for name in names}
        self.reads = [(name, defaults.get(name)) for name in names if name not in ("y", "spec")]

    def keep(self, output: Any, args: Sequence[Any], options: dict[str, Any], spec: Spec) -> list[Any]:
        """Return the values of the named parameters: the residuals."""
        kept = []
        for source in self.sources:
            if source == -1:
                kept.append(output)
            elif source == "spec":
                kept.append(spec)
            elif isinstance(source, int) and source < len(args):
                kept.append(_own(args[source]))
            else:
                name, default = self.defaults[source]
                kept.append(_own(options.get(name, default)))
        return kept

    def times(self, array: Array, kept: tuple[Any, ...], may_write: bool = False) -> Array:
        """Return an array, such as a cotangent, times the factor that the small function returns.

        The product is in new memory or, with ``may_write``, in that of the array.
        """
        factor = self.function(common_namespace(array, kept), *kept) if self.takes_xp else self.function(*kept)
        # A new factor holds the product, not the array, which belongs to the tape. Except a Python complex: in front of
        # a NumPy scalar it would make the product a Python number.
        if self.is_new and type(factor) is not complex:
            return multiply_into(factor, array)
        return multiply_into(array, factor) if may_write else array * factor

    def apply(self, array: Array, *values: Any) -> Any:
        """Call the small function on the values; a namespace comes first if it takes one."""
        return self.function(common_namespace(array, values), *values) if self.takes_xp else self.function(*values)


def _own(value: Any) -> Any:
    """Return a copy of the lists in a value, such as axes: the caller may change them after the call."""
    kind = type(value)
    if kind is list:
        return list(map(_own, value))
    return tuple(map(_own, value)) if kind is tuple else value


def reads_of(parts: Sequence[Any]) -> Reads:
    """Return the parameters of the standard that the small functions of these parts read."""
    return [pair for part in parts if isinstance(part, Part) for pair in part.reads]


def parameters_of(function: Any) -> tuple[list[str], dict[str, Any]]:
    """Return the names and defaults of the parameters; inspect.signature would take 50 times as long at import."""
    code, values = function.__code__, function.__defaults__ or ()
    names = list(code.co_varnames[: code.co_argcount])
    return names, dict(zip(names[len(names) - len(values) :], values, strict=True))


def _itself(value: Any) -> Any:
    return value


def _picker(sources: tuple[Any, ...]) -> Callable[[tuple[Any, ...]], Any]:
    if len(sources) == 1 and isinstance(sources[0], int):
        return itemgetter(slice(sources[0], sources[0] + 1 or None))  # of one index it would return no tuple
    return itemgetter(*sources) if sources else lambda values: ()


def common_namespace(array: Array, values: Sequence[Any]) -> Any:
    """Return the namespace of an array and other values: under nested transforms any one of them may be traced."""
    for value in values:
        if type(value) is TracedArray:
            return namespace(value)
    return namespace(array)

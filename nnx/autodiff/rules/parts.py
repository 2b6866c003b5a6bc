"""What the kinds of rule are made of: the small functions, and what is kept for them."""

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
    """The derivative for one argument: a small function, and where its parameters come from.

    Attributes
    ----------
    function : callable
    is_new : bool
        Whether it returns a new array, into which may be written, and not one that it was given.
    takes_xp : bool
        Whether its first parameter is ``xp``.
    sources : tuple
        For each further parameter but ``g``: -1 for the output, the number of an argument, or a name.
    reads : list of (str, object)
        Name and default of the parameters that are the standard's.
    pick : callable
        Takes the arguments and the output as one tuple, and returns the values of parameters that are all among them.
    """

    __slots__ = ("defaults", "function", "is_new", "pick", "reads", "sources", "takes_xp")

    def __init__(self, function: Callable[..., Any] | str, parameters: Sequence[str]) -> None:
        names, defaults = ([function], {}) if isinstance(function, str) else parameters_of(function)
        self.function = _itself if isinstance(function, str) else function
        self.is_new = self.function is not _itself
        self.takes_xp = "xp" in names
        names = [name for name in names if name not in ("xp", "g")]
        places: dict[str, Any] = {"y": -1} | {name: i for i, name in enumerate(parameters)}
        self.sources = tuple(places.get(name, name) for name in names)
        self.pick = _picker(self.sources)
        self.defaults = {places.get(name, name): (name, defaults.get(name)) for name in names}
        self.reads = [(name, defaults.get(name)) for name in names if name not in ("y", "spec")]

    def keep(self, output: Any, args: Sequence[Any], options: dict[str, Any], spec: Spec) -> list[Any]:
        """Return the values of the named parameters: all that the pullback holds in memory."""
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
        """Return an array, such as a cotangent, times what the small function gives.

        The product is in new memory, or with ``may_write`` in that of the array.
        """
        factor = self.function(common_namespace(array, kept), *kept) if self.takes_xp else self.function(*kept)
        if self.is_new and type(factor) is not complex:  # in front, Python's would win over a number of NumPy
            return multiply_into(factor, array)
        return multiply_into(array, factor) if may_write else array * factor

    def apply(self, array: Array, *values: Any) -> Any:
        """Call the small function, with the namespace of ``array`` and the values in front where it asks for it."""
        return self.function(common_namespace(array, values), *values) if self.takes_xp else self.function(*values)


def _own(value: Any) -> Any:
    """Return a value that no later change to the lists in it reaches, such as axes."""
    kind = type(value)
    if kind is list:
        return list(map(_own, value))
    return tuple(map(_own, value)) if kind is tuple else value


def reads_of(parts: Sequence[Any]) -> Reads:
    """Return what the small functions among some parts read, of the parameters of the standard."""
    return [pair for part in parts if isinstance(part, Part) for pair in part.reads]


def parameters_of(function: Any) -> tuple[list[str], dict[str, Any]]:
    """Return the names of the parameters, and the defaults: what inspect.signature does in 50 times the time."""
    code, values = function.__code__, function.__defaults__ or ()
    names = list(code.co_varnames[: code.co_argcount])
    return names, dict(zip(names[len(names) - len(values) :], values, strict=True))


def _itself(value: Any) -> Any:
    return value


def _picker(sources: tuple[Any, ...]) -> Callable[[tuple[Any, ...]], Any]:
    if len(sources) == 1:
        (place,) = sources
        return lambda values: (values[place],)
    return itemgetter(*sources) if sources else lambda values: ()


def common_namespace(array: Array, values: Sequence[Any]) -> Any:
    """Return the namespace of an array and what may be traced beside it: in a nested transform, either may be."""
    for value in values:
        if type(value) is TracedArray:
            return namespace(value)
    return namespace(array)

"""One run of a function with some arguments traced on a tape, and from its output back to their gradients."""

import operator
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from weakref import ref

from nnx.autodiff.tape import Tape, refuse_escaped
from nnx.autodiff.traced import Trace, TracedArray, foreign_call
from nnx.backend import asarray, copied, dtype_name, is_array, is_floating, namespace
from nnx.backend.links import gradient_of
from nnx.errors import ArgumentError, DTypeError, ShapeError, TraceError
from nnx.tree import Rebuild, leaves_like, tree_leaves, tree_map, tree_split
from nnx.types import Array, DType, Tree

_Source = tuple[int, Sequence[Array], Rebuild | None, int, Sequence[str]]
"""What was traced of one argument: the slot of its first array (the others follow), the arrays, the function that
builds its gradient (``None`` if the argument is itself an array), its index, and the paths of the arrays.

The traced arrays themselves are not kept: an operator such as ``+=`` may have changed what they stand for.
"""

_FLOATING: dict[type, set[DType]] = {}
"""For each type of plain array the floating-point dtypes seen so far, which checked_leaf need not check again."""


class Recording:
    """A function called once with the arguments at some indices traced.

    Attributes
    ----------
    tape : Tape
    arguments : int
        How many arrays are traced: their slots on the tape come first.
    output
        What the function returned, traced.
    """

    __slots__ = ("_sources", "arguments", "output", "tape")

    def __init__(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], indices: Sequence[int]
    ) -> None:
        self.tape = tape = Tape()
        self._sources: list[_Source] = []
        moved = list(args)
        for index in indices:
            primal = args[index]
            known = _FLOATING.get(type(primal))
            if known is not None and primal.dtype in known:  # a single array, as most primals are, needs no tree
                tape.count = slot = tape.count + 1
                moved[index] = TracedArray(primal, tape, slot)
                self._sources.append((slot, (primal,), None, index, ("",)))
                continue
            leaves, rebuild = tree_split(primal)
            arrays, values, first = [], [], tape.count + 1
            for path, leaf in leaves.items():
                known = _FLOATING.get(type(leaf))
                if known is None or leaf.dtype not in known:
                    leaf = checked_leaf(leaf, index, path)
                tape.count = slot = tape.count + 1  # Tape.trace, written out: a call per parameter is a cost
                arrays.append(TracedArray(leaf, tape, slot))
                values.append(leaf)
            moved[index] = rebuild(arrays)
            self._sources.append((first, values, _form(primal, leaves, rebuild), index, list(leaves)))
        self.arguments = tape.count
        try:
            self.output = function(*moved, **kwargs)
        except Exception as error:
            leave(error, tape)
            raise
        finally:
            tape.closed = True  # from here on, whatever escaped from the function is an error to use

    def seeds(self, reached: dict[str, Any], cotangent: Tree) -> list[tuple[int, Array]]:
        """Return where the backward pass starts: (slot, cotangent) for each traced array of the output."""
        given = leaves_like(cotangent, reached, "a cotangent", "the output")
        return [
            (leaf.entry, checked_cotangent(array, leaf))
            for leaf, array in zip(reached.values(), given, strict=True)
            if type(leaf) is TracedArray and leaf.trace is self.tape
        ]

    def pull_back(
        self,
        seeds: Sequence[tuple[int, Array]],
        *,
        consume: bool,
        wanted: Sequence[bool] | None = None,
        on_leaf: Callable[[str, Array], Any] | None = None,
    ) -> tuple[Any, ...]:
        """Return the gradient of each argument: arrays that belong to the caller, zeros where no cotangent arrived."""
        cotangents, owned = self.tape.walk(
            seeds,
            consume=consume,
            unwanted=() if wanted is None or not consume else self._slots_of_others(wanted),
            on_leaf=None if on_leaf is None else self._telling(on_leaf),
        )
        gathered: list[Any] = []
        for i, (first, values, form, index, paths) in enumerate(self._sources):
            if wanted is not None and not wanted[i]:
                gathered.append(None)
                continue
            found = []
            for slot, value in enumerate(values, first):
                cotangent = cotangents[slot]
                if cotangent is None:
                    cotangent = namespace(value).zeros_like(value)
                else:
                    # A pullback that returned the wrong thing is found here at the latest.
                    if cotangent.__class__ is not value.__class__ or (
                        cotangent.shape != value.shape
                        or (cotangent.dtype is not value.dtype and cotangent.dtype != value.dtype)
                    ):
                        _refuse_misfit(cotangent, value, _where(index, paths[slot - first]))
                    # It may be the caller's cotangent, a residual, or a constant of a rule: copied, so that the
                    # caller may write into the gradient.
                    if not owned[slot]:
                        cotangent = own(cotangent)
                found.append(cotangent)
            gathered.append(found[0] if form is None else form(found))
        return tuple(gathered)

    def _slots_of_others(self, wanted: Sequence[bool]) -> list[int]:
        """Return the slots of the arguments that are not wanted."""
        sources = zip(self._sources, wanted, strict=True)
        return [slot for source, want in sources if not want for slot in range(source[0], source[0] + len(source[1]))]

    def _telling(self, on_leaf: Callable[[str, Array], Any]) -> tuple[list[int], Callable[[int, Any, bool], None]]:
        """Return which slots a walk reports, and a function that calls ``on_leaf`` with the path of the array."""
        named = {}
        for first, values, _, index, paths in self._sources:
            for slot, (value, path) in enumerate(zip(values, paths, strict=True), first):
                if len(self._sources) > 1:
                    path = f"{index}.{path}" if path else str(index)
                named[slot] = path, value

        def tell(slot: int, cotangent: Any, owned: bool) -> None:
            path, value = named[slot]
            on_leaf(path, namespace(value).zeros_like(value) if cotangent is None else cotangent)

        return list(named), tell


def own(x: Array) -> Array:
    """Return a copy of an array that others may hold, for a caller who may write into it."""
    if type(x) is TracedArray:
        return x.trace.call(copied, (x,), {}) if x.trace.is_record else x.alias()
    return copied(x)


def _form(primal: Tree, leaves: dict[str, Any], rebuild: Rebuild) -> Rebuild:
    """Return :func:`gradient_form` of a primal that has been split already."""
    if hasattr(type(primal), "__tree_split__"):
        owner = ref(primal)  # weak: a pullback that is kept must not keep the model alive
        return lambda cotangents: gradient_of(owner, dict(zip(leaves, cotangents, strict=True)))
    return rebuild if "" in leaves else gradient_form(primal)


def checked_leaf(leaf: Any, number: int, path: str) -> Array:
    """Return the array of a leaf; it must be of a floating-point dtype."""
    array = asarray(leaf) if type(leaf) is float else leaf
    if is_array(array) and is_floating(array):
        if type(array) is TracedArray:
            return array.alias()  # so that += on either leaves the other as it is
        _FLOATING.setdefault(type(array), set()).add(array.dtype)
        return array
    where = _where(number, path)
    if not is_array(array):
        raise DTypeError(f"{where}: expected an array of floating-point numbers, got {type(leaf).__name__}")
    raise DTypeError(
        f"{where}: expected a floating-point dtype, got {dtype_name(array.dtype)}; "
        "convert it with xp.astype, or leave it out of argnums"
    )


def gradient_form(primal: Tree) -> Rebuild:
    """Return the function that builds the gradient of a primal: a tree like it, with dicts for modules."""
    return tree_split(primal, objects_as_dicts=True)[1]


def checked_cotangent(array: Any, like: Array) -> Array:
    """Return a cotangent for an array of the output, after checking its library, shape and dtype."""
    if not is_array(array):
        raise DTypeError(f"expected a cotangent that is an array, as the output, got {type(array).__name__}")
    namespace(like.value if type(like) is TracedArray else like, array)
    if tuple(array.shape) != tuple(like.shape):
        raise ShapeError(f"expected a cotangent of shape {tuple(like.shape)}, as the output, got {tuple(array.shape)}")
    if array.dtype != like.dtype:
        raise DTypeError(
            f"expected a cotangent of dtype {dtype_name(like.dtype)}, as the output, got {dtype_name(array.dtype)}"
        )
    return array


def _where(number: int, path: str) -> str:
    return f"argument {number}" + (f" at {path!r}" if path else "")


def _refuse_misfit(cotangent: Any, value: Array, where: str) -> None:
    if not is_array(cotangent):
        what = f"an array, got {type(cotangent).__name__}"
    elif tuple(cotangent.shape) != tuple(value.shape):
        what = f"shape {tuple(value.shape)}, got {tuple(cotangent.shape)}"
    elif cotangent.dtype != value.dtype:
        what = f"dtype {dtype_name(value.dtype)}, got {dtype_name(cotangent.dtype)}"
    else:
        return  # only the class differs, as between NumPy's scalars and its 0-d arrays
    raise TraceError(
        f"the cotangent of {where}: expected {what}; the pullback of a primitive that it came through returns the "
        "wrong one, which nnx.testing.check_gradients(primitive, ...) finds"
    )


def untrace(tree: Tree, tape: Tape) -> Tree:
    """Return a tree in which the arrays traced by a transform are replaced by their values."""
    if type(tree) is TracedArray:
        return untraced_leaf(tree, tape)
    return tree_map(lambda leaf: untraced_leaf(leaf, tape), tree)


def leave(error: Exception, trace: Trace) -> None:
    """Remove the arrays that a transform traces from an exception that leaves it.

    A traced array cannot be pickled, but an exception in a worker process has to be, or its message is lost.

    Raises
    ------
    TraceError
        Instead of another library's message about a traced array. JAX, unlike NumPy and torch, has no protocol by which
        a foreign object could refuse to be passed to its functions.
    """
    if isinstance(error, TypeError) and f"{TracedArray.__module__}.{TracedArray.__qualname__}" in str(error):
        found = foreign_call("a function of another library")
        found.__dict__.update(vars(error))  # the module's path, if it has passed one
        raise found from error

    def value_of(leaf: Any) -> Any:
        return leaf.value if type(leaf) is TracedArray and leaf.trace is trace else leaf

    def changed(tree: Tree) -> bool:
        return any(value_of(leaf) is not leaf for leaf in tree_leaves(tree))

    with suppress(Exception):  # the original exception matters more than any failure in here
        if changed(error.args):
            error.args = tree_map(value_of, error.args)
        for name, held in list(vars(error).items()):
            if changed(held):
                setattr(error, name, tree_map(value_of, held))


def untraced_leaf(leaf: Any, trace: Trace) -> Any:
    """Return the value of an array that a transform traces, anything else as it is; refuse escaped arrays."""
    if type(leaf) is TracedArray and leaf.trace is trace:
        return leaf.value
    refuse_escaped(leaf)
    return leaf


def as_argnums(argnums: Any) -> tuple[int, ...]:
    """Return argnums as a tuple of Python integers."""
    try:
        return (operator.index(argnums),) if hasattr(argnums, "__index__") else tuple(map(operator.index, argnums))
    except TypeError:
        raise ArgumentError(f"expected argnums to be an integer or several of them, got {argnums!r}") from None


def indices_of(numbers: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Return argnums as indices from 0 among ``count`` arguments."""
    for number in numbers:
        if not -count <= number < count:
            raise ArgumentError(f"argnums has {number}, but the function was called with {count} arguments")
    indices = tuple(number % count for number in numbers)
    if len(set(indices)) < len(indices):
        raise ArgumentError(f"expected every argument once in argnums, got {tuple(numbers)}")
    return indices


def split_aux(output: Any) -> tuple[Any, Any]:
    """Split what a function with has_aux returned into output and aux."""
    if not isinstance(output, tuple) or len(output) != 2:
        raise ArgumentError(f"with has_aux expected a function that returns (output, aux), got {type(output).__name__}")
    return output

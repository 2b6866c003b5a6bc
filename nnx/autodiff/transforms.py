"""The transforms: ``vjp``, ``grad`` and ``value_and_grad``, over arrays, trees and modules."""

import operator
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.tape import Tape, refuse_escaped
from nnx.autodiff.traced import Trace, TracedArray
from nnx.backend import asarray, dtype_name, is_array, is_floating, is_real_floating, namespace, one_like
from nnx.errors import ArgumentError, DTypeError, ShapeError, TraceError
from nnx.tree import Rebuild, leaves_like, tree_flatten, tree_map, tree_split
from nnx.types import Array, Tree

_Source = tuple[list[TracedArray], Rebuild, int, list[str]]
"""The arrays that were traced of one argument, what makes its gradient of theirs, its number, and their paths."""


def vjp(function: Callable[..., Any], *primals: Tree, has_aux: bool = False) -> tuple[Any, ...]:
    r"""Run a function and return its output with its pullback, the vector-Jacobian product.

    For :math:`y = f(x)` with Jacobian :math:`J` the pullback maps a cotangent :math:`\bar y` to
    :math:`\bar x = J^T \bar y`. For complex arrays it is the transpose too, not the conjugate transpose.

    Parameters
    ----------
    function : callable
        Array API code; returns an array or a tree of arrays.
    *primals : arrays, modules or trees of them
        What to differentiate for. Python floats become float32 arrays of the selected backend.
    has_aux : bool
        The function returns ``(output, aux)``; ``aux`` is handed through and not differentiated.

    Returns
    -------
    output
        What the function returns.
    pullback : callable
        Takes a cotangent like the output; returns a tuple with one cotangent for each primal: a tree like the
        primal, and for a module a dict from dotted path to array. It may be called more than once. The arrays may
        share memory with each other and with the cotangent: do not write into them.
    aux
        Only with ``has_aux``.

    Raises
    ------
    DTypeError
        If a primal is not of a floating-point dtype.
    ShapeError
        From the pullback, if the cotangent has another shape than the output.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> y, pullback = nnx.vjp(lambda x: x**2, np.asarray([1.0, 2.0]))
    >>> pullback(np.asarray([1.0, 10.0]))
    (array([ 2., 40.]),)
    """
    tape, output, sources = _record(function, primals, {}, range(len(primals)))
    if has_aux:
        output, aux = _with_aux(output)
    reached = {"": output} if type(output) is TracedArray else tree_flatten(output)

    def pullback(cotangent: Tree, *, consume: bool = False) -> tuple[Any, ...]:
        return _gather(tape.walk(_seeds(reached, cotangent, tape), consume=consume), sources)

    value = _untrace(output, tape)
    return (value, pullback, _untrace(aux, tape)) if has_aux else (value, pullback)


def value_and_grad(
    function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """Return a function that returns the value of ``function`` and its gradient.

    Parameters
    ----------
    function : callable
        Returns one floating-point number: an array of shape ``()``.
    argnums : int or sequence of int
        Which positional arguments to differentiate for: arrays, modules or trees of them.
    has_aux : bool
        The function returns ``(value, aux)``, and the new one ``((value, aux), gradient)``.

    Returns
    -------
    callable
        Takes the arguments of ``function``; returns ``(value, gradient)``. The gradient is a tree like the
        argument, for a module a dict from dotted path to array; for a sequence of argnums, a tuple of them. Its arrays
        may share memory with each other: do not write into them.

    Raises
    ------
    ShapeError
        If the value is not of shape ``()``.
    DTypeError
        If the value, or what it is differentiated for, is not of a floating-point dtype.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> value, gradient = nnx.value_and_grad(lambda x: (x - 2.0) ** 2 + 1.0)(np.asarray(5.0))
    >>> float(value), float(gradient)
    (10.0, 6.0)
    """
    is_one = hasattr(argnums, "__index__")
    numbers = as_argnums(argnums)

    def differentiated(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        tape, output, sources = _record(function, args, kwargs, places_of(numbers, len(args)))
        if has_aux:
            output, aux = _with_aux(output)
        is_own = type(output) is TracedArray and output.trace is tape  # else it is a constant
        value = output.value if is_own else output
        refuse_escaped(value)
        one = _one(value)
        found = _gather(tape.walk([(output.entry, one)] if is_own else [], consume=True), sources)
        gradients = found[0] if is_one else found
        return ((value, _untrace(aux, tape)) if has_aux else value), gradients

    return differentiated


def grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """Return a function that returns the gradient of ``function``; see :func:`value_and_grad`.

    With ``has_aux`` it returns ``(gradient, aux)``.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> second = nnx.grad(nnx.grad(lambda x: x**3))
    >>> float(second(np.asarray(2.0)))
    12.0
    """
    both = value_and_grad(function, argnums, has_aux)

    def differentiated(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return differentiated


def _record(
    function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], places: Sequence[int]
) -> tuple[Tape, Any, list[_Source]]:
    """Call a function with the arguments at some places traced; return the tape, the output, and what was traced."""
    tape = Tape()
    sources = []
    moved = list(args)
    for place in places:
        primal = args[place]
        leaves, rebuild = tree_split(primal)
        arrays = [tape.trace(checked_leaf(leaf, place, path)) for path, leaf in leaves.items()]
        moved[place] = rebuild(arrays)
        sources.append((arrays, _form(primal, leaves, rebuild), place, list(leaves)))
    try:
        output = function(*moved, **kwargs)
    finally:
        tape.closed = True
    return tape, output, sources


def _gather(found: Sequence[Any], sources: Sequence[_Source]) -> tuple[Any, ...]:
    """Return the cotangents that a walk found for what was traced, zeros where none arrived."""
    gathered = []
    for arrays, form, number, paths in sources:
        cotangents = [found[array.entry] for array in arrays]
        for i, cotangent in enumerate(cotangents):
            value = arrays[i].value
            if cotangent is None:
                cotangents[i] = namespace(value).zeros_like(value)
            elif not hasattr(cotangent, "shape") or cotangent.shape != value.shape or cotangent.dtype != value.dtype:
                raise _misfit(cotangent, value, f"argument {number}" + (f" at {paths[i]!r}" if paths[i] else ""))
        gathered.append(form(cotangents))
    return tuple(gathered)


def checked_leaf(leaf: Any, number: int, path: str) -> Array:
    """Return the array of a leaf; it must be of a floating-point dtype."""
    array = asarray(leaf) if type(leaf) is float else leaf
    if is_array(array) and is_floating(array):
        return array
    where = f"argument {number}" + (f" at {path!r}" if path else "")
    if not is_array(array):
        raise DTypeError(f"{where}: expected an array of floating-point numbers, got {type(leaf).__name__}")
    raise DTypeError(
        f"{where}: expected a floating-point dtype, got {dtype_name(array.dtype)}; "
        "convert it with xp.astype, or leave it out of argnums"
    )


def _form(primal: Tree, leaves: dict[str, Any], rebuild: Rebuild) -> Rebuild:
    """Return :func:`gradient_form` of a primal that was split already, as quickly as can be."""
    if hasattr(type(primal), "__tree_split__"):
        return lambda cotangents: dict(zip(leaves, cotangents, strict=True))
    return rebuild if "" in leaves else gradient_form(primal)


def gradient_form(primal: Tree) -> Rebuild:
    """Return what makes the gradient of a primal from cotangents: a tree like it, with dicts for modules."""
    return tree_split(primal, objects_as_dicts=True)[1]


def _misfit(cotangent: Any, value: Array, where: str) -> TraceError:
    if not is_array(cotangent):
        what = f"an array, got {type(cotangent).__name__}"
    elif tuple(cotangent.shape) != tuple(value.shape):
        what = f"shape {tuple(value.shape)}, got {tuple(cotangent.shape)}"
    else:
        what = f"dtype {dtype_name(value.dtype)}, got {dtype_name(cotangent.dtype)}"
    return TraceError(
        f"the cotangent of {where}: expected {what}; the pullback of a primitive that it came through returns the "
        "wrong one, which nnx.testing.check_gradients(primitive, ...) finds"
    )


def _seeds(reached: dict[str, Any], cotangent: Tree, tape: Tape) -> list[tuple[int, Array]]:
    given = leaves_like(cotangent, reached, "a cotangent", "the output")
    seeds = []
    for leaf, array in zip(reached.values(), given, strict=True):
        if type(leaf) is TracedArray and leaf.trace is tape:
            if not is_array(array):
                raise DTypeError(f"expected a cotangent that is an array, as the output, got {type(array).__name__}")
            namespace(leaf.value, array)
            if tuple(array.shape) != tuple(leaf.shape):
                raise ShapeError(
                    f"expected a cotangent of shape {tuple(leaf.shape)}, as the output, got {tuple(array.shape)}"
                )
            if array.dtype != leaf.dtype:
                raise DTypeError(
                    f"expected a cotangent of dtype {dtype_name(leaf.dtype)}, as the output, "
                    f"got {dtype_name(array.dtype)}"
                )
            seeds.append((leaf.entry, array))
    return seeds


def _untrace(tree: Tree, tape: Tape) -> Tree:
    if type(tree) is TracedArray:
        return untraced_leaf(tree, tape)
    return tree_map(lambda leaf: untraced_leaf(leaf, tape), tree)


def untraced_leaf(leaf: Any, trace: Trace) -> Any:
    """Return the value of what a transform traces, and all else as it is, unless it has escaped from another."""
    if type(leaf) is TracedArray and leaf.trace is trace:
        return leaf.value
    refuse_escaped(leaf)
    return leaf


def _one(value: Any) -> Array:
    if not is_array(value) or tuple(value.shape) != ():
        got = f"shape {tuple(value.shape)}" if is_array(value) else type(value).__name__
        raise ShapeError(
            f"expected a function that returns one number, an array of shape (), got {got}; "
            "take a mean or sum, or use nnx.vjp with a cotangent"
        )
    if not is_real_floating(value):
        raise DTypeError(
            f"expected a function that returns a real floating-point number, got {dtype_name(value.dtype)}"
        )
    return one_like(value)


def as_argnums(argnums: Any) -> tuple[int, ...]:
    """Return the numbers of arguments as a tuple of Python integers."""
    try:
        return (operator.index(argnums),) if hasattr(argnums, "__index__") else tuple(map(operator.index, argnums))
    except TypeError:
        raise ArgumentError(f"expected argnums to be an integer or several of them, got {argnums!r}") from None


def places_of(numbers: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Return the places that argnums mean among that many arguments."""
    for number in numbers:
        if not -count <= number < count:
            raise ArgumentError(f"argnums has {number}, but the function was called with {count} arguments")
    places = tuple(number % count for number in numbers)
    if len(set(places)) < len(places):
        raise ArgumentError(f"expected every argument once in argnums, got {tuple(numbers)}")
    return places


def _with_aux(output: Any) -> tuple[Any, Any]:
    if not isinstance(output, tuple) or len(output) != 2:
        raise ArgumentError(f"with has_aux expected a function that returns (output, aux), got {type(output).__name__}")
    return output

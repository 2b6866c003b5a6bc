"""Forward mode: ``jvp`` and ``linearize``."""

from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.dual import Dual
from nnx.autodiff.recording import checked_leaf, gradient_form, leave, own, untraced_leaf
from nnx.autodiff.traced import TracedArray
from nnx.autodiff.transforms import vjp
from nnx.backend import dtype_name, is_array, is_floating, is_view, namespace
from nnx.errors import DTypeError, ShapeError
from nnx.tree import leaves_like, tree_leaves, tree_map, tree_split
from nnx.types import Array, Tree


def jvp(function: Callable[..., Any], primals: Sequence[Tree], tangents: Sequence[Tree]) -> tuple[Any, Any]:
    r"""Run a function and return its output and the output's tangent, the Jacobian-vector product.

    For :math:`y = f(x)` with Jacobian :math:`J` the tangent of the output is :math:`\dot y = J \dot x`.

    Parameters
    ----------
    function : callable
        Array API code; returns an array or a tree of arrays.
    primals : sequence of arrays, modules or trees of them
        The arguments.
    tangents : sequence of trees
        One for each primal: a tree like it, for a module a dict from dotted path to array.

    Returns
    -------
    output, tangent
        The tangent is a tree like the output.

    Raises
    ------
    DTypeError
        If a primal is not of a floating-point dtype, or a tangent's dtype is not that of its primal.
    ShapeError
        If a tangent differs from its primal in structure or shape.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.jvp(lambda x: x**2, (np.asarray(3.0),), (np.asarray(1.0),))
    (np.float64(9.0), np.float64(6.0))
    """
    if len(primals) != len(tangents):
        raise ShapeError(f"expected a tangent for each of {len(primals)} primals, got {len(tangents)}")
    trace = Dual()
    traced = []
    for number, (primal, tangent) in enumerate(zip(primals, tangents, strict=True)):
        leaves, rebuild = tree_split(primal)
        moved = leaves_like(tangent, leaves, f"tangent {number}", "its primal")
        pairs = zip(leaves.items(), moved, strict=True)
        traced.append(rebuild([_dual(trace, path, leaf, t, number) for (path, leaf), t in pairs]))
    try:
        output = function(*traced)
    except Exception as error:
        leave(error, trace)
        raise
    finally:
        trace.closed = True

    # What is returned belongs to the caller, so nothing that the caller passed in, and no array twice.
    others = {id(array) for tree in (primals, tangents) for array in tree_leaves(tree)}

    def tangent_of(leaf: Any) -> Any:
        if not _is_own(leaf, trace) or leaf.entry is None:
            return namespace(leaf).zeros_like(leaf) if is_array(leaf) and is_floating(leaf) else None
        tangent = leaf.entry
        if id(tangent) in others or (type(tangent) is not TracedArray and is_view(tangent)):
            tangent = own(tangent)
        others.add(id(tangent))  # an id stays unique: the array lives at least as long as this call
        return tangent

    if _is_own(output, trace):
        return output.value, tangent_of(output)
    leaves, rebuild = tree_split(output)
    found = [tangent_of(leaf) for leaf in leaves.values()]
    value = rebuild([untraced_leaf(leaf, trace) for leaf in leaves.values()])
    return value, gradient_form(output)(found)


def linearize(function: Callable[..., Any], *primals: Tree) -> tuple[Any, Callable[..., Any]]:
    r"""Run a function once and return its output and its derivative at that point, as a linear function.

    Parameters
    ----------
    function : callable
        Array API code; returns an array or a tree of arrays.
    *primals : arrays, modules or trees of them

    Returns
    -------
    output
        What the function returns.
    derivative : callable
        Takes a tangent for each primal and returns :math:`J \dot x`, without running the function again.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> y, derivative = nnx.linearize(lambda x: x**2, np.asarray(3.0))
    >>> float(derivative(np.asarray(1.0))), float(derivative(np.asarray(10.0)))
    (6.0, 60.0)
    """
    output, pullback = vjp(function, *primals)
    zeros = tree_map(lambda leaf: namespace(leaf).zeros_like(leaf), output)
    _, transpose = vjp(pullback, zeros)  # the pullback is linear, and its transpose is J

    def derivative(*tangents: Tree) -> Any:
        (found,) = transpose(tangents)
        return found

    return output, derivative


def _is_own(leaf: Any, trace: Dual) -> bool:
    return type(leaf) is TracedArray and leaf.trace is trace


def _dual(trace: Dual, path: str, leaf: Any, tangent: Array, number: int) -> Any:
    primal = checked_leaf(leaf, number, path)
    where = f"tangent {number}" + (f" at {path!r}" if path else "")
    if not is_array(tangent) or tuple(tangent.shape) != tuple(primal.shape):
        got = tuple(tangent.shape) if is_array(tangent) else type(tangent).__name__
        raise ShapeError(f"{where}: expected shape {tuple(primal.shape)}, as the primal, got {got}")
    if tangent.dtype != primal.dtype:
        raise DTypeError(
            f"{where}: expected dtype {dtype_name(primal.dtype)}, as the primal, got {dtype_name(tangent.dtype)}"
        )
    return trace.trace(primal, tangent)

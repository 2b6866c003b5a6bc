"""Full derivative matrices and products with them: ``jacobian``, ``hessian``, ``hvp``."""

import math
from collections.abc import Callable, Iterator
from typing import Any

from nnx.autodiff.forward import jvp
from nnx.autodiff.recording import as_argnums, gradient_form, indices_of
from nnx.autodiff.transforms import grad, named_after, vjp
from nnx.backend import device_of, is_array, is_floating, is_real_floating, namespace
from nnx.errors import ArgumentError, DTypeError
from nnx.tree import tree_leaves
from nnx.types import Array, Tree


def jacobian(function: Callable[..., Any], argnum: int = 0, mode: str | None = None) -> Callable[..., Any]:
    r"""Return a function that returns the Jacobian of ``function``, :math:`J_{ij} = \partial y_i / \partial x_j`.

    Parameters
    ----------
    function : callable
        Array API code; returns an array or a tree of arrays.
    argnum : int
        Which positional argument to differentiate with respect to: an array, a module or a tree of them.
    mode : {"forward", "reverse"}, optional
        By default forward if the argument has no more elements than the output, else reverse. If only one of the two
        is complex, the mode that keeps the imaginary part.

    Returns
    -------
    callable
        Takes the arguments of ``function``; returns an array of shape ``(*output.shape, *argument.shape)``. For
        trees, a tree like the output whose leaves are trees like the argument, with such arrays as leaves.

    Raises
    ------
    ArgumentError
        If the mode is unknown, or would lose the imaginary part of the derivative because only one of argument and
        output is complex.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.jacobian(lambda x: x**2)(np.asarray([1.0, 3.0]))
    array([[2., 0.],
           [0., 6.]])
    """
    if mode not in (None, "forward", "reverse"):
        raise ArgumentError(f"expected mode to be 'forward', 'reverse' or None, got {mode!r}")

    @named_after(function)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        (index,) = indices_of(as_argnums(argnum), len(args))

        def of_argument(x: Any) -> Any:
            return function(*args[:index], x, *args[index + 1 :], **kwargs)

        x = args[index]
        output, pullback = vjp(of_argument, x)
        by_forward = _direction(mode, x, output) == "forward"
        rows = _by_columns(of_argument, x, output) if by_forward else _by_rows(pullback, x, output)
        return gradient_form(output)([gradient_form(x)(row) for row in rows])

    return differentiated


def hessian(function: Callable[..., Any], argnum: int = 0) -> Callable[..., Any]:
    r"""Return a function that returns the second derivatives, :math:`\partial^2 f / \partial x_i \partial x_j`.

    Forward mode over reverse mode, one column at a time.

    Parameters
    ----------
    function : callable
        Returns one floating-point number: an array of shape ``()``.
    argnum : int
        Which positional argument to differentiate with respect to.

    Returns
    -------
    callable
        Takes the arguments of ``function``; returns an array of shape ``(*argument.shape, *argument.shape)``, or a
        tree of trees of such arrays.

    Raises
    ------
    DTypeError
        On a call, if the argument is complex.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.hessian(lambda x: x[0] ** 2 * x[1])(np.asarray([1.0, 3.0]))
    array([[6., 2.],
           [2., 0.]])
    """
    columns = jacobian(grad(function, argnum), argnum, mode="forward")

    @named_after(function)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        (index,) = indices_of(as_argnums(argnum), len(args))
        if _is_complex(args[index]):
            raise DTypeError(
                "hessian: expected a real argument, got complex numbers; take real and imaginary part apart"
            )
        return columns(*args, **kwargs)

    return differentiated


def _is_complex(tree: Tree) -> bool:
    return any(is_array(leaf) and is_floating(leaf) and not is_real_floating(leaf) for leaf in tree_leaves(tree))


def _direction(mode: str | None, x: Tree, output: Tree) -> str:
    # Between real and complex arrays, what arrives at the real side is only the real part of the derivative. So start
    # at the real side and end at the complex one.
    only = {(True, False): "reverse", (False, True): "forward"}.get((_is_complex(x), _is_complex(output)))
    if only is not None and mode not in (None, only):
        what = "a real output of a complex argument" if only == "reverse" else "a complex output of a real argument"
        raise ArgumentError(f"expected mode {only!r} for {what}, got {mode!r}, which would lose the imaginary part")
    return only or mode or ("forward" if _count(x) <= _count(output) else "reverse")


def hvp(function: Callable[..., Any], primal: Tree, tangent: Tree) -> Any:
    r"""Return the Hessian-vector product :math:`H v` of a function of one argument, without the Hessian.

    Parameters
    ----------
    function : callable
        Returns one floating-point number: an array of shape ``()``.
    primal : array, module or tree of them
        Where to differentiate.
    tangent : tree
        The vector :math:`v`: a tree like the primal, for a module a dict from dotted path to array.

    Returns
    -------
    product : tree like the tangent

    Notes
    -----
    Source: B. A. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6, 1994.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.hvp(lambda x: x[0] ** 2 * x[1], np.asarray([1.0, 3.0]), np.asarray([1.0, 0.0]))
    array([6., 2.])
    """
    return jvp(grad(function), (primal,), (tangent,))[1]


def _by_columns(function: Callable[..., Any], x: Tree, output: Tree) -> list[list[Array]]:
    """Return, for each array of the output, its Jacobian for each array of ``x``: one jvp per element of ``x``."""
    leaves = tree_leaves(x)
    outputs = tree_leaves(output)
    rows: list[list[Array]] = [[] for _ in outputs]
    for i, leaf in enumerate(leaves):
        columns: list[list[Array]] = [[] for _ in outputs]
        for unit in _units(leaf):
            tangents = [unit if j == i else namespace(other).zeros_like(other) for j, other in enumerate(leaves)]
            _, moved = jvp(function, (x,), (gradient_form(x)(tangents),))
            for column, part in zip(columns, tree_leaves(moved), strict=True):
                column.append(part)
        for row, column, out in zip(rows, columns, outputs, strict=True):
            row.append(_stacked(column, tuple(out.shape), tuple(leaf.shape), axis=-1, like=out))
    return rows


def _by_rows(pullback: Callable[..., Any], x: Tree, output: Tree) -> list[list[Array]]:
    """Return the same as ``_by_columns``, with one call of the pullback per element of the output."""
    leaves = tree_leaves(x)
    outputs = tree_leaves(output)
    rows = []
    for i, out in enumerate(outputs):
        found: list[list[Array]] = [[] for _ in leaves]
        for unit in _units(out):
            cotangents = [unit if j == i else namespace(other).zeros_like(other) for j, other in enumerate(outputs)]
            (moved,) = pullback(gradient_form(output)(cotangents))
            for row, part in zip(found, tree_leaves(moved), strict=True):
                row.append(part)
        pairs = zip(found, leaves, strict=True)
        rows.append([_stacked(row, tuple(leaf.shape), tuple(out.shape), axis=0, like=leaf) for row, leaf in pairs])
    return rows


def _units(x: Array) -> Iterator[Array]:
    """Yield the unit vectors of the space of ``x``."""
    xp = namespace(x)
    size = math.prod(x.shape)
    numbers = xp.arange(size, device=device_of(x))
    for i in range(size):
        yield xp.reshape(xp.astype(numbers == i, x.dtype), tuple(x.shape))


def _stacked(parts: list[Array], shape: tuple[int, ...], more: tuple[int, ...], axis: int, like: Array) -> Array:
    """Stack derivatives of one shape along a new axis, and give that axis the shape ``more``."""
    whole = (*shape, *more) if axis == -1 else (*more, *shape)
    if not parts:
        return namespace(like).zeros(whole, dtype=like.dtype, device=device_of(like))
    xp = namespace(*parts)
    return xp.reshape(xp.stack(parts, axis=axis), whole)


def _count(tree: Tree) -> int:
    return sum(math.prod(leaf.shape) for leaf in tree_leaves(tree) if is_array(leaf))

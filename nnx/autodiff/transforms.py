"""The transforms: ``vjp``, ``grad`` and ``value_and_grad``, over arrays, trees and modules."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.recording import Recording, as_argnums, indices_of, own, split_aux, untrace
from nnx.autodiff.tape import refuse_escaped
from nnx.autodiff.traced import TracedArray
from nnx.backend import dtype_name, is_array, is_real_floating, one_like
from nnx.backend.ownership import writable
from nnx.errors import DTypeError, ShapeError
from nnx.tree import tree_flatten, tree_leaves
from nnx.types import Array, Tree


def vjp(function: Callable[..., Any], *primals: Tree, has_aux: bool = False) -> tuple[Any, ...]:
    r"""Run a function and return its output and its pullback, the vector-Jacobian product.

    For :math:`y = f(x)` with Jacobian :math:`J` the pullback maps a cotangent :math:`\bar y` to
    :math:`\bar x = J^T \bar y`. For complex arrays it is the transpose too, not the conjugate transpose.

    Parameters
    ----------
    function : callable
        Array API code; returns an array or a tree of arrays.
    *primals : arrays, modules or trees of them
        What to differentiate with respect to. Python floats become float32 arrays of the selected backend.
    has_aux : bool
        The function returns ``(output, aux)``; ``aux`` is returned as it is and not differentiated.

    Returns
    -------
    output
        What the function returns. The caller may write into it, unless it is an argument as it was given: what the
        pullback keeps is another array then.
    pullback : callable
        Takes a cotangent like the output and returns a tuple with one cotangent per primal: a tree like the primal,
        or a dict from dotted path to array for a module. It may be called more than once. The arrays belong to the
        caller, who may write into them.
    aux
        Only with ``has_aux``; it may be written into likewise.

    Raises
    ------
    DTypeError
        If a primal is not of a floating-point dtype.
    ShapeError
        From the pullback, if the cotangent's shape is not that of the output.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> y, pullback = nnx.vjp(lambda x: x**2, np.asarray([1.0, 2.0]))
    >>> pullback(np.asarray([1.0, 10.0]))
    (array([ 2., 40.]),)
    """
    recording = Recording(function, primals, {}, range(len(primals)))
    output = recording.output
    if has_aux:
        output, aux = split_aux(output)
    tape = recording.tape
    is_own = type(output) is TracedArray and output.trace is tape  # one array, as most outputs are
    reached = {"": output} if is_own else tree_flatten(output)
    for leaf in (*reached.values(), *tree_leaves(aux)) if has_aux else reached.values():
        # The caller may write into an output, which a pullback may have kept, as that of exp does.
        is_made = type(leaf) is TracedArray and leaf.trace is tape and leaf.entry > recording.arguments
        if is_made and hasattr(type(leaf.value), "__iadd__"):
            held, leaf.value = [leaf.value], None  # if no residual refers to it, the list is its only holder
            leaf.value = held.pop() if writable([(held, 0)])[0] else own(held.pop())
    slot, value = (output.entry, output.value) if is_own else (0, untrace(output, tape))

    def pullback(cotangent: Tree, *, consume: bool = False, wanted: Sequence[bool] | None = None) -> tuple[Any, ...]:
        """Return the cotangent of each primal.

        ``consume`` frees the residuals as they are used, after which the pullback cannot be called again; ``wanted``
        then says for which primals a cotangent is computed at all.
        """
        # The common case, one array that fits, skips the checks of Recording.seeds.
        fits = is_own and (
            type(cotangent) is type(value) and cotangent.shape == value.shape and cotangent.dtype == value.dtype
        )
        seeds = [(slot, cotangent)] if fits else recording.seeds(reached, cotangent)
        return recording.pull_back(seeds, consume=consume, wanted=wanted)

    return (value, pullback, untrace(aux, tape)) if has_aux else (value, pullback)


def value_and_grad(
    function: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    on_leaf: Callable[[str, Array], Any] | None = None,
) -> Callable[..., tuple[Any, Any]]:
    """Return a function that returns the value of ``function`` and its gradient.

    Parameters
    ----------
    function : callable
        Returns one floating-point number: an array of shape ``()``.
    argnums : int or sequence of int
        Which positional arguments to differentiate with respect to: arrays, modules or trees of them.
    has_aux : bool
        The function returns ``(value, aux)``, and the new one ``((value, aux), gradient)``.
    on_leaf : callable, optional
        Called as ``on_leaf(path, gradient)`` for each array as soon as its gradient is final, while the backward pass
        is still running for the others: to send it to other processes, say, or to measure it. With several argnums
        the path starts with the index of the argument. It must not write into the array.

    Returns
    -------
    callable
        Takes the arguments of ``function``; returns ``(value, gradient)``. The gradient is a tree like the argument,
        or a dict from dotted path to array for a module; for a sequence of argnums, a tuple of these. Its arrays
        belong to the caller, who may write into them.

    Raises
    ------
    ShapeError
        If the value is not of shape ``()``.
    DTypeError
        If the value, or an argument that it is differentiated with respect to, is not of a floating-point dtype.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> value, gradient = nnx.value_and_grad(lambda x: (x - 2.0) ** 2 + 1.0)(np.asarray(5.0))
    >>> float(value), float(gradient)
    (10.0, 6.0)
    """
    is_one = hasattr(argnums, "__index__")
    numbers = as_argnums(argnums)

    @named_after(function)
    def differentiated(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        indices = numbers if numbers == (0,) and args else indices_of(numbers, len(args))
        recording = Recording(function, args, kwargs, indices)
        output = recording.output
        if has_aux:
            output, aux = split_aux(output)
        is_own = type(output) is TracedArray and output.trace is recording.tape  # else it is a constant
        value = output.value if is_own else output
        one = _one(value)
        seeds = [(output.entry, one)] if is_own else []
        found = recording.pull_back(seeds, consume=True, on_leaf=on_leaf)
        gradients = found[0] if is_one else found
        return ((value, untrace(aux, recording.tape)) if has_aux else value), gradients

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

    @named_after(function)
    def differentiated(*args: Any, **kwargs: Any) -> Any:
        value, gradient = both(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return differentiated


def _one(value: Any) -> Array:
    refuse_escaped(value)
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


def named_after(function: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give the function that a transform returns the name and docstring of the original: a decorator."""
    return functools.partial(functools.update_wrapper, wrapped=function, updated=())

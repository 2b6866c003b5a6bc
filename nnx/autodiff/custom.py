"""Custom derivatives for functions of trees and modules."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.primitives import Pullback
from nnx.autodiff.recording import gradient_form
from nnx.autodiff.transforms import vjp
from nnx.autodiff.tree_calls import TreeCall, scattered
from nnx.backend import dtype_name, is_array, namespace
from nnx.errors import ShapeError, UsageError
from nnx.tree import leaves_like, tree_flatten, tree_leaves
from nnx.types import Tree


class custom_vjp:  # noqa: N801  a decorator
    """Give a function of trees and modules its own pullback: a decorator.

    Register the pullback with the method ``with_pullback``. It returns one cotangent per argument: a tree like the
    argument, a dict from dotted path to array for a module, or ``None`` for a constant. For functions of plain arrays
    use :func:`nnx.primitive`, which is faster and says which cotangents are wanted. Forward mode transposes the
    pullback.

    Examples
    --------
    Newton's iteration for the square root, with the derivative in closed form instead of through the loop:

    >>> import numpy as np, nnx
    >>> @nnx.custom_vjp
    ... def root(x):
    ...     y = 1.0
    ...     for _ in range(20):
    ...         y = (y + x / y) / 2
    ...     return y
    >>> @root.with_pullback
    ... def _(x):
    ...     y = root(x)
    ...     return y, lambda cotangent: (cotangent / (2 * y),)
    >>> float(nnx.grad(root)(np.asarray(4.0)))
    0.25
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._rule: Callable[..., tuple[Any, Callable[[Any], Sequence[Any]]]] | None = None

    def with_pullback(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Register ``rule(*args) -> (output, pullback)``; the pullback returns a cotangent or None per argument."""
        self._rule = rule
        return rule

    def __call__(self, *args: Any) -> Any:
        """Call the function; under a transform, with its own pullback."""
        node = TreeCall(self._function, args, f"custom_vjp({self._name})")
        if self._rule is None:
            raise UsageError(f"{self._name} has no pullback yet; register one with @{self._name}.with_pullback")
        rule = self._rule

        @node.primitive.with_pullback
        def _(wanted: Sequence[Any], *leaves: Any) -> tuple[Any, Pullback]:
            arguments = node.rebuild(leaves)
            output, own_pullback = rule(*arguments)
            outputs = node.flat(output)

            def pullback(parts: Any) -> list[Any]:
                found = own_pullback(node.cotangent(parts, outputs))
                if len(found) != len(args):
                    raise ShapeError(
                        f"expected the pullback of {self._name} to return {len(args)} cotangents, got {len(found)}"
                    )
                where = f"the pullback of {self._name}"
                pairs = enumerate(zip(arguments, found, strict=True))
                return [c for number, (arg, own) in pairs for c in _cotangents(own, arg, f"{where}, argument {number}")]

            return outputs, pullback

        return node()

    @property
    def _name(self) -> str:
        return getattr(self._function, "__name__", repr(self._function))


class custom_jvp:  # noqa: N801  a decorator
    """Give a function of trees and modules its own tangent: a decorator.

    Register the rule with the method ``with_tangent``. It must be linear in the tangents: reverse mode transposes it.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> @nnx.custom_jvp
    ... def cube(x):
    ...     return x**3
    >>> @cube.with_tangent
    ... def _(primals, tangents):
    ...     (x,), (t,) = primals, tangents
    ...     return cube(x), 3 * x**2 * t
    >>> float(nnx.grad(cube)(np.asarray(2.0)))
    12.0
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._rule: Callable[[Any, Any], tuple[Any, Any]] | None = None

    def with_tangent(self, rule: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[Any, Any], tuple[Any, Any]]:
        """Register ``rule(primals, tangents) -> (output, tangent)``, linear in the tangents."""
        self._rule = rule
        return rule

    def __call__(self, *args: Any) -> Any:
        """Call the function; under a transform, with its own derivative."""
        name = getattr(self._function, "__name__", repr(self._function))
        if self._rule is None:
            raise UsageError(f"{name} has no tangent yet; register one with @{name}.with_tangent")
        rule = self._rule
        node = TreeCall(self._function, args, f"custom_jvp({name})")
        as_tangents = gradient_form(args)

        def with_tangent(leaves: Sequence[Any], tangents: Sequence[Any], options: Any) -> tuple[Any, Any]:
            filled = [_zero(leaf) if t is None else t for leaf, t in zip(leaves, tangents, strict=True)]
            output, tangent = rule(tuple(node.rebuild(leaves)), tuple(as_tangents(filled)))
            return node.flat(output), tuple(
                leaves_like(tangent, tree_flatten(output), "a tangent", f"the output of {name}")
            )

        node.primitive.with_tangent(with_tangent)

        @node.primitive.with_pullback
        def _(wanted: Sequence[Any], *leaves: Any) -> tuple[Any, Pullback]:
            outputs = node.primitive(*leaves)
            indices = [i for i, want in enumerate(wanted) if want]

            def of_tangents(*moved: Any) -> Any:
                return with_tangent(leaves, scattered(indices, moved, len(leaves)), {})[1]

            def pullback(parts: Any) -> list[Any]:
                _, transpose = vjp(of_tangents, *(namespace(leaves[i]).zeros_like(leaves[i]) for i in indices))
                found = transpose(tuple(tree_leaves(node.cotangent(parts, outputs))))
                return scattered(indices, found, len(leaves))

            return outputs, pullback

        return node()


def _cotangents(cotangent: Tree, argument: Tree, where: str) -> list[Any]:
    """Return one cotangent per array of an argument, each checked against it; None means that all of them are None."""
    leaves = tree_flatten(argument)
    if cotangent is None:
        return [None] * len(leaves)
    found = leaves_like(cotangent, leaves, f"from {where}, a cotangent", "the argument")
    for (path, leaf), own in zip(leaves.items(), found, strict=True):
        if is_array(leaf) and (not is_array(own) or tuple(own.shape) != tuple(leaf.shape) or own.dtype != leaf.dtype):
            got = f"{tuple(own.shape)} of {dtype_name(own.dtype)}" if is_array(own) else type(own).__name__
            at = f" at {path!r}" if path else ""
            raise ShapeError(
                f"{where}{at}: expected a cotangent of shape {tuple(leaf.shape)} of {dtype_name(leaf.dtype)}, got {got}"
            )
    return found


def _zero(leaf: Any) -> Any:
    if not is_array(leaf):
        return 0.0
    return namespace(leaf).zeros_like(leaf)

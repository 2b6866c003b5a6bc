"""Functions with a derivative of their own, and functions that are computed again instead of remembered."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.primitive import Primitive, Pullback
from nnx.autodiff.transforms import gradient_form, vjp
from nnx.backend import dtype_name, is_array, namespace
from nnx.errors import ShapeError, UsageError
from nnx.tree import Rebuild, leaves_like, tree_boxes, tree_flatten, tree_leaves, tree_split
from nnx.types import Tree


class _Node:
    """A call of a function of trees as one primitive of the arrays in them."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], name: str) -> None:
        found, self.rebuild = tree_split(args)
        self.leaves = list(found.values())
        self.form: Rebuild = lambda leaves: leaves
        self.primitive: Primitive[..., Any] = Primitive(lambda *leaves: self.flat(function(*self.rebuild(leaves))))
        self.primitive.name = name
        self.primitive.retraced = False
        self.primitive.takes_keywords = False

    def flat(self, output: Tree) -> tuple[Any, ...]:
        """Return the arrays of an output, and remember its form."""
        leaves, self.form = tree_split(output)
        return tuple(leaves.values())

    def cotangent(self, parts: Sequence[Any], outputs: Sequence[Any]) -> Tree:
        """Return the cotangent in the form of the output, with zeros for what nothing arrived at."""
        pairs = zip(parts, outputs, strict=True)
        return self.form([namespace(out).zeros_like(out) if part is None else part for part, out in pairs])

    def __call__(self) -> Any:
        leaves, self.leaves = self.leaves, []  # a node and its primitive are a cycle, which must hold no array
        outputs = self.primitive(*leaves)  # which sets the form
        return self.form(outputs)


def checkpoint(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that keeps its arguments alone for the way back, and there computes the rest again.

    Memory falls by what ``function`` would keep; time grows by one run of it. The gradient is the same bit for bit, if
    ``function`` gives the same result for the same arguments, and each argument goes into one checkpointed call; of an
    argument of several, the parts are added in another order, which may change the last bit. The buffers of modules
    among the arguments are put back for the second run, so that noise is the same.

    Parameters
    ----------
    function : callable
        Takes arrays, modules and trees of them by position, and constants by name; returns an array or a tree.

    Returns
    -------
    callable

    Raises
    ------
    TraceError
        On a call, if ``function`` uses a traced array that is not among its arguments: its derivative would be lost.

    Notes
    -----
    Source: T. Chen et al., "Training deep nets with sublinear memory cost", arXiv:1604.06174.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> block = nnx.checkpoint(lambda x: nnx.namespace(x).tanh(x) ** 2)
    >>> float(nnx.grad(block)(np.asarray(0.0)))
    0.0
    """

    @functools.wraps(function)
    def checkpointed(*args: Any, **kwargs: Any) -> Any:
        def run(*again: Any) -> Any:
            return function(*again, **kwargs)

        node = _Node(run, args, f"checkpoint({getattr(function, '__name__', function)})")
        boxes = tree_boxes(args)

        @node.primitive.with_pullback
        def _(wanted: Sequence[Any], *leaves: Any) -> tuple[Any, Pullback]:
            before = [box.value for box in boxes]
            outputs = node.primitive(*leaves)
            places = [i for i, want in enumerate(wanted) if want]

            def of_wanted(*moved: Any) -> Any:
                replaced = list(leaves)
                for place, value in zip(places, moved, strict=True):
                    replaced[place] = value
                return run(*node.rebuild(replaced))

            def pullback(parts: Any) -> list[Any]:
                after = [box.value for box in boxes]
                _fill(boxes, before)  # the same noise again, and no counter counts twice
                try:
                    again, back = vjp(of_wanted, *(leaves[place] for place in places))
                finally:
                    _fill(boxes, after)
                found = back(node.cotangent(parts, tree_leaves(again)), consume=True)
                return _placed(places, found, len(leaves))

            return outputs, pullback

        return node()

    return checkpointed


class custom_vjp:  # noqa: N801  a decorator
    """A function whose pullback is given, over trees and modules: a decorator.

    Register the pullback with its method ``with_pullback``: it returns one cotangent an argument, a tree like the
    argument, for a module a dict from dotted path to array, and ``None`` for a constant. For functions of arrays alone,
    :func:`nnx.primitive` is quicker, and tells which cotangents are wanted. Forward mode transposes the pullback.

    Examples
    --------
    The square root by a method that no derivative goes through, with the derivative of the square root:

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
        """Register ``rule(*args) -> (output, pullback)``; the pullback returns one cotangent an argument, or None."""
        self._rule = rule
        return rule

    def __call__(self, *args: Any) -> Any:
        """Call the function; under a transform, with its own pullback."""
        node = _Node(self._function, args, f"custom_vjp({self._name})")
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
    """A function whose tangent is given, over trees and modules: a decorator.

    Register the rule with its method ``with_tangent``. Reverse mode transposes it.

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
        node = _Node(self._function, args, f"custom_jvp({name})")
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
            places = [i for i, want in enumerate(wanted) if want]

            def of_tangents(*moved: Any) -> Any:
                return with_tangent(leaves, _placed(places, moved, len(leaves)), {})[1]

            def pullback(parts: Any) -> list[Any]:
                _, transpose = vjp(of_tangents, *(namespace(leaves[i]).zeros_like(leaves[i]) for i in places))
                found = transpose(tuple(tree_leaves(node.cotangent(parts, outputs))))
                return _placed(places, found, len(leaves))

            return outputs, pullback

        return node()


def _cotangents(cotangent: Tree, argument: Tree, where: str) -> list[Any]:
    """Return the cotangents of the arrays of one argument, each like its own; None stands for none of them."""
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


def _fill(boxes: Sequence[Any], values: Sequence[Any]) -> None:
    for box, value in zip(boxes, values, strict=True):
        box.value = value


def _placed(places: Sequence[int], values: Sequence[Any], count: int) -> list[Any]:
    """Return a list with values at their places, and None elsewhere."""
    found = dict(zip(places, values, strict=True))
    return [found.get(i) for i in range(count)]


def _zero(leaf: Any) -> Any:
    if not is_array(leaf):
        return 0.0
    return namespace(leaf).zeros_like(leaf)

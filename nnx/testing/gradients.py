"""Check derivatives against central differences along a random direction."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff import jvp, vjp
from nnx.backend import asarray, dtype_name, generator, is_array, namespace
from nnx.errors import ArgumentError, DTypeError, TraceError
from nnx.testing.assertions import assert_close
from nnx.testing.differences import Differences, dot
from nnx.tree import tree_flatten, tree_leaves, tree_replace, tree_split
from nnx.types import Array, Tree

MODES = ("reverse", "forward")


def check_gradients(
    function: Callable[..., Any],
    *args: Tree,
    order: int = 2,
    modes: Sequence[str] = ("reverse",),
    rng: Any = 0,
    rtol: float = 1e-6,
    eps: float = 1e-4,
) -> None:
    r"""Check the derivatives of a function at a point, or raise an error that says which one is wrong.

    For :math:`y = f(x)`, a random cotangent :math:`\bar y` and a random direction :math:`v` are drawn. The pullback
    has to satisfy

    .. math:: \langle J^T \bar y, v \rangle = \frac{d}{dt} \langle \bar y, f(x + t v) \rangle

    where the right-hand side is a central difference with one Richardson step. Also checked are that the pullback
    changes neither its cotangent nor an argument, that a second call returns the same, and that cotangents have the
    library, device, dtype and shape of their arguments. Higher orders check :math:`(x, \bar y) \mapsto J^T \bar y` in
    the same way.

    Parameters
    ----------
    function : callable
        Returns a float64 array of any shape, or a tree of them. It must be deterministic.
    *args : float64 arrays, modules or trees of them
        The point. Let the function close over whatever is not differentiated. A module is differentiated with respect
        to its parameters, and is not changed, except perhaps for its buffers.
    order : int
        The highest order of derivatives to check, at least 1.
    modes : sequence of str
        The modes of differentiation to check: ``"reverse"``, ``"forward"``. In forward mode the tangent of the output
        is compared; from order 2 on, that of the derivative by reverse mode.
    rng : int or NumPy Generator
        Draws the directions and cotangents.
    rtol : float
        Tolerance relative to the norm of the gradient.
    eps : float
        Step of the central difference.

    Raises
    ------
    AssertionError
        If a derivative is wrong; the message names the argument.
    ArgumentError
        If the function cannot be checked at this point, because it has a kink nearby, is not finite or not
        deterministic; or if an option is out of range.
    DTypeError
        If an argument or the output is not float64.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> check_gradients(lambda x: nnx.namespace(x).sum(x**3), np.asarray([1.0, 2.0]))

    A rule with the wrong sign:

    >>> @nnx.primitive
    ... def double(x):
    ...     return 2.0 * x
    >>> @double.with_pullback
    ... def _(wanted, x):
    ...     return double(x), lambda cotangent: (-2.0 * cotangent,)
    >>> check_gradients(double, np.asarray([1.0, 2.0]))
    Traceback (most recent call last):
    ...
    AssertionError: wrong derivative of order 1 for argument 0: ... times the central difference...
    """
    if isinstance(order, bool) or not isinstance(order, int) or order < 1:
        raise ArgumentError(f"expected order to be an integer of at least 1, got {order!r}")
    modes = (modes,) if isinstance(modes, str) else modes
    for mode in modes:
        if mode not in MODES:
            raise ArgumentError(f"expected modes out of {', '.join(map(repr, MODES))}, got {mode!r}")
    if not modes:
        raise ArgumentError("expected at least one mode, got none")
    if not eps > 0:
        raise ArgumentError(f"expected eps > 0, got {eps}")
    for number, arg in enumerate(args):
        _expect_float64(arg, f"argument {number}")
    rng = generator(rng)
    for this_order in range(1, order + 1):
        check = _Check(function, args, rng, this_order, rtol, eps)
        check.run(modes)
        function, args = check.derivative, (*args, check.cotangent)


class _Check:
    """The check of one order: of the pullback of ``function``, which from order 2 on is itself a derivative."""

    def __init__(
        self, function: Callable[..., Any], args: tuple[Tree, ...], rng: Any, order: int, rtol: float, eps: float
    ) -> None:
        self.function = function
        self.originals = args
        self.args = tuple(_guarded(arg) for arg in args)
        self.leaves = [tree_leaves(arg) for arg in self.args]
        self.order = order
        self.rng = rng
        self.output = function(*self.args)
        _expect_float64(self.output, "the output")
        self.cotangent = self._random_like(self.output)
        self.differences = Differences(function, self.args, self.output, self.cotangent, rtol, eps)

    def derivative(self, *args: Tree) -> Any:
        """Return the cotangents of the arguments, as a function of the arguments and the cotangent of the output."""
        *primals, cotangent = args
        _, pullback = vjp(self.function, *primals)
        return pullback(cotangent)

    def run(self, modes: Sequence[str]) -> None:
        """Raise an error unless the derivatives agree with central differences and the pullback keeps its contract."""
        self._expect_deterministic()
        direction = [[self._random_like(leaf) for leaf in leaves] for leaves in self.leaves]
        if "reverse" in modes:
            self._run_reverse(direction)
        if "forward" in modes:
            self._run_forward(direction)

    def _run_forward(self, direction: list[list[Array]]) -> None:
        tangents = [_gradient_like(arg, along) for arg, along in zip(self.args, direction, strict=True)]
        value, tangent = jvp(self.function, self.args, tangents)
        _expect(f"the output, in forward mode for order {self.order}", value, self.output)
        _expect("the tangent of the output", _zeros(tangent), _zeros(self.output))
        pairs = zip(tree_leaves(tangent), tree_leaves(self.cotangent), strict=True)
        sizes = [dot(leaf, leaf) for leaf in tree_leaves(tangent)]
        verdict = self.differences.compare(
            sum(dot(t, c) for t, c in pairs), math.sqrt(sum(sizes)), direction, "the tangent"
        )
        if verdict is not None:
            raise AssertionError(f"wrong derivative of order {self.order} in forward mode: {verdict}")

    def _run_reverse(self, direction: list[list[Array]]) -> None:
        gradients = self._gradients()
        verdict = self.differences.compare(*_along(gradients, direction), direction)
        if verdict is None:
            return
        # One leaf at a time, to find the culprit.
        for number, flat in enumerate(tree_flatten(arg) for arg in self.args):
            for leaf, path in enumerate(flat):
                only = [
                    [v if (i, j) == (number, leaf) else namespace(v).zeros_like(v) for j, v in enumerate(row)]
                    for i, row in enumerate(direction)
                ]
                found = self.differences.compare(*_along(gradients, only), only)
                if found is not None:
                    where = f"argument {number}" + (f" at {path!r}" if path else "")
                    if self.order > 1 and number >= len(self.args) - self.order + 1:
                        where = "the cotangent"
                    raise AssertionError(f"wrong derivative of order {self.order} for {where}: {found}")
        raise AssertionError(f"wrong derivative of order {self.order}: {verdict}")

    def _expect_deterministic(self) -> None:
        again = self.function(*self.args)
        try:
            assert_close(again, self.output, rtol=0.0, equal_nan=True)
        except AssertionError as error:
            raise ArgumentError(
                f"expected a function that gives the same value at the same point, got two ({error}); give it its "
                "random numbers, or call model.eval() first"
            ) from error

    def _gradients(self) -> list[list[Array]]:
        """Return the cotangents of the leaves, after checking everything about them except their values."""
        cotangent = _guarded(self.cotangent)
        try:
            value, pullback = vjp(self.function, *self.args)
            found = pullback(cotangent)
            again = pullback(cotangent)
        except TraceError as error:
            raise AssertionError(f"wrong derivative of order {self.order}: {error}") from error
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise AssertionError(
                f"the derivative of order {self.order} writes to its cotangent or to an argument; compute a new array"
            ) from error
        _expect(f"the output, traced for order {self.order}", value, self.output)
        what = f"the cotangent, which the pullback of order {self.order} must not change,"
        _expect(what, cotangent, self.cotangent, 0.0)
        for number, (arg, original) in enumerate(zip(self.args, self.originals, strict=True)):
            _expect(f"argument {number}, which nothing may change,", arg, original, 0.0)
        _expect(f"what a second call of the pullback of order {self.order} returns", again, found)
        gradients = [tree_leaves(part) for part in found]
        for number, (arg, leaves) in enumerate(zip(self.args, self.leaves, strict=True)):
            for path, leaf, gradient in zip(tree_flatten(arg), leaves, gradients[number], strict=True):
                where = f"the cotangent of argument {number}" + (f" at {path!r}" if path else "")
                _expect(where, _zeros(gradient), _zeros(leaf))  # library, device, dtype and shape
        return gradients

    def _random_like(self, tree: Tree) -> Tree:
        leaves = tree_leaves(tree)
        drawn = [asarray(self.rng.standard_normal(tuple(x.shape)), dtype="float64", like=x) for x in leaves]
        return tree_replace(tree, drawn)


def _gradient_like(tree: Tree, leaves: list[Array]) -> Tree:
    """Return arrays in the structure of a gradient: a tree like the argument, with dicts for modules."""
    return tree_split(tree, objects_as_dicts=True)[1](leaves)


def _along(gradients: list[list[Array]], direction: list[list[Array]]) -> tuple[float, float]:
    """Return the derivative along a direction, and the norm of the gradient where the direction is not zero."""
    pairs = [(g, v) for gs, vs in zip(gradients, direction, strict=True) for g, v in zip(gs, vs, strict=True)]
    return sum(dot(g, v) for g, v in pairs), math.sqrt(sum(dot(g, g) for g, v in pairs if dot(v, v) > 0.0))


def _expect(what: str, actual: Tree, expected: Tree, rtol: float | None = None) -> None:
    try:
        assert_close(actual, expected, rtol=rtol, equal_nan=True)
    except AssertionError as error:
        raise AssertionError(f"{what}: {error}") from None


def _expect_float64(tree: Tree, what: str) -> None:
    for path, leaf in tree_flatten(tree).items():
        got = dtype_name(leaf.dtype) if is_array(leaf) else type(leaf).__name__
        if got != "float64":
            where = what + (f" at {path!r}" if path else "")
            raise DTypeError(
                f"{where}: expected float64, because differences of other numbers are too rough to compare with, got "
                f"{got}; convert it with xp.astype(x, xp.float64) or model.to(dtype='float64'), or close over it"
            )


def _zeros(tree: Tree) -> Tree:
    found = [namespace(leaf).zeros_like(leaf) for leaf in tree_leaves(tree)]
    return found[0] if len(found) == 1 else found


def _guarded(tree: Tree) -> Tree:
    """Return a copy, read-only if the library can make it so."""
    return tree_replace(tree, [_copied(leaf) for leaf in tree_leaves(tree)])


def _copied(array: Array) -> Array:
    copy = namespace(array).asarray(array, copy=True)
    flags: Any = getattr(copy, "flags", None)
    if hasattr(flags, "writeable"):
        flags.writeable = False
    return copy

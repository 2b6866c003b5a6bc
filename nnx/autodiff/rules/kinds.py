"""The kinds of derivative rule. A rule names what it needs, and nothing else is kept.

A rule belongs to a function of the standard. It consists of small functions, one per differentiable argument, whose
parameter names say what they are given:

``xp``
    the namespace; always the first parameter;
``g``
    the cotangent of the output, in a transpose;
``y``
    the output;
``x``, ``x1``, ``axis``, ...
    an argument of the call by its name in the standard, with a default where the standard has one;
``spec``
    shape and dtype of the argument in question, without the array itself.

One entry serves both modes: a factor multiplies a cotangent or a tangent, a linear function is applied to tangents,
and where there is only a pullback, forward mode transposes it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from nnx.autodiff.primitives import Pullback, PullbackRule, TangentRule
from nnx.autodiff.rules.factors import Term, added, fitted
from nnx.autodiff.rules.parts import Part, Reads, Spec, reads_of
from nnx.autodiff.rules.shapes import cast, keep_axes, match
from nnx.autodiff.traced import TracedArray
from nnx.backend import is_array, multiply_into, namespace
from nnx.types import Array, Shape


class Rule(Protocol):
    """An entry in a table of rules.

    Attributes
    ----------
    fresh : bool
        Whether the cotangents that its pullbacks return are new memory; see :meth:`nnx.Primitive.with_pullback`.
    parameters : sequence of str
        Its names for the leading positional parameters.
    reads : sequence of (str, object)
        Name and default of each parameter of its small functions; :mod:`nnx.autodiff.rules.signatures` checks both
        against the standard.
    """

    fresh: bool
    parameters: Sequence[str]
    reads: Reads

    def bind(self, function: Callable[..., Any]) -> PullbackRule:
        """Return the primitive ``function`` in the form that also returns its pullback."""

    def bind_tangent(self, function: Callable[..., Any]) -> TangentRule | None:
        """Return it in the form that also returns the tangent, or None to have its pullback transposed."""


class Transposed:
    """A rule that gives, for each argument, the transposed derivative as a small function of the cotangent.

    It takes the cotangent ``g`` of the output and returns that of the argument, which need not be summed over
    broadcast axes yet; ``None`` for an argument without a derivative. ``parameters`` are the names of the positional
    parameters, separated by commas.
    """

    fresh = False

    def __init__(self, parameters: str, *transposes: Callable[..., Any] | None) -> None:
        names = [name.strip() for name in parameters.split(",")]
        self.parameters: Sequence[str] = names
        self._parts = [None if t is None else Part(t, names) for t in transposes]
        self.reads = reads_of(self._parts)

    def bind(self, function: Callable[..., Any]) -> PullbackRule:
        """Return the primitive ``function`` in the form that also returns its pullback."""
        parts = self._parts

        def rule(wanted: Sequence[Any], *args: Any, **options: Any) -> tuple[Any, Pullback]:
            output = function(*args, **options)
            plan: list[Any] = [None] * len(args)
            for i, part in enumerate(parts):
                if part is not None and i < len(args) and wanted[i]:
                    spec = Spec(tuple(args[i].shape), args[i].dtype)
                    plan[i] = (part, part.keep(output, args, options, spec), spec)

            def pullback(cotangent: Array) -> list[Any]:
                return [None if entry is None else _transposed(cotangent, *entry) for entry in plan]

            return output, pullback

        return rule

    def bind_tangent(self, function: Callable[..., Any]) -> TangentRule | None:
        """Return None: the pullback is transposed."""
        return None


def _transposed(g: Any, part: Part, kept: list[Any], spec: Spec) -> Array:
    if not isinstance(g, tuple):
        return match(part.apply(g, g, *kept), spec)
    # Several outputs: g is a tuple, with None where no cotangent arrived. The namespace comes from an array among them
    # or the outputs, a traced one if there is any.
    arrays = [array for value in (g, *kept) if isinstance(value, tuple) for array in value if is_array(array)]
    traced = [array for array in arrays if type(array) is TracedArray]
    return match(part.apply((traced or arrays)[0], g, *kept), spec)


class Linear(Transposed):
    """The rule of a function that is linear in its differentiable arguments jointly, such as ``sum`` or ``where``."""

    def bind_tangent(self, function: Callable[..., Any]) -> TangentRule | None:
        """Return the form that applies the function to the tangents, with zeros for those that are None."""

        def with_tangent(args: Sequence[Any], tangents: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Any]:
            output = function(*args, **options)
            moved = list(args)
            for i, part in enumerate(self._parts):
                if part is not None and i < len(args):
                    moved[i] = _zero(args[i]) if tangents[i] is None else tangents[i]
            return output, function(*moved, **options)

        return with_tangent


class Multilinear(Transposed):
    """The rule of a function that is linear in each of its differentiable arguments, such as ``matmul``."""

    fresh = True  # each cotangent is a product

    def bind_tangent(self, function: Callable[..., Any]) -> TangentRule | None:
        """Return the form that applies the function with one argument after the other replaced by its tangent."""

        def with_tangent(args: Sequence[Any], tangents: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Any]:
            output = function(*args, **options)
            found: Term | None = None
            for i, tangent in enumerate(tangents):
                if tangent is not None:
                    moved = list(args)
                    moved[i] = tangent
                    term = fitted(function(*moved, **options), True, output)
                    found = term if found is None else added(found, term)
            return output, None if found is None else found[0]

        return with_tangent


class Weighted:
    r"""The rule of a reduction whose derivative is a weighted sum, :math:`\dot y = s \sum_i w_i \dot x_i`.

    The small function returns the weights, a new array of the shape of ``x``, and the scale ``s``, a number or an array
    of the shape that the output has with ``keepdims=True``. If it takes ``y``, it gets it in that shape too.
    """

    fresh = True

    def __init__(self, weights: Callable[..., tuple[Array, Any]]) -> None:
        self.parameters: Sequence[str] = ["x"]
        self._part = Part(weights, ["x"])
        self.reads = reads_of([self._part])

    def _weights(self, output: Any, x: Array, options: dict[str, Any]) -> tuple[Array, Any]:
        spec = Spec(tuple(x.shape), x.dtype)
        y = _with_axes(output, x.shape, options)
        weights, scale = self._part.apply(output, *self._part.keep(y, (x,), options, spec))
        return weights, scale

    def bind(self, function: Callable[..., Any]) -> PullbackRule:
        """Return the primitive ``function`` in the form that also returns its pullback."""

        def rule(wanted: Sequence[Any], x: Array, **options: Any) -> tuple[Any, Pullback]:
            output = function(x, **options)

            def pullback(g: Array) -> tuple[Array]:
                weights, scale = self._weights(output, x, options)  # not kept: they are as large as x
                product = multiply_into(weights, _with_axes(g, x.shape, options) * scale)
                return (match(product, Spec(x.shape, x.dtype)),)

            return output, pullback

        return rule

    def bind_tangent(self, function: Callable[..., Any]) -> TangentRule | None:
        """Return the primitive ``function`` in the form that also returns the tangent of its output."""

        def with_tangent(args: Sequence[Any], tangents: Sequence[Any], options: dict[str, Any]) -> tuple[Any, Any]:
            (x,), (tangent,) = args, tangents
            output = function(x, **options)
            weights, scale = self._weights(output, x, options)
            xp = namespace(output, tangent)
            product = multiply_into(weights, tangent)
            moved = xp.sum(product, axis=options.get("axis"), keepdims=options.get("keepdims", False))
            scale = scale if type(scale) is float else xp.reshape(scale, output.shape)  # without the axes kept for x
            return output, cast(xp, moved * scale, output.dtype)

        return with_tangent


def _with_axes(array: Array, shape: Shape, options: dict[str, Any]) -> Array:
    return keep_axes(namespace(array), array, shape, options.get("axis"), options.get("keepdims", False))


def _zero(x: Any) -> Any:
    return namespace(x).zeros_like(x) if hasattr(x, "shape") else 0.0

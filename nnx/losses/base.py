"""Losses in the style of the post: called on a prediction and a target, then asked for the gradient."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from nnx.autodiff import TracedArray, vjp
from nnx.backend import copied, is_array, namespace, one_like
from nnx.errors import ArgumentError, NnxError, UsageError
from nnx.functional.checks import expect_choice
from nnx.functional.loss_terms import REDUCTIONS
from nnx.layers import Module
from nnx.layers.links import MADE_FOR, Origin, origin_of
from nnx.types import Array


class _Call(NamedTuple):
    """What is kept of the last call for its gradient."""

    args: Sequence[Array]
    pullback: Callable[[Array], tuple[Array, ...]] | None
    value: Array
    origins: list[Origin | None]


class Loss(Module):
    """Base class of losses. A subclass defines ``forward``; its arguments at ``predictions`` are differentiated.

    A loss is a module: ``to`` moves the arrays that it holds, such as class weights, and after ``eval()`` a call keeps
    nothing.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        Over the examples, for all losses alike; the class attribute ``reductions`` has the choices.
    """

    predictions: tuple[int, ...] = (0,)
    reductions: tuple[str, ...] = REDUCTIONS

    def __init__(self, reduction: str = "mean") -> None:
        expect_choice(reduction, self.reductions, "reduction")
        self.reduction = reduction

    def forward(self, *args: Array) -> Array:
        """Compute the loss; a subclass defines it."""
        raise UsageError(f"{type(self).__name__} defines no forward(self, input, target)")

    def __call__(self, *args: Array, **named: Array) -> Array:
        """Return the loss; in training mode on plain arrays, also keep what :meth:`gradient` needs.

        If the prediction is an output of a model in training mode, that is the pullback. Otherwise the gradient is
        unlikely to be needed, so only copies of the arguments are kept, from which :meth:`gradient` makes it.
        """
        if named:
            args = inspect.signature(self.forward).bind(*args, **named).args
        own = vars(self)  # written directly, without the checks of an attribute that may hold modules
        try:
            if self._is_copy or not self.training or TracedArray in map(type, args):
                return self.forward(*args)
            own["_kept"] = None  # before the call, so that two sets of residuals are never held
            origins = [*map(origin_of, map(args.__getitem__, self.predictions))]
            for origin in origins:
                if origin is not None and origin.is_recorded:
                    value, pullback = self._vjp(args)
                    args = ()
                    break
            else:
                value, pullback = self.forward(*args), None
                args = tuple([copied(arg) if is_array(arg) else arg for arg in args])  # the caller may write into them
        except NnxError as error:
            error.layer = error.layer or type(self).__name__
            raise
        own["_kept"] = _Call(args, pullback, value, origins)
        return value

    def gradient(self) -> Any:
        """Return the gradient of the last loss with respect to the prediction, for ``model.backward``.

        Returns
        -------
        gradient : array, shape of the prediction
            A tuple of such arrays for a loss of several predictions. With reduction ``"none"``, that of the sum.

        Raises
        ------
        UsageError
            If the loss was not called in training mode before.
        """
        call: Any = self._kept
        if call is None:
            raise UsageError(
                f"{type(self).__name__}.gradient needs a call before it: loss(model(x), target), in training mode"
            )
        pullback = call.pullback or self._vjp(call.args)[1]
        is_number = tuple(call.value.shape) == ()
        found = pullback(one_like(call.value) if is_number else namespace(call.value).ones_like(call.value))
        for gradient, origin in zip(found, call.origins, strict=True):
            if origin is not None:
                MADE_FOR.put(gradient, origin)
        return found[0] if len(found) == 1 else found

    def backward(self, *args: Any) -> NoReturn:
        """Raise UsageError: a loss has no backward pass of its own."""
        raise UsageError("a loss has no backward; hand its gradient to the model: model.backward(loss.gradient())")

    def _vjp(self, args: Sequence[Array]) -> tuple[Any, ...]:
        def forward(*inputs: Array) -> Array:
            found = list(args)
            for index, input in zip(self.predictions, inputs, strict=True):
                found[index] = input
            return self.forward(*found)

        return vjp(forward, *map(args.__getitem__, self.predictions))


def expect_array_or_none(value: Any, name: str) -> Array | None:
    """Return a weight; raises ArgumentError unless it is an array or ``None``."""
    if value is not None and not is_array(value):
        got = repr(value) if isinstance(value, str) else type(value).__name__
        raise ArgumentError(f'expected {name} to be an array, got {got}; a reduction is given by name: reduction="sum"')
    return value

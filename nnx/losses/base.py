"""Losses in the style of the post: called on a prediction and a target, then asked for the gradient."""

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from nnx.autodiff import TracedArray, vjp
from nnx.backend import copied, is_array, namespace, one_like
from nnx.errors import ArgumentError, NnxError, UsageError
from nnx.functional.checks import expect_choice
from nnx.functional.class_targets import count_each
from nnx.functional.loss_terms import REDUCTIONS
from nnx.layers import Module
from nnx.layers.links import MADE_FOR, Origin, origin_of
from nnx.losses.weighting import samples_in, total_of, weighted_total
from nnx.types import Array, Shape


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

    def divisor(self, *args: Any, sample_weight: Array | None = None) -> int | Array | None:
        r"""Return what the sum is divided by in a mean over these arguments, ``None`` for a reduction that is no mean.

        The loss of several batches together is :math:`\sum_b d_b L_b / \sum_b d_b`, and so is its gradient; of a loss
        that is a sum, it is the sum.

        Parameters
        ----------
        args : arrays
            As in a call of the loss.
        sample_weight : array, shape (batch,) or that of the loss with reduction ``"none"``, optional
            The weights of the samples, as in :func:`nnx.training.supervised`.

        Returns
        -------
        divisor : int, array of shape () or None
            Often the number of elements; for class indices, those that are not ignored, each counted as the weight of
            its class. It is not read from the device, and may be 0.

        Notes
        -----
        ``InfoNCE`` contrasts each sample with the batch that it is in, and ``Dice`` with ``axis=(0, ...)`` is about a
        whole batch: no sum over batches is their loss of all samples.

        Examples
        --------
        >>> import numpy as np, nnx
        >>> logits, target = np.zeros((3, 5)), np.asarray([4, -100, 0])
        >>> float(nnx.CrossEntropy().divisor(logits, target))
        2.0
        >>> nnx.MSE().divisor(np.zeros((3, 5)), np.ones((3, 5))), nnx.MSE(reduction="sum").divisor(logits, logits)
        (15, None)
        """
        if self.reduction in ("sum", "none"):
            return None
        counts = self.counts(*args)
        return total_of(counts) if sample_weight is None else weighted_total(counts, sample_weight)

    def terms(self, *args: Any) -> Array:
        """Return the terms that a mean or sum adds up; a subclass defines it if they are not those of ``"none"``."""
        each = copy.copy(self)
        vars(each)["reduction"] = "none"
        return each.forward(*args)

    def counts(self, *args: Any) -> Shape | Array:
        """Return what each term adds to the divisor of a mean: an array, or the shape of the terms if that is 1.

        Without a definition in a subclass, there is one term for each sample.
        """
        return (samples_in(args),)

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


class ElementwiseLoss(Loss):
    """Base class of losses that are a mean over the elements of the first argument."""

    def counts(self, *args: Any) -> Shape | Array:
        """Return the shape of the first argument."""
        return tuple(args[0].shape)


class ClassLoss(Loss):
    """Base class of losses of class indices, which have weights of the classes and an index to ignore."""

    def __init__(self, weight: Array | None, axis: int, reduction: str, ignore_index: int) -> None:
        super().__init__(reduction)
        self.weight = expect_array_or_none(weight, "weight")
        self.axis = axis
        self.ignore_index = ignore_index

    def counts(self, *args: Any) -> Shape | Array:
        """Return the weight of each example's class, 0 if it is ignored; for probabilities the examples' shape."""
        prediction, target = args
        return count_each(prediction, target, self.weight, self.axis, self.ignore_index)


def expect_array_or_none(value: Any, name: str) -> Array | None:
    """Return a weight; raises ArgumentError unless it is an array or ``None``."""
    if value is not None and not is_array(value):
        got = repr(value) if isinstance(value, str) else type(value).__name__
        raise ArgumentError(f'expected {name} to be an array, got {got}; a reduction is given by name: reduction="sum"')
    return value

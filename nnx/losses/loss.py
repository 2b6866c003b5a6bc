"""Losses in the style of the post: called on a prediction and a target, then asked for the gradient."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from nnx import functional
from nnx.autodiff import TracedArray, vjp
from nnx.backend import is_array, namespace, one_like
from nnx.errors import ArgumentError, NnxError, UsageError
from nnx.functional.checks import expect_choice
from nnx.functional.losses import REDUCTIONS
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
    """Base class of losses. A subclass defines ``forward``; its first ``predictions`` arguments are differentiated.

    A loss is a module: ``to`` moves the arrays that it holds, such as class weights, and after ``eval()`` a call keeps
    nothing.

    Parameters
    ----------
    reduction : {"mean", "sum", "none"}
        Over the examples, for all losses alike.
    """

    predictions: int = 1

    def __init__(self, reduction: str = "mean") -> None:
        expect_choice(reduction, REDUCTIONS, "reduction")
        self.reduction = reduction

    def forward(self, *args: Array) -> Array:
        """Compute the loss; a subclass defines it."""
        raise UsageError(f"{type(self).__name__} defines no forward(self, input, target)")

    def __call__(self, *args: Array) -> Array:
        """Return the loss; in training mode on plain arrays, also keep what :meth:`gradient` needs.

        If the prediction is an output of a model in training mode, that is the pullback. Otherwise the gradient is
        unlikely to be needed, so only the arguments are kept, which must not be written into until :meth:`gradient` has
        made the pullback from them.
        """
        own = vars(self)  # written directly, without the checks of an attribute that may hold modules
        try:
            if self._is_copy or not self.training or TracedArray in map(type, args):
                return self.forward(*args)
            own["_kept"] = None  # before the call, so that two sets of residuals are never held
            origins = [*map(origin_of, args[: self.predictions])]
            for origin in origins:
                if origin is not None and origin.is_recorded:
                    value, pullback = self._vjp(args)
                    args = ()
                    break
            else:
                value, pullback = self.forward(*args), None
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
        rest = args[self.predictions :]
        return vjp(lambda *inputs: self.forward(*inputs, *rest), *args[: self.predictions])


class MSE(Loss):
    """Mean squared error over all elements; see :func:`nnx.functional.mse`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.MSE()
    >>> float(loss(np.asarray([1.0, 2.0]), np.asarray([1.0, 4.0])))
    2.0
    >>> loss.gradient()
    array([ 0., -2.])
    """

    def forward(self, input: Array, target: Array) -> Array:
        """Return the loss of (batch, ...) and a target of the same shape."""
        return functional.mse(input, target, reduction=self.reduction)


class MSES(Loss):
    """Mean squared error of the softmax of the input; see :func:`nnx.functional.mses`.

    Parameters
    ----------
    axis : int
        The axis of the classes.
    reduction : {"mean", "sum", "none"}

    Examples
    --------
    >>> import numpy as np, nnx
    >>> float(nnx.MSES()(np.asarray([[0.0, 0.0]]), np.asarray([[1.0, 0.0]])))
    0.25
    """

    def __init__(self, *, axis: int = 1, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.axis = axis

    def forward(self, input: Array, target: Array) -> Array:
        """Return the loss of logits (batch, classes, ...) and a target of the same shape."""
        return functional.mses(input, target, axis=self.axis, reduction=self.reduction)


class CrossEntropy(Loss):
    """Cross-entropy of logits with class indices or probabilities; see :func:`nnx.functional.cross_entropy`.

    Parameters
    ----------
    weight : array, shape (classes,), optional
        A weight for each class.
    axis : int
        The axis of the classes.
    reduction : {"mean", "sum", "none"}
    ignore_index : int
        Examples with this class index are ignored.
    label_smoothing : float, in [0, 1)

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.CrossEntropy()
    >>> round(float(loss(np.asarray([[0.0, 0.0]]), np.asarray([1]))), 4)
    0.6931
    >>> loss.gradient()
    array([[ 0.5, -0.5]])
    """

    def __init__(
        self,
        weight: Array | None = None,
        *,
        axis: int = 1,
        reduction: str = "mean",
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        if weight is not None and not is_array(weight):
            got = repr(weight) if isinstance(weight, str) else type(weight).__name__
            raise ArgumentError(
                f"expected weight to be an array, one number for each class, got {got}; "
                'a reduction is given by name: reduction="sum"'
            )
        self.weight = weight
        self.axis = axis
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, logits: Array, target: Array) -> Array:
        """Return the loss of logits (batch, classes, ...) and a target of indices or probabilities."""
        return functional.cross_entropy(
            logits,
            target,
            self.weight,
            axis=self.axis,
            reduction=self.reduction,
            ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing,
        )


class KLDivergenceStandardNormal(Loss):
    """Divergence of a normal distribution from N(0, 1); see :func:`nnx.functional.kl_divergence_standard_normal`.

    It is called with mean and variance, and its gradient is a pair.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> loss = nnx.KLDivergenceStandardNormal()
    >>> float(loss(np.asarray([[2.0]]), np.asarray([[1.0]])))
    2.0
    >>> loss.gradient()
    (array([[2.]]), array([[0.]]))
    """

    predictions = 2

    def forward(self, mean: Array, variance: Array) -> Array:
        """Return the loss of mean and variance, both (batch, latent)."""
        return functional.kl_divergence_standard_normal(mean, variance, reduction=self.reduction)

"""Module: a tree of layers with parameters and buffers, called like a function."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from nnx.autodiff import TracedArray
from nnx.autodiff.outside import ACTIVE
from nnx.backend import is_array
from nnx.errors import UsageError
from nnx.functional.checks import as_nonnegative
from nnx.functional.descent import PLAIN, descend
from nnx.layers.backward import NOT_KEPT, backward, call_and_keep
from nnx.layers.config import config_of
from nnx.layers.graph import Graph
from nnx.layers.inspection import summarize
from nnx.layers.location import locate
from nnx.layers.moving import converted, wide_dtype
from nnx.layers.node import RUNNING, STAMP, is_running
from nnx.layers.parameter import Buffer
from nnx.layers.plan import plan_of, usable_plan
from nnx.layers.printing import description, text_of
from nnx.layers.recorded import expect_known
from nnx.layers.settling import settle_below, settle_itself
from nnx.layers.state import load_state
from nnx.layers.updates import fitted, write_update
from nnx.types import Array, DType, Tree


class Module(Graph):
    """Base class of layers and models. A subclass defines ``forward`` in array API code.

    Attributes that are modules, or lists, tuples and dicts of them, are children; those assigned as a
    :class:`Parameter` are trained; those that are a :class:`Buffer` are changed by ``forward`` and saved; all others
    are constants.

    In training mode, the mode of a new module, a call on plain arrays keeps its pullback for :meth:`backward`. A call
    on traced arrays, or in evaluation mode, keeps nothing. Threads must not share a module in training mode, because of
    what it keeps; with :func:`nnx.value_and_grad` they may.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> class Scale(nnx.Module):
    ...     def __init__(self):
    ...         self.factor = nnx.Parameter(np.asarray(2.0))
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> model = Scale()
    >>> model(np.asarray([1.0, 3.0]))
    array([2., 6.])
    >>> model.backward(np.asarray([1.0, 1.0]))
    array([2., 2.])
    >>> model.gradients()
    {'factor': array(4.)}
    """

    training: bool = True
    _returns_input_gradient: ClassVar[bool] = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; a subclass defines it."""
        raise UsageError(f"{type(self).__name__} defines no forward(self, ...)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``forward``; in training mode on plain arrays, also keep the pullback for :meth:`backward`."""
        if not self.is_settled:
            settle_itself(self, args, kwargs)
        outer = RUNNING.models
        if not self._is_copy:
            if ACTIVE.recorder is not None:
                expect_known(self)
            if self.training and TracedArray not in map(type, args) and (outer is None or not is_running(self)):
                output = call_and_keep(self, args, kwargs)
                if output is not NOT_KEPT:
                    return output
            RUNNING.models = [self, outer, None]
        try:
            watcher = self._watcher
            return self.forward(*args, **kwargs) if watcher is None else watcher(self, args, kwargs)
        except Exception as error:
            locate(error, self, args)
            raise
        finally:
            RUNNING.models = outer

    def backward(self, gradient: Tree, input_gradient: bool | None = None) -> Any:
        """Propagate the gradient of a loss back through the last call, once: the residuals are freed as they are used.

        Parameters
        ----------
        gradient : array, shape of the last output
            The gradient of the loss with respect to the output. It is not changed.
        input_gradient : bool, optional
            Whether to compute and return the gradient of the input. As in the post, the default is yes for a layer and
            no for a :class:`Sequential`, also called ``Model``.

        Returns
        -------
        gradient : array, shape of the last input
            With respect to the input, or ``None`` without ``input_gradient``. ``None`` also for an input that is not
            floating-point, and for several arguments a tuple, with a dict of those passed by name at its end. The
            gradients of the parameters are then in :meth:`gradients`.

        Raises
        ------
        UsageError
            If there was no call in training mode, or a backward pass since, or if a loss made the gradient for another
            output.
        ShapeError, DTypeError
            If the gradient does not have the shape or dtype of the last output.
        """
        return backward(self, gradient, self._returns_input_gradient if input_gradient is None else input_gradient)

    def gradients(self) -> dict[str, Array]:
        """Return the gradients of the parameters by dotted path, as the last :meth:`backward` left them."""
        if self._gradients is None:
            raise UsageError(f"{type(self).__name__} has no gradients yet; call backward(gradient) first")
        return self._gradients

    def update(self, learning_rate: float) -> None:
        r"""Take one step of gradient descent with the gradients of the last :meth:`backward`.

        .. math:: w \leftarrow w - \gamma \nabla_w

        Parameters
        ----------
        learning_rate : float
            The step size :math:`\gamma`.

        Raises
        ------
        UsageError
            If there was no backward pass.
        ArgumentError
            If the learning rate is not a finite number >= 0, or parameters were added or removed since the backward
            pass.

        Notes
        -----
        A parameter is updated in place if nothing else refers to its array; otherwise the old array keeps its values.
        """
        rate = as_nonnegative(learning_rate, "learning_rate")
        gradients = self.gradients() if self._gradients is None else self._gradients  # the method raises if None
        write_update(*fitted(self, gradients, {}), descend, {**PLAIN, "learning_rate": rate}, {})

    def settle(self, *args: Any, **kwargs: Any) -> Self:
        """Settle open sizes, as in ``Linear(None, 10)``, from an input; the first call does the same.

        Until then :meth:`parameters`, and whatever needs it, raises UsageError. A layer with an open size sets
        ``self.is_settled = False`` in its constructor, and makes its parameters in its own ``settle``, which is called
        with the inputs of the first call as plain arrays.

        Parameters
        ----------
        *args, **kwargs
            The arguments of ``forward``.

        Returns
        -------
        Module
            This module.
        """
        self._refuse_change("settle")
        settle_below(self, args, kwargs)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set training mode for this module and all below it, and return this module."""
        self._refuse_change("train or eval")
        for module in (self, *plan_of(self).below):
            module.__dict__["training"] = mode
            module.__dict__["_kept"] = None
        STAMP.constants = object()
        return self

    def eval(self) -> Self:
        """Set evaluation mode: a call keeps nothing for a backward pass."""
        return self.train(False)

    def state_dict(self) -> dict[str, Any]:
        """Return the values by dotted path: the arrays of parameters themselves, and copies of those of buffers.

        Later steps change neither. Parameters need no copy, since an array that anyone else refers to is not updated in
        place; a ``forward`` may write into a buffer all the same.
        """
        return self.parameters() | {path: buffer.snapshot() for path, buffer in self.buffers().items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Self:
        """Replace parameters and buffers by saved values, moved to the library and device of each.

        Parameters
        ----------
        state : mapping from dotted path to array
            As :meth:`state_dict` returns, from any library.
        strict : bool
            Whether missing and extra names are errors. Wrong shapes and dtypes always are.

        Returns
        -------
        Module
            This module.

        Raises
        ------
        CheckpointError
            Lists the names that are missing or extra, and the wrong shapes and dtypes, or 20 of these. Then nothing is
            changed.
        """
        self._refuse_change("load_state_dict")
        load_state(self, state, strict)
        return self

    def to(self, device: str | None = None, *, dtype: DType | str | None = None) -> Self:
        """Move all arrays to a backend and device, or to another floating-point dtype, in place.

        These are parameters, buffers, and attributes that are plain arrays.

        Parameters
        ----------
        device : str, optional
            As in :func:`nnx.to_device`: ``"cupy:0"``, ``"torch"``, ``"cuda:1"``.
        dtype : dtype or str, optional
            Such as ``"float64"``; integer arrays keep theirs.

        Returns
        -------
        Module
            This module.
        """
        self._refuse_change("to")
        for module in (self, *usable_plan(self).below):
            for name, value in vars(module).items():
                if isinstance(value, Buffer):
                    value.value = converted(value.value, device, wide_dtype(dtype) if value.wide else dtype)
                elif is_array(value):
                    vars(module)[name] = converted(value, device, dtype)
            module.__dict__["_kept"] = module.__dict__["_gradients"] = None
        STAMP.values = object()
        return self

    def summary(self, *args: Any) -> str:
        """Return a table of the layers: output shapes and floating-point operations for an input, and parameters.

        What stands for a container includes all that is inside it; a shared layer's parameters are counted once.

        Parameters
        ----------
        *args : arrays, or one tuple of int
            The input, or its shape; without it the table has only parameters.

        Notes
        -----
        FLOPs are those of one forward pass in evaluation mode: two for each multiply-add of matrix products,
        convolutions, attention and recurrent layers, the convention of PyTorch's counter. Elementwise functions,
        normalization, pooling and lookups count nothing. A ``-`` stands where a model does what no transform could
        trace, such as calling another library.
        """
        return summarize(self, *args)

    def config(self) -> dict[str, Any]:
        """Return the class and the arguments that would build this module, as data for JSON.

        :func:`nnx.from_config` builds a module from it, with new initial values: the values of parameters are not part
        of it but of :meth:`state_dict`, and neither are random generators. Shared modules and ties are.

        Returns
        -------
        dict
            ``{"type": "Linear", "in_features": 3, ...}``: all arguments by name, and modules among them in this form.

        Raises
        ------
        ArgumentError
            If an argument cannot be represented, such as a function.
        UsageError
            If the model was changed after construction in a way that no arguments would produce.

        Examples
        --------
        >>> import nnx
        >>> nnx.Softmax(axis=1).config()
        {'type': 'Softmax', 'axis': 1}
        """
        return config_of(self)

    def describe(self) -> str:
        """Return what ``repr`` shows between the parentheses: the arguments that are not the default."""
        return description(self)

    def __repr__(self) -> str:
        return text_of(self)

    def __getstate__(self) -> dict[str, Any]:
        # A pullback is a closure, which cannot be pickled, and holds residuals that are of no use elsewhere.
        return {name: value for name, value in vars(self).items() if name not in _NOT_PICKLED}


_NOT_PICKLED = frozenset({"_kept", "_is_copy", "_watcher"})

"""Module: a tree of layers with parameters and buffers, called like a function."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from nnx.autodiff import TracedArray
from nnx.backend import is_array
from nnx.errors import UsageError
from nnx.functional.checks import as_nonnegative
from nnx.functional.descent import PLAIN, descend
from nnx.layers.backward import NOT_KEPT, backward, call_and_keep
from nnx.layers.config import config_of
from nnx.layers.graph import Graph
from nnx.layers.inspection import summarize
from nnx.layers.location import locate
from nnx.layers.moving import converted
from nnx.layers.node import RUNNING, is_running
from nnx.layers.parameter import Buffer
from nnx.layers.plan import plan_of, usable_plan
from nnx.layers.printing import description, text_of
from nnx.layers.settling import settle_below, settle_itself
from nnx.layers.state import load_state
from nnx.layers.updates import update_parameters
from nnx.types import Array, DType, Tree


class Module(Graph):
    """Base class of layers and models. A subclass defines ``forward`` in array API code.

    Attributes that are modules, or lists, tuples and dicts of them, are children; those assigned as
    :class:`Parameter` are trained; those that are a :class:`Buffer` change and are saved; all else is constant.

    In training mode, the mode of a new module, a call on plain arrays keeps its pullback, so that
    :meth:`backward` can follow, as in "a layer is a function with a backward". A call on traced arrays, or in
    evaluation mode, keeps nothing. Because of what it keeps, let each thread call its own module in training
    mode; :func:`nnx.value_and_grad` has no such limit.

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
        """Compute the output; what a subclass defines."""
        raise UsageError(f"{type(self).__name__} defines no forward(self, ...)")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``forward``; in training mode on plain arrays, also keep the pullback for :meth:`backward`."""
        if not self.is_settled:
            settle_itself(self, args, kwargs)
        outer = RUNNING.models
        if not self._is_copy:
            if self.training and TracedArray not in map(type, args) and (outer is None or not is_running(self)):
                output = call_and_keep(self, args, kwargs)
                if output is not NOT_KEPT:
                    return output
            RUNNING.models = [self, outer, None]
        try:
            output = self.forward(*args, **kwargs)
        except Exception as error:
            locate(error, self, args)
            raise
        finally:
            RUNNING.models = outer
        if self._watcher is not None:
            self._watcher(self, output)
        return output

    def backward(self, gradient: Tree, input_gradient: bool | None = None) -> Any:
        """Carry the gradient of a loss back through the last call, once: what that kept is freed on the way.

        Parameters
        ----------
        gradient : array, shape of the last output
            The gradient of the loss with respect to the output. It is not changed.
        input_gradient : bool, optional
            Whether to compute and return the gradient of the input. As in the post a layer does, and a
            :class:`Sequential`, also called ``Model``, does not.

        Returns
        -------
        gradient : array, shape of the last input
            With respect to the input; ``None`` for an input that is not floating-point, and a tuple if the call had
            several arguments, with a dict of those that were passed by name at its end. ``None`` without
            ``input_gradient``. The gradients of the parameters are then in :meth:`gradients`.

        Raises
        ------
        UsageError
            If there was no call in training mode before, or a backward pass since, or if the gradient of a loss was
            made for another output.
        ShapeError, DTypeError
            If the gradient is not like the last output.
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
            If there was no backward pass before.
        ArgumentError
            If the learning rate is not a finite number >= 0, or parameters came or went since that backward pass.

        Notes
        -----
        A parameter is written in place where nobody else holds its array; whoever holds it keeps the old values.
        """
        rate = as_nonnegative(learning_rate, "learning_rate")
        gradients = self.gradients() if self._gradients is None else self._gradients  # which raises
        update_parameters(self, descend, gradients, {**PLAIN, "learning_rate": rate}, {})

    def settle(self, *args: Any, **kwargs: Any) -> Self:
        """Settle the sizes that were left open, as in ``Linear(None, 10)``, from an input; the first call does that.

        Until then :meth:`parameters` and all that needs them raise UsageError. A layer with an open size sets
        ``self.is_settled = False`` in its constructor, and makes its parameters in a ``settle`` of its own, which is
        given the inputs of the first call as plain arrays.

        Parameters
        ----------
        *args, **kwargs
            What ``forward`` takes.

        Returns
        -------
        Module
            This module.
        """
        self._refuse_change("settle")
        settle_below(self, args, kwargs)
        return self

    def train(self, mode: bool = True) -> Self:
        """Set training mode for this module and all below it, and return it."""
        self._refuse_change("train or eval")
        for module in (self, *plan_of(self).below):
            module.__dict__["training"] = mode
            module.__dict__["_kept"] = None
        return self

    def eval(self) -> Self:
        """Set evaluation mode: a call keeps nothing for a backward pass."""
        return self.train(False)

    def state_dict(self) -> dict[str, Any]:
        """Return the values by dotted path: the arrays of parameters themselves, and copies of those of buffers.

        Later steps change neither: a parameter that somebody holds is not written in place, a buffer may be.
        """
        return self.parameters() | {path: buffer.snapshot() for path, buffer in self.buffers().items()}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> Self:
        """Put saved values in place of parameters and buffers, moved to the library and device of each.

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
            Lists every name that is missing, extra, or of another shape or dtype. Nothing is then changed.
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
                    value.value = converted(value.value, device, dtype)
                elif is_array(value):
                    vars(module)[name] = converted(value, device, dtype)
            module.__dict__["_kept"] = module.__dict__["_gradients"] = None
        return self

    def summary(self, *args: Any) -> str:
        """Return a table of the layers, their output shapes for this input, and their numbers of parameters.

        Parameters
        ----------
        *args : arrays, or one tuple of int
            The input, or its shape; without it the table has no output shapes.
        """
        return summarize(self, *args)

    def config(self) -> dict[str, Any]:
        """Return the class and the arguments that would make this module, as data that JSON can hold.

        :func:`nnx.from_config` makes a module of it, with new initial values. Random generators are no configuration,
        values are in :meth:`state_dict`, and of a shared module or a tie the configuration says that it is one.

        Returns
        -------
        dict
            ``{"type": "Linear", "in_features": 3, ...}``: all arguments by name, modules among them likewise.

        Raises
        ------
        ArgumentError
            If an argument cannot be held, such as a function.
        UsageError
            If the model was changed after construction in a way that no arguments would give.

        Examples
        --------
        >>> import nnx
        >>> nnx.Softmax(axis=1).config()
        {'type': 'Softmax', 'axis': 1}
        """
        return config_of(self)

    def describe(self) -> str:
        """Return what ``repr`` shows between the brackets: the arguments that are not the default."""
        return description(self)

    def __repr__(self) -> str:
        return text_of(self)

    def __getstate__(self) -> dict[str, Any]:
        # A pullback is a function of its own making, and can neither be pickled nor be of use elsewhere.
        return {name: value for name, value in vars(self).items() if name not in _NOT_PICKLED}


_NOT_PICKLED = frozenset({"_kept", "_is_copy", "_watcher"})

"""What attributes of a module can be, other than constants: trained, or changed by ``forward``."""

import copy
from numbers import Number
from typing import Any

from nnx.autodiff import stop_gradient
from nnx.autodiff.outside import ACTIVE
from nnx.backend import asarray, copied, dtype_name, is_array, is_floating, is_symbolic, unrecorded
from nnx.errors import DTypeError, UsageError
from nnx.types import Array


class Parameter:
    """Marks an attribute of a module as trained: ``self.weight = Parameter(array)``.

    Reading the attribute gives the array itself; assigning a plain array later replaces the array, and the attribute
    stays a parameter.

    Parameters
    ----------
    value : array or nested sequence of floats
        Python data becomes a float32 array of the selected backend.

    Raises
    ------
    DTypeError
        If the array does not hold floating-point numbers.
    """

    def __init__(self, value: Any) -> None:
        self.value: Array = value if is_array(value) else asarray(value)
        if not is_floating(self.value):
            raise DTypeError(
                f"expected a parameter of a floating-point dtype, got {dtype_name(self.value.dtype)}; "
                "a plain attribute holds a constant, a Buffer what forward changes"
            )


class Buffer:
    """A value that ``forward`` changes and that is not trained, such as running statistics or a counter.

    ``self.count = Buffer(0)`` is read and changed as ``self.count.value``. The copies of a module that transforms make
    share its buffers with the original. What is written under a transform is stored as a plain array: buffers are not
    differentiated.

    Parameters
    ----------
    value : array, int or nested sequence of numbers
    constant : bool
        Whether the value never changes and is read on the host, such as the seed of a layer: where a compiler hides
        values, :meth:`nnx.Module.with_state` keeps the model's own.
    wide : bool
        Whether a model that is moved to a dtype of 16 bits has it in float32, as running statistics.

    Attributes
    ----------
    value : array or int

    Raises
    ------
    DTypeError
        If the value is neither an array nor a number, nor a nested sequence of numbers.
    UsageError
        If ``forward`` writes what ``jax.jit`` has not computed yet into a model that outlives the compilation.
    """

    _is_of_copy = False  # of a model that a function made for itself

    def __init__(self, value: Any, *, constant: bool = False, wide: bool = False) -> None:
        self.constant = constant
        self.wide = wide
        self._value: Any = None
        self.value = value

    @property
    def value(self) -> Any:
        """An array or a Python integer. Other Python data become an array, as in a :class:`Parameter`."""
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        if is_array(value):
            value = unrecorded(stop_gradient(value))
            if not self._is_of_copy and ACTIVE.recorder is None and is_symbolic(value):
                raise baked_in("would keep an array that JAX has not computed yet")
        elif not isinstance(value, int):
            value = _numbers(value, self._value if is_array(self._value) else None)
        self._value = value

    def snapshot(self) -> Any:
        """Return what is kept, as a copy if it is an array: ``forward`` may write into that, as ``+=`` does."""
        return copied(self._value) if is_array(self._value) else self._value

    def of_copy(self, value: Any) -> "Buffer":
        """Return a buffer for a copy of the model, with another value."""
        made = copy.copy(self)
        made._is_of_copy, made.value = True, value
        return made

    def __repr__(self) -> str:
        return f"Buffer({self.value!r})"


def baked_in(what: str) -> UsageError:
    """Return the error for a model that a function compiled by JAX should not use, but a copy of it."""
    return UsageError(
        f"a buffer of the model {what}; inside jax.jit call model = original.with_state(state), where state, an "
        "argument of the compiled function, is that of original.state_dict(), and return model.state_dict()"
    )


def _numbers(value: Any, like: Array | None) -> Array:
    if not _are_numbers(value):
        raise DTypeError(
            f"expected a buffer of numbers, got {'None' if value is None else f'a {type(value).__name__}'}"
        )
    return asarray(value) if like is None else asarray(value, like=like)


def _are_numbers(value: Any) -> bool:
    return (
        isinstance(value, Number)
        or is_array(value)
        or (isinstance(value, (list, tuple)) and all(map(_are_numbers, value)))
    )

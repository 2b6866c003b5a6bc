"""What a module's attributes can be besides constants: trained, or changed by ``forward``."""

from typing import Any

from nnx.autodiff import stop_gradient
from nnx.backend import asarray, dtype_name, is_array, is_floating
from nnx.errors import DTypeError
from nnx.types import Array


class Parameter:
    """Marks an attribute of a module as trained: ``self.weight = Parameter(array)``.

    Reading the attribute gives the array itself, and a later plain assignment replaces the array and keeps the
    mark.

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
    """A box for what ``forward`` changes and nobody trains: running statistics, counters.

    ``self.count = Buffer(0)`` is read and changed as ``self.count.value``. The copies of a module that
    transforms make share the box with the original. What is written into it under a transform is kept as a plain
    array: nobody differentiates for a buffer.

    Attributes
    ----------
    value : array or int
    """

    def __init__(self, value: Any) -> None:
        self.value = value if isinstance(value, int) or is_array(value) else asarray(value)

    @property
    def value(self) -> Any:
        """What the box holds."""
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        self._value = stop_gradient(value) if is_array(value) else value

    def __repr__(self) -> str:
        return f"Buffer({self.value!r})"

"""The base of layers with a size that may be open, as in ``Linear(None, 10)``, and is taken from the first input."""

from typing import Any, ClassVar, Self

from nnx.backend import asarray, generator, host_full
from nnx.errors import UsageError
from nnx.functional.checks import as_integer, expect_floating
from nnx.initializers import HeNormal, Initializer
from nnx.layers.module import Module
from nnx.types import Array, DType, Shape


class InitialValues:
    """Makes the arrays that a layer starts with; a layer with an open size keeps it until the size is known.

    Parameters
    ----------
    initializer : Initializer or None
        ``None`` stands for :class:`nnx.initializers.HeNormal`.
    rng, dtype
        As the layer was given them.
    like : array, optional
        An array of the library and device to use; by default those of the selected backend.
    """

    def __init__(
        self, initializer: Initializer | None, rng: Any, dtype: DType | str, like: Array | None = None
    ) -> None:
        self.initializer = initializer or HeNormal()
        self.rng = generator(rng)
        self.dtype = dtype
        self.like = like

    def drawn(self, shape: Shape, fan_in: int, fan_out: int) -> Array:
        """Return an array from the initializer."""
        return asarray(self.initializer(self.rng, shape, fan_in, fan_out), dtype=self.dtype, like=self.like)

    def full(self, shape: Shape, value: float) -> Array:
        """Return an array of equal elements."""
        return asarray(host_full(shape, value), dtype=self.dtype, like=self.like)


class OpenSizeLayer(Module):
    """A layer whose constructor ends with ``self._start(size, values)``.

    A subclass says in ``_open_size`` which attribute it is that may be ``None``, and has a method that makes the
    parameters once that size is known:

    - ``_make_parameters(size, values)`` makes them with :class:`InitialValues`;
    - ``_size_from(x)`` returns the size from an input, and raises ShapeError if that has no such axis.
    """

    _open_size: ClassVar[str]

    def _start(self, size: int | None, values: InitialValues) -> None:
        """Make the parameters, or leave it to the first input where the size is None."""
        name = self._open_size
        setattr(self, name, None if size is None else as_integer(size, name, 1))
        if size is None:
            self.is_settled = False
            self._values = values
        else:
            self._make_parameters(getattr(self, name), values)

    def settle(self, x: Array) -> Self:
        """Take the size, if it is open, from an input, and make the parameters."""
        if not self.is_settled:
            if given := [*self._parameter_names, *self._ties]:
                raise UsageError(
                    f"expected the parameters {given} to be assigned or tied after the open size is settled, since the "
                    "first input makes them; give the size, or call settle(x) before"
                )
            expect_floating(x)
            size = as_integer(self._size_from(x), self._open_size, 1)  # an input may have an axis of length 0
            self._values.like = x
            self._make_parameters(size, self._values)
            setattr(self, self._open_size, size)
            del self._values
            self.is_settled = True
        return self

    def _current_arguments(self) -> dict[str, Any]:
        return {"bias": vars(self).get("bias") is not None} if self.is_settled else {}  # the argument was a bool

    def _make_parameters(self, size: int, values: InitialValues) -> None:
        raise NotImplementedError

    def _size_from(self, x: Array) -> int:
        raise NotImplementedError

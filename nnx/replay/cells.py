"""The places where modules keep what a step reads and changes: parameters, and buffers that are not constant."""

from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any

from nnx.backend import is_array, to_numpy
from nnx.backend.transfer import host_integer
from nnx.layers import Buffer, Module
from nnx.layers.plan import usable_plan
from nnx.types import Array


class Cell:
    """A place that holds an array, or for counters a Python integer.

    Attributes
    ----------
    reading : (callable, args)
        A call that returns the array there; a counter as an array of shape ().
    writing : (callable, args) or None
        A call that puts an array there, which is its last argument; ``None`` for parameters, which optimizers change.
    """

    reading: tuple[Callable[..., Any], tuple[Any, ...]]
    writing: tuple[Callable[..., Any], tuple[Any, ...]] | None = None

    def read(self) -> Any:
        """Return what is there."""
        raise NotImplementedError

    def write(self, value: Any) -> None:
        """Put something there as it is."""
        raise NotImplementedError

    def as_array(self, value: Any) -> Array:
        """Return what was there as an array."""
        return value

    def kept(self, value: Array) -> Any:
        """Return an array as it is kept there."""
        return value


class ParameterCell(Cell):
    """A parameter, in the ``__dict__`` of its module."""

    def __init__(self, members: dict[str, Any], name: str) -> None:
        self._members, self._name = members, name
        self.reading = members.__getitem__, (name,)

    def read(self) -> Any:
        """Return the array."""
        return self._members[self._name]

    def write(self, value: Any) -> None:
        """Put an array there."""
        self._members[self._name] = value


class BufferCell(Cell):
    """A buffer with an array."""

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self.reading = attrgetter("_value"), (buffer,)
        self.writing = _write_buffer, (buffer,)

    def read(self) -> Any:
        """Return the value."""
        return self._buffer._value

    def write(self, value: Any) -> None:
        """Set the value, without the conversions of the attribute ``value``."""
        self._buffer._value = value


class CounterCell(BufferCell):
    """A buffer with a Python integer, which is an array in a recorded step."""

    def __init__(self, buffer: Buffer) -> None:
        super().__init__(buffer)
        self.reading = _read_counter, (buffer,)
        self.writing = _write_counter, (buffer,)

    def as_array(self, value: Any) -> Array:
        """Return the integer as an array on the host."""
        return host_integer(value) if isinstance(value, int) else value

    def kept(self, value: Any) -> Any:
        """Return the integer."""
        return _integer(value) if is_array(value) else value


def cells_of(modules: Iterable[Module]) -> Iterator[Cell]:
    """Iterate over the cells of modules, each once."""
    seen: set[Any] = set()
    for root in modules:
        plan = usable_plan(root)
        nodes = (root, *plan.below)
        for _, i, name in plan.parameters:
            if (key := (id(nodes[i]), name)) not in seen:
                seen.add(key)
                yield ParameterCell(vars(nodes[i]), name)
        for _, i, name in plan.buffers:
            buffer = vars(nodes[i])[name]
            if not buffer.constant and id(buffer) not in seen:
                seen.add(id(buffer))
                yield BufferCell(buffer) if is_array(buffer.value) else CounterCell(buffer)


def _write_buffer(buffer: Buffer, value: Array) -> None:
    buffer._value = value


def _read_counter(buffer: Buffer) -> Array:
    return host_integer(buffer._value)


def _write_counter(buffer: Buffer, value: Array) -> None:
    buffer._value = _integer(value)


def _integer(value: Array) -> int:
    return int(to_numpy(value))

"""What the battery knows of a public function, layer, loss or optimizer: a capability record and its rows.

The record says what holds for all of it; a row is one call that takes a path of its own through the code. The tests of
the battery, the strict xfails with their reasons and the table of ``docs/capabilities.md`` are all made from them.
"""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import nnx

DTYPES = {
    "half": ("float16", "bfloat16"),
    "real": ("float32", "float64"),
    "complex": ("complex64",),
    "integer": ("int64",),
}
Draw = Callable[[np.random.Generator], tuple[Any, ...]]


@dataclass(frozen=True)
class Row:
    """What is called, on what, and what PyTorch calls it.

    ``inputs`` are differentiated, ``constants`` (targets, tokens, masks, noise) are not; both are made by a NumPy
    generator, and ``call`` takes them in this order, for a layer after the module that ``make`` returns. What it
    returns may be a tree, such as a tuple of output and state. ``torch`` takes the module torch, for a layer a dict of
    its parameters, and the same arrays, and returns the same tree.

    A layer is called in training mode, or else, with ``training=False``, in evaluation mode. ``batch`` says how a batch
    of n follows from n batches of one: "concat", "sum" or "mean"; the arrays at the positions ``unbatched`` have no
    batch axis. ``order`` has the indices of inputs and constants in the order in which the call takes them, if that is
    another one.
    """

    id: str
    call: Callable[..., Any]
    inputs: Draw
    torch: Callable[..., Any]
    constants: Draw = lambda rng: ()
    make: Callable[[str], nnx.Module] | None = None
    batch: str | None = "concat"
    unbatched: tuple[int, ...] = ()
    order: tuple[int, ...] = ()
    training: bool = True
    repr: str | None = None

    def rng(self, stream: int = 0) -> np.random.Generator:
        """Return a generator for the arguments or, as another stream, for cotangents: these must not be the input."""
        return np.random.default_rng((zlib.crc32(self.id.encode()), stream))

    def arrays(self, library: Any, dtype: str) -> tuple[list[Any], list[Any]]:
        """Return inputs and constants on an array library; integers and booleans are what they are in any row."""
        rng = self.rng()
        inputs = [library.asarray(x, dtype) for x in self.inputs(rng)]
        constants = [library.asarray(c, dtype if c.dtype.kind == "f" else c.dtype.name) for c in self.constants(rng)]
        return inputs, constants

    def in_order(self, *arrays: Any) -> tuple[Any, ...]:
        """Return inputs and constants in the order of the call."""
        return tuple(arrays[i] for i in self.order) if self.order else arrays

    def module(self, library: Any, dtype: str) -> nnx.Module:
        """Return the layer, made on an array library."""
        with nnx.use_backend(library.spec):
            return self.make(dtype).train(self.training)

    def subject(self, library: Any, dtype: str) -> tuple[Callable[..., Any], list[Any]]:
        """Return a function of what is differentiated, and its arguments, on an array library."""
        inputs, constants = self.arrays(library, dtype)
        if self.make is None:
            return (lambda *inputs: self.call(*self.in_order(*inputs, *constants))), inputs
        return (lambda module, *inputs: _pure(self.call, module, *inputs, *constants)), [
            self.module(library, dtype),
            *inputs,
        ]


def _pure(call: Callable[..., Any], module: nnx.Module, *arrays: Any) -> Any:
    """Call a layer and put its buffers back: the second call draws the same mask, and no array of a trace is left."""
    before = [(buffer, buffer.snapshot()) for buffer in module.buffers().values()]
    try:
        return call(module, *arrays)
    finally:
        for buffer, value in before:
            buffer.value = value


@dataclass(frozen=True)
class Wrong:
    """Shapes of arguments that do not fit, and what the error says; a layer is that of the record's first row.

    ``dtypes`` has one for each shape, such as ``("float32", "int64")``; by default all are float32.
    """

    shapes: tuple[tuple[int, ...], ...]
    match: str
    dtypes: tuple[str, ...] = ()

    def arrays(self, library: Any, rng: np.random.Generator) -> list[Any]:
        dtypes = self.dtypes or ("float32",) * len(self.shapes)
        return [library.asarray(rng.uniform(0.5, 1.0, s), dtype) for s, dtype in zip(self.shapes, dtypes, strict=True)]


@dataclass(frozen=True)
class Capability:
    """What one public name can do.

    Parameters
    ----------
    name : str
        As it is found in ``nnx``: ``"functional.linear"``, ``"Linear"``.
    takes : str
        The arguments and their axes.
    torch : str
        What PyTorch calls it.
    rows : tuple of Row
        The first is the plain case. Those of optimizers are of a kind of their own. None for what is tested elsewhere.
    dtypes : tuple of str
        Keys of :data:`DTYPES`: what the arrays may be, and the result is; what is not named is refused.
    wrong : Wrong or None
        Nothing for what takes any shape.
    derivatives : str
        Of which order, and with respect to what if that is not every array.
    limits : mapping
        From an array library to the reason why the battery fails there: strict xfails.
    """

    name: str
    takes: str
    torch: str
    rows: tuple[Any, ...]
    dtypes: tuple[str, ...] = ("half", "real")
    wrong: Wrong | None = None
    derivatives: str = "every order"
    limits: Mapping[str, str] = field(default_factory=dict)

    @property
    def public(self) -> Any:
        """The function or class itself."""
        found = nnx
        for part in self.name.split("."):
            found = getattr(found, part)
        return found

    @property
    def kind(self) -> str:
        """``"functions"``, ``"layers"``, ``"losses"`` or ``"optimizers"``."""
        rooms = {
            "functions": nnx.functional,
            "layers": nnx.layers,
            "losses": nnx.losses,
            "optimizers": nnx.optimizers,
        }
        return next(kind for kind, room in rooms.items() if self.name.split(".")[-1] in room.__all__)


def layer(
    id: str,
    make: Callable[[str], nnx.Module],
    inputs: Draw,
    torch: Callable[..., Any],
    constants: Draw = lambda rng: (),
    *,
    call: Callable[..., Any] = lambda module, *xs: module(*xs),
    **options: Any,
) -> Row:
    """Return the row of a layer; ``call`` says how it is called, where that is not with all arrays by position."""
    return Row(f"layer-{id}", call, inputs, torch, constants, make, **options)


def loss(
    id: str,
    loss: nnx.Loss,
    inputs: Draw,
    torch: Callable[..., Any],
    constants: Draw = lambda rng: (),
    *,
    batch: str | None = "mean",
    **options: Any,
) -> Row:
    """Return the row of a loss; as many ``inputs`` as it has predictions."""
    return Row(f"loss-{id}", loss, inputs, torch, constants, batch=batch, **options)

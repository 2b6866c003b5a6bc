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

DTYPES = {"half": ("float16",), "real": ("float32", "float64"), "complex": ("complex64",), "integer": ("int64",)}
Draw = Callable[[np.random.Generator], tuple[Any, ...]]


@dataclass(frozen=True)
class Row:
    """What is called, on what, and what PyTorch calls it.

    ``inputs`` are differentiated, ``constants`` (targets, noise) are not; both are made by a NumPy generator, and
    ``call`` takes them in this order, for a layer after the module that ``make`` returns. ``torch`` takes the
    module torch, for a layer a dict of its parameters, and the same arrays.
    ``batch`` says how a batch of n follows from n batches of one: "concat", "sum" or "mean"; the arrays at the
    positions ``unbatched`` have no batch axis. ``differs_in_eval`` says that a layer computes something else in
    evaluation mode; the row is of training then.
    """

    id: str
    call: Callable[..., Any]
    inputs: Draw
    torch: Callable[..., Any]
    constants: Draw = lambda rng: ()
    make: Callable[[str], nnx.Module] | None = None
    batch: str | None = "concat"
    unbatched: tuple[int, ...] = ()
    differs_in_eval: bool = False
    repr: str | None = None

    def rng(self) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(self.id.encode()))

    def subject(self, library: Any, dtype: str) -> tuple[Callable[..., Any], list[Any]]:
        """Return a function of what is differentiated, and its arguments, on an array library."""
        rng = self.rng()
        arrays = [library.asarray(x, dtype) for x in self.inputs(rng)]
        constants = [library.asarray(c, dtype if c.dtype.kind == "f" else "int64") for c in self.constants(rng)]
        if self.make is None:
            return (lambda *inputs: self.call(*inputs, *constants)), arrays
        with nnx.use_backend(library.spec):
            module = self.make(dtype)
        return (lambda module, *inputs: self.call(module, *inputs, *constants)), [module, *arrays]


@dataclass(frozen=True)
class Wrong:
    """Shapes of arguments that do not fit, and what the error says; a layer is that of the record's first row."""

    shapes: tuple[tuple[int, ...], ...]
    match: str


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
        The first is the plain case. Those of optimizers are of a kind of their own.
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


def layer(id: str, make: Callable[[str], nnx.Module], inputs: Draw, torch: Callable[..., Any], **options: Any) -> Row:
    """Return the row of a layer."""
    call = options.pop("call", lambda module, *xs: module(*xs))
    return Row(f"layer-{id}", call, inputs, torch, make=make, **options)


def loss(
    id: str, loss: nnx.Loss, inputs: Draw, torch: Callable[..., Any], constants: Draw = lambda rng: (), **options: Any
) -> Row:
    """Return the row of a loss."""
    return Row(f"loss-{id}", loss, inputs, torch, constants, batch="mean", **options)

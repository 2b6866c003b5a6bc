"""Layers whose input takes several ways: around other layers, or through all of them side by side."""

from collections.abc import Iterable
from typing import Any

from nnx.backend import namespace
from nnx.errors import ArgumentError, ShapeError
from nnx.functional.checks import expect_choice
from nnx.layers.collecting import ListOfModules, expect_module, expect_modules
from nnx.layers.module import Module
from nnx.layers.sequential import Sequential
from nnx.types import Array

COMBINATIONS = ("sum", "product", "concatenate", "stack", "tuple")


class Residual(Module):
    r"""Add the input to what other layers make of it: :math:`y = s(x) + f(x)`.

    Parameters
    ----------
    inner : Module or iterable of Module
        :math:`f`; several are put into a :class:`Sequential`. It is called with all arguments.
    shortcut : Module, optional
        :math:`s`, called with the first argument; by default it is :math:`x` itself. Give one where :math:`f` changes
        the shape, such as a convolution of kernel size 1.

    Raises
    ------
    ArgumentError
        If something is not a module.
    ShapeError
        On a call, if the two terms do not have the same shape: nothing is broadcast.

    Notes
    -----
    Source: K. He et al., "Deep residual learning for image recognition", CVPR 2016.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> block = nnx.Residual([nnx.Linear(4, 8, rng=0), nnx.ReLU(), nnx.Linear(8, 4, rng=1)])
    >>> block(np.ones((2, 4), np.float32)).shape, list(block.parameters())[:2]
    ((2, 4), ['inner.0.weight', 'inner.0.bias'])
    """

    def __init__(self, inner: Module | Iterable[Module], shortcut: Module | None = None) -> None:
        self.inner = inner if isinstance(inner, Module) else Sequential(inner)
        self.shortcut = None if shortcut is None else expect_module(shortcut, "shortcut")

    def forward(self, x: Array, *args: Any, **kwargs: Any) -> Array:
        """Map the input of the layers to their output plus the shortcut's."""
        around = x if self.shortcut is None else self.shortcut(x)
        through = self.inner(x, *args, **kwargs)
        if tuple(through.shape) != tuple(around.shape):
            raise ShapeError(
                f"expected the inner layers to return shape {tuple(around.shape)}, as the shortcut does, got "
                f"{tuple(through.shape)}; give a shortcut that returns this shape too"
            )
        return around + through

    def _current_arguments(self) -> dict[str, Any]:
        return {"inner": self.inner}


class Parallel(ListOfModules):
    r"""Call all branches on the same arguments, and combine what they return: :math:`y = f_1(x) + f_2(x) + \dots`.

    Parameters
    ----------
    branches : iterable of Module
        Their paths are ``"0"``, ``"1"``, ...
    combine : {"sum", "product", "concatenate", "stack", "tuple"}
        Sum and product are those of elements. With ``"tuple"`` the outputs are returned as they are.
    axis : int
        Along which to concatenate, or the new axis of a stack; default the last.

    Raises
    ------
    ArgumentError
        If something is not a module or ``combine`` is something else; on a call, if there is no branch.
    ShapeError
        On a call, if the outputs do not have the same shape, but for the axis along which they are concatenated.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> heads = nnx.Parallel([nnx.Linear(4, 2, rng=0), nnx.Linear(4, 3, rng=1)], combine="concatenate")
    >>> heads(np.ones((5, 4), np.float32)).shape
    (5, 5)
    """

    _numbered = "branches"

    def __init__(self, branches: Iterable[Module], combine: str = "sum", *, axis: int = -1) -> None:
        self.branches = expect_modules(branches)
        expect_choice(combine, COMBINATIONS, "combine")
        self.combine = combine
        self.axis = axis

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Map the input of the branches to their outputs, combined."""
        outputs = [branch(*args, **kwargs) for branch in self.branches]
        if self.combine == "tuple":
            return tuple(outputs)
        _expect_alike(outputs, self.axis if self.combine == "concatenate" else None)
        xp = namespace(*outputs)
        if self.combine in ("concatenate", "stack"):
            return (xp.concat if self.combine == "concatenate" else xp.stack)(outputs, axis=self.axis)
        total = outputs[0]
        for output in outputs[1:]:
            total = total + output if self.combine == "sum" else total * output
        return total


def _expect_alike(outputs: list[Array], axis: int | None) -> None:
    if not outputs:
        raise ArgumentError("expected at least one branch, got none; append a module")
    first = tuple(outputs[0].shape)
    except_for = None if axis is None else axis % max(len(first), 1)
    for i, output in enumerate(outputs):
        shape = tuple(output.shape)
        if len(shape) != len(first) or any(a != b for k, (a, b) in enumerate(zip(shape, first)) if k != except_for):  # noqa: B905
            but = "" if axis is None else f", except for axis {axis}"
            raise ShapeError(f"expected branch {i} to return shape {first}, as branch 0 does{but}, got {shape}")

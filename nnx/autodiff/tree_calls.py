"""A call of a function of trees and modules as one primitive of the arrays in them."""

from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.primitives import Primitive
from nnx.backend import namespace
from nnx.tree import Rebuild, tree_split
from nnx.types import Tree


class TreeCall:
    """One call of a function of trees, as a primitive whose arguments are the leaves."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], name: str) -> None:
        found, self.rebuild = tree_split(args)
        self.leaves = list(found.values())
        self.form: Rebuild = lambda leaves: leaves
        self.primitive: Primitive[..., Any] = Primitive(
            lambda *leaves: self.flat(function(*self.rebuild(leaves))),
            name=name,
            retraced=False,
            takes_keywords=False,
            may_have_kernels=False,
        )
        self.primitive.is_transparent = True

    def flat(self, output: Tree) -> tuple[Any, ...]:
        """Return the arrays of an output, and remember the structure of its tree."""
        leaves, self.form = tree_split(output)
        return tuple(leaves.values())

    def cotangent(self, parts: Sequence[Any], outputs: Sequence[Any]) -> Tree:
        """Return the cotangent in the structure of the output, with zeros where none arrived."""
        pairs = zip(parts, outputs, strict=True)
        return self.form([namespace(out).zeros_like(out) if part is None else part for part, out in pairs])

    def __call__(self) -> Any:
        """Make the call, once."""
        # This object and its primitive refer to each other. Arrays in that cycle would live until the next collection.
        leaves, self.leaves = self.leaves, []
        outputs = self.primitive(*leaves)  # sets self.form
        return self.form(outputs)


def scattered(indices: Sequence[int], values: Sequence[Any], count: int) -> list[Any]:
    """Return a list with values at their indices, and None elsewhere."""
    found = dict(zip(indices, values, strict=True))
    return [found.get(i) for i in range(count)]

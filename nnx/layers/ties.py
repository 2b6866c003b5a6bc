"""One parameter under two names: the second reads the first."""

from typing import Any

from nnx.errors import ArgumentError, ShapeError
from nnx.layers.node import Node


class Tied:
    """Makes an attribute read a parameter of another module: ``decoder.weight = Tied(embedding, "weight")``.

    There is only one parameter: it has the path of its owner, where the gradients of all uses add up, and it is saved
    and moved once. Assign a new array to the owner; ``del decoder.weight`` ends the tie. The owner must be part of the
    model that is differentiated or saved.

    Parameters
    ----------
    owner : Module
        The module that has the parameter.
    name : str
        The name of the parameter there.
    transpose : bool
        Whether to read the matrix transposed, for a decoder that shares the weight of an embedding.

    Raises
    ------
    ArgumentError
        If the owner has no parameter of that name or, on assignment, if the attribute would be tied to itself.
    ShapeError
        If the parameter to transpose is not a matrix.

    Examples
    --------
    >>> import nnx
    >>> encoder, decoder = nnx.Linear(4, 2, rng=0), nnx.Linear(2, 4, rng=0)
    >>> decoder.weight = nnx.Tied(encoder, "weight", transpose=True)
    >>> list(nnx.Model([encoder, decoder]).parameters())
    ['0.weight', '0.bias', '1.bias']
    """

    __slots__ = ("name", "owner", "transpose")

    def __init__(self, owner: Any, name: str, *, transpose: bool = False) -> None:
        if not isinstance(owner, Node) or (name not in owner._parameter_names and name not in owner._ties):
            raise ArgumentError(f"expected a module with a parameter {name!r} to tie to, got {type(owner).__name__}")
        self.owner = owner
        self.name = name
        self.transpose = bool(transpose)
        if transpose and len(self.read_owner().shape) != 2:
            raise ShapeError(f"expected a matrix to transpose, got {name!r} of shape {tuple(self.read_owner().shape)}")

    def read_owner(self) -> Any:
        """Return the owner's array as it is."""
        return getattr(self.owner, self.name)

    def read(self) -> Any:
        """Return the value of the tied attribute: the owner's array, or its transpose."""
        value = self.read_owner()
        return value.T if self.transpose else value

    def __repr__(self) -> str:
        options = ", transpose=True" if self.transpose else ""
        return f"Tied({type(self.owner).__name__}, {self.name!r}{options})"


def refuse_tie_to_itself(tie: Tied, module: Any, name: str) -> None:
    """Raise ArgumentError if an attribute would read itself."""
    owner, source = tie.owner, tie.name
    while owner is not module or source != name:
        further = owner._ties.get(source)
        if further is None:
            return
        owner, source = further.owner, further.name
    raise ArgumentError(f"expected {name!r} tied to the parameter of another module, got a tie to itself")

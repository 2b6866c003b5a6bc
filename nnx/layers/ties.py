"""One parameter under two names: the second reads the first."""

from typing import Any

from nnx.errors import ArgumentError, ShapeError
from nnx.layers.node import Node


class Tied:
    """Makes an attribute read a parameter of another module: ``decoder.weight = Tied(embedding, "weight")``.

    The parameter stays one: it has its owner's path, its gradients from all uses add up there, and it is saved and
    moved once. A new array is assigned to the owner; ``del decoder.weight`` ends the tie. The owner must be somewhere
    in the model that is differentiated or saved.

    Parameters
    ----------
    owner : Module
        The module whose parameter it is.
    name : str
        The name of the parameter there.
    transpose : bool
        Read the matrix transposed, as a decoder needs that runs an embedding backward.

    Raises
    ------
    ArgumentError
        If the owner has no parameter of that name, or, when it is assigned, if that is the attribute itself.
    ShapeError
        If what is to be transposed is no matrix.

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
        """Return the owner's array as the attribute shows it."""
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

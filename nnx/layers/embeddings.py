"""A trained vector for each of a number of tokens."""

from typing import Any

from nnx import functional
from nnx.backend import asarray, generator
from nnx.errors import ArgumentError
from nnx.functional.checks import as_integer
from nnx.initializers import Initializer, Normal
from nnx.layers.module import Module
from nnx.layers.parameter import Parameter
from nnx.types import Array, DType


class Embedding(Module):
    r"""A trained vector for each token: :math:`y_i = W_{n_i}`, the row of the token :math:`n_i`.

    Parameters
    ----------
    num_embeddings : int
        How many tokens there are; they are numbered from 0.
    features : int
        Length of a vector.
    padding_index : int, optional
        The token that fills up short sequences: its vector starts at zero and gets no gradient.
    initializer : Initializer, optional
        Draws the initial weight; default standard normal.
    rng : int or NumPy Generator, optional
        Source of the initial weight; by default the system's entropy. Pass one generator to all layers.
    dtype : dtype or str
        Of the weight; default float32.

    Attributes
    ----------
    weight : array, shape (num_embeddings, features)

    Raises
    ------
    ArgumentError
        If a size is less than 1 or ``padding_index`` is no token; on a call, if a token is negative or too large.
    DTypeError
        On a call, if the tokens are not integers.

    Notes
    -----
    The gradient of the weight adds the cotangents of each token's occurrences; one-hot vectors are never built.
    Language models share this weight with their output layer, in which each token has a column. Source: O. Press and
    L. Wolf, "Using the output embedding to improve language models", EACL 2017.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> embedding = nnx.Embedding(65, 16, rng=0)
    >>> embedding(np.asarray([[3, 1, 4], [1, 5, 9]])).shape
    (2, 3, 16)

    Tied to an output layer:

    >>> output = nnx.Linear(16, 65, bias=False)
    >>> output.weight = nnx.Tied(embedding, "weight", transpose=True)
    >>> list(nnx.Model([embedding, output]).parameters())
    ['0.weight']
    """

    def __init__(
        self,
        num_embeddings: int,
        features: int,
        *,
        padding_index: int | None = None,
        initializer: Initializer | None = None,
        rng: Any = None,
        dtype: DType | str = "float32",
    ) -> None:
        self.num_embeddings = count = as_integer(num_embeddings, "num_embeddings", 1)
        self.features = as_integer(features, "features", 1)
        self.padding_index = None if padding_index is None else as_integer(padding_index, "padding_index", 0)
        weight = (initializer or Normal(std=1.0))(generator(rng), (count, self.features), count, self.features)
        if self.padding_index is not None:
            if self.padding_index >= count:
                raise ArgumentError(f"expected padding_index from 0 to {count - 1}, got {padding_index}")
            weight[self.padding_index] = 0.0
        self.weight = Parameter(asarray(weight, dtype=dtype))

    def forward(self, tokens: Array) -> Array:
        """Map tokens of any shape to (..., features)."""
        return functional.embedding(tokens, self.weight, padding_index=self.padding_index)

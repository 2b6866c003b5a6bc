"""Sums of products over named axes."""

import math
from collections.abc import Iterable

from nnx.backend import dtype_name, namespace
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.functional.checks import counted, expect_same_dtype
from nnx.types import Array, Namespace


def einsum(subscripts: str, *operands: Array) -> Array:
    r"""Einstein summation: :math:`y_{\text{out}} = \sum_{\text{rest}} \prod_k x^{(k)}_{\text{in}_k}`.

    Parameters
    ----------
    subscripts : str
        A letter for each axis of each operand, with commas between operands; then, optionally, ``->`` and the letters
        of the result. Without ``->`` the result has the letters that occur once, in alphabetical order. Letters that
        are not in the result are summed over; a letter repeated within an operand takes the diagonal.
    *operands : arrays of one numeric dtype
        One for each term in ``subscripts``; axes of the same letter have the same length.

    Returns
    -------
    y : array of the same dtype
        One axis for each letter of the result.

    Raises
    ------
    ArgumentError
        If the subscripts are malformed, contain an ellipsis, or do not have one term per operand.
    ShapeError
        If an operand does not have one axis per letter, or a letter stands for different lengths.
    DTypeError
        If the operands hold booleans, or differ in dtype.
    BackendError
        If the operands belong to different libraries.

    Notes
    -----
    The operands are contracted from left to right, two at a time, each pair by one matrix product; if another order is
    cheaper, write several calls. Unlike in NumPy, an axis of length 1 is not broadcast.

    Source: the notation is that of ``numpy.einsum``.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> x = np.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> nnx.functional.einsum("ij,j->i", x, np.asarray([1.0, 10.0]))
    array([21., 43.])
    >>> nnx.functional.einsum("ii->i", x)
    array([1., 4.])
    """
    terms, output = _parse(subscripts, len(operands))
    xp = namespace(*operands)
    _check(xp, subscripts, terms, operands)
    left, left_term = None, ""
    for i, term in enumerate(terms):
        # Letters that neither the result nor a later operand has are summed over as early as possible.
        later = {*output, *"".join(terms[i + 1 :])}
        right, term = _reduced(xp, *_diagonals(xp, operands[i], term), {*left_term, *later})
        if left is None:
            left, left_term = right, term
        else:
            left, left_term = _reduced(xp, left, left_term, {*term, *later})
            left, left_term = _product(xp, left, left_term, right, term, later)
    return _permuted(xp, left, left_term, output)


def _parse(subscripts: str, count: int) -> tuple[list[str], str]:
    """Return the letters of each operand, and those of the result."""
    if not isinstance(subscripts, str):
        raise ArgumentError(
            f"expected subscripts as a string such as 'ij,jk->ik', before the operands, got {type(subscripts).__name__}"
        )
    if "..." in subscripts:
        raise ArgumentError(f"expected a letter for every axis, got an ellipsis in {subscripts!r}; name its axes")
    inputs, *outputs = subscripts.replace(" ", "").split("->")
    if len(outputs) > 1:
        raise ArgumentError(f"expected '->' at most once in the subscripts, got {subscripts!r}")
    terms = inputs.split(",")
    for letter in inputs.replace(",", "") + "".join(outputs):
        if not (letter.isascii() and letter.isalpha()):
            raise ArgumentError(f"expected subscripts of the letters a-z and A-Z, got {letter!r} in {subscripts!r}")
    if len(terms) != count or not count:
        raise ArgumentError(f"expected an operand for each of the {len(terms)} terms of {subscripts!r}, got {count}")
    letters = "".join(terms)
    if not outputs:
        return terms, "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    for letter in outputs[0]:
        if outputs[0].count(letter) > 1:
            raise ArgumentError(f"expected each letter once after '->', got {letter!r} twice in {subscripts!r}")
        if letter not in letters:
            raise ArgumentError(f"expected only letters of the operands after '->', got {letter!r} in {subscripts!r}")
    return terms, outputs[0]


def _check(xp: Namespace, subscripts: str, terms: list[str], operands: tuple[Array, ...]) -> None:
    sizes: dict[str, int] = {}
    for i, (term, x) in enumerate(zip(terms, operands, strict=True)):
        if not hasattr(x, "shape"):
            raise ArgumentError(f"expected operand {i} to be an array, got {type(x).__name__}")
        if not xp.isdtype(x.dtype, "numeric"):
            raise DTypeError(f"expected operand {i} of a numeric dtype, got {dtype_name(x.dtype)}")
        expect_same_dtype(operands[0], x, f"operand {i}", "operand 0")
        if len(term) != x.ndim:
            raise ShapeError(
                f"expected operand {i} of {subscripts!r} to have {counted(len(term), 'axis')}, one for each letter of "
                f"{term!r}, got shape {tuple(x.shape)}"
            )
        for letter, size in zip(term, x.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ShapeError(
                    f"expected one length for {letter!r} in {subscripts!r}, got {sizes[letter]} and {size} "
                    f"(operand {i})"
                )


def _permuted(xp: Namespace, x: Array, term: str, order: str) -> Array:
    return x if term == order else xp.permute_dims(x, tuple(term.index(letter) for letter in order))


def _diagonals(xp: Namespace, x: Array, term: str) -> tuple[Array, str]:
    """Take diagonals until each letter occurs once: of n * n elements in a row, every (n + 1)-th is on the diagonal."""
    while len(set(term)) < len(term):
        letter = next(letter for letter in term if term.count(letter) > 1)
        first = term.index(letter)
        second = term.index(letter, first + 1)
        rest = [axis for axis in range(len(term)) if axis not in (first, second)]
        n = x.shape[first]
        x = xp.permute_dims(x, (*rest, first, second))
        x = xp.reshape(x, (*x.shape[:-2], n * n))[..., 0 : n * n : n + 1]
        term = "".join(term[axis] for axis in rest) + letter
    return x, term


def _reduced(xp: Namespace, x: Array, term: str, kept: set[str]) -> tuple[Array, str]:
    """Sum over the letters that are not kept."""
    axes = tuple(axis for axis, letter in enumerate(term) if letter not in kept)
    if not axes:
        return x, term
    return xp.sum(x, axis=axes, dtype=x.dtype), "".join(letter for letter in term if letter in kept)


def _product(
    xp: Namespace, left: Array, left_term: str, right: Array, right_term: str, kept: set[str]
) -> tuple[Array, str]:
    """Multiply two operands, summing over common letters that are not kept, as one product of (batches of) matrices."""
    sizes = {**dict(zip(left_term, left.shape, strict=True)), **dict(zip(right_term, right.shape, strict=True))}
    both = [letter for letter in left_term if letter in right_term]
    batch = "".join(letter for letter in both if letter in kept)
    summed = "".join(letter for letter in both if letter not in kept)
    rows = "".join(letter for letter in left_term if letter not in both)
    columns = "".join(letter for letter in right_term if letter not in both)

    def lengths(letters: Iterable[str]) -> tuple[int, ...]:
        return tuple(sizes[letter] for letter in letters)

    stack = (math.prod(lengths(batch)),) if batch else ()
    m, k, n = (math.prod(lengths(part)) for part in (rows, summed, columns))
    left = xp.reshape(_permuted(xp, left, left_term, batch + rows + summed), (*stack, m, k))
    right = xp.reshape(_permuted(xp, right, right_term, batch + summed + columns), (*stack, k, n))
    # With nothing to sum over k is 1, and the outer product of a column and a row is a broadcast product.
    product = left @ right if summed else left * right
    term = batch + rows + columns
    return xp.reshape(product, lengths(term)), term

"""The checks of the arguments of attention, for the portable body and the kernels."""

from typing import Any

from nnx.backend import dtype_name, namespace
from nnx.errors import ArgumentError, DTypeError, ShapeError
from nnx.functional.checks import as_integer, as_probability, expect_broadcast, expect_real, expect_same_dtype
from nnx.types import Array, Shape


def check_attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    bias: Array | None = None,
    *,
    dropout: float = 0.0,
    seed: int | None = None,
    block: int | None = None,
    **others: Any,
) -> None:
    """Raise an error unless the arguments of :func:`attention` fit together."""
    namespace(query, key, value, mask, bias)
    expect_real(query, "query")
    for x, name in ((key, "key"), (value, "value"), (bias, "bias")):
        if x is not None:
            expect_same_dtype(query, x, name, "query")
    for x, name in ((query, "query"), (key, "key"), (value, "value")):
        if x.ndim < 3:
            raise ShapeError(f"expected {name} of shape (..., heads, time, features), got {tuple(x.shape)}")
    _check_shapes(tuple(query.shape), tuple(key.shape), tuple(value.shape))
    scores = (*query.shape[:-1], key.shape[-2])
    for x, name in ((mask, "mask"), (bias, "bias")):
        if x is not None:
            expect_broadcast(x, scores, name, "(..., heads, query time, key time)")
    if mask is not None and dtype_name(mask.dtype) != "bool":
        raise DTypeError(
            f"expected mask of dtype bool, True where a query may attend, got {dtype_name(mask.dtype)}; "
            "numbers that are added to the scores are the bias"
        )
    if as_probability(dropout, "dropout") and seed is None:
        raise ArgumentError("expected a seed with dropout, from which the weights to drop are drawn, got None")
    if block is not None:
        as_integer(block, "block", 1)


def _check_shapes(query: Shape, key: Shape, value: Shape) -> None:
    if key[:-1] != value[:-1]:
        raise ShapeError(f"expected value of shape {(*key[:-1], 'features')}, as the key, got {value}")
    if key[:-3] != query[:-3] or key[-1] != query[-1]:
        expected = f"({', '.join([*map(str, query[:-3]), 'key heads', 'key time', str(query[-1])])})"
        raise ShapeError(f"expected key of shape {expected}, as the query {query}, got {key}")
    if not key[-3] or query[-3] % key[-3]:
        raise ShapeError(f"expected key heads that divide the {query[-3]} heads of the query, got {key[-3]}")

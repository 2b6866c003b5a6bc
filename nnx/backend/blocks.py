"""Update rules in memory that nobody else holds, block by block.

Fresh memory for every parameter costs more than the arithmetic of a step. So large arrays are cut into blocks that stay
in the processor's cache, and what the rule returns for a block is copied over it: one body of a rule serves both ways.
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from nnx.types import Array

State = dict[str, list[Array]]
"""What an optimizer keeps: by name, one array for each parameter."""

Rule = Callable[..., tuple[list[Array], State]]
"""``rule(gradients, state, parameters, step, hyperparameters) -> (parameters, state)``, over lists of arrays."""

BLOCK = 16_384
"""Elements of one block. What a rule makes of one is so small that the allocator hands out the same memory again."""

_Row = tuple[Array, ...]
"""What belongs to one parameter, or to a part of it: itself, its gradient, and its arrays in the state."""

_Chunk = dict[int, _Row]
"""Rows by the index of their parameter, for one call of the rule."""


def apply_rule(
    rule: Rule,
    gradients: Sequence[Array],
    state: State,
    parameters: Sequence[Array],
    step: int,
    hyperparameters: dict[str, Any],
    may_write: Sequence[bool],
) -> tuple[list[Array], State]:
    """Return what an elementwise rule returns, written into the old arrays where that is allowed.

    Parameters
    ----------
    rule : callable
        Each element of its results depends on the same element of its arguments alone.
    may_write : sequence of bool
        For each parameter, whether it and its arrays in the state may be written into. Gradients never are.
    """
    if True not in may_write:
        return rule(gradients, state, parameters, step, hyperparameters)
    new_parameters = [*parameters]
    new_state = dict(zip(state, map(list, state.values()), strict=True))
    rows = [*zip(parameters, gradients, *state.values(), strict=True)]
    replaced, chunks = _divide(rows, may_write)
    # What is replaced comes first: if the rule fails on it, nothing has been written yet.
    for chunk in (replaced, *chunks) if replaced else chunks:
        old, of_gradients, *kept = zip(*chunk.values(), strict=True)
        made, made_state = rule(of_gradients, dict(zip(state, kept, strict=True)), old, step, hyperparameters)
        if chunk is replaced:
            for held, new in zip((new_parameters, *new_state.values()), (made, *made_state.values()), strict=True):
                for i, array in zip(replaced, new, strict=True):
                    held[i] = array
        else:
            for target, array in zip(chain(old, *kept), chain(made, *made_state.values()), strict=True):
                target[...] = array
    return new_parameters, new_state


def _divide(rows: Sequence[_Row], may_write: Sequence[bool]) -> tuple[_Chunk, list[_Chunk]]:
    """Return the rows that get new arrays, and the others as chunks of at most ``BLOCK`` elements."""
    replaced: _Chunk = {}
    chunks: list[_Chunk] = []
    room = 0
    for i, row in enumerate(rows):
        size = row[0].size
        if not may_write[i] or (size > BLOCK and not _is_flat(row)):
            replaced[i] = row
        elif size > BLOCK:
            flat = [array.reshape(-1) for array in row]
            cuts = [slice(start, start + BLOCK) for start in range(0, size, BLOCK)]
            chunks += [{i: tuple([array[cut] for array in flat])} for cut in cuts]
            room = 0
        else:
            if size > room:
                chunks.append({})
                room = BLOCK
            chunks[-1][i] = row
            room -= size
    return replaced, chunks


def _is_flat(row: _Row) -> bool:
    """Tell whether the arrays of a row can be cut at the same elements without a copy."""
    return all(array.flags.c_contiguous for array in row)

"""Run update rules on arrays that nobody else can see: the old ones where that is allowed, else copies of them."""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter, itemgetter, methodcaller
from typing import Any

import numpy as np

from nnx.backend.in_place import copied
from nnx.types import Array

State = dict[str, list[Array]]
"""What an optimizer keeps: by name, one array for each parameter."""

Rule = Callable[..., tuple[Sequence[Array], Mapping[str, Sequence[Array]]]]
"""``rule(gradients, state, parameters, step, hyperparameters) -> (parameters, state)``, over lists of arrays. It may
write into the arrays of the state and the parameters by ``*=`` and its like; it never writes into a gradient."""

BLOCK = 65_536
"""Elements of a block, into which large NumPy arrays are cut. What a rule makes on the way then stays in the cache."""


def apply_rule(
    rule: Rule,
    gradients: Sequence[Array],
    state: Mapping[str, Sequence[Array]],
    parameters: Sequence[Array],
    step: int,
    hyperparameters: Mapping[str, Any],
    may_write: Sequence[bool] = (),
    *,
    is_elementwise: bool = True,
) -> tuple[list[Array], State]:
    """Return the parameters and the state after one step of a rule.

    Parameters
    ----------
    rule : callable
    may_write : sequence of bool, optional
        For each parameter, whether it and its arrays in the state may be written into. The others, all by default, are
        copied before.
    is_elementwise : bool
        Each element that the rule makes depends on the same element of its arguments alone, so large arrays may be
        cut into blocks: fresh memory for all that a rule makes on the way costs more than its arithmetic.
    """
    rows: list[Sequence[Array]] = []
    slots: list[int] = []  # the index of the parameter that a row belongs to, or -1 for a block of one
    columns: list[list[Array]] = [[*parameters], *map(list, state.values())]
    for i, gradient in enumerate(gradients):
        if not may_write or not may_write[i]:
            for column in columns:
                column[i] = copied(column[i])
        row = (gradient, *map(itemgetter(i), columns))
        size = row[1].size if is_elementwise and type(row[1]) is np.ndarray else 0
        if size <= BLOCK or not all(map(_is_contiguous, row)):
            rows.append(row)
            slots.append(i)
            continue
        flat = [*map(_flattened, row)]
        for start in range(0, size, BLOCK):
            rows.append((*map(itemgetter(slice(start, start + BLOCK)), flat),))
            slots.append(-1)
    if not rows:
        return columns[0], dict(zip(state, columns[1:], strict=True))
    of_gradients, old, *kept = zip(*rows, strict=True)
    made, made_state = rule(of_gradients, dict(zip(state, kept, strict=True)), old, step, hyperparameters)
    new = (made, *map(made_state.__getitem__, state))
    for column, before, after in zip(columns, (old, *kept), new, strict=True):
        for i, array, result in zip(slots, before, after, strict=True):
            if i >= 0:
                column[i] = result
            elif result is not array:
                array[...] = result
    return columns[0], dict(zip(state, columns[1:], strict=True))


_is_contiguous, _flattened = attrgetter("flags.c_contiguous"), methodcaller("reshape", -1)

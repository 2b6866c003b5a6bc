"""Run update rules in place: on the old arrays where nothing else refers to them, otherwise on copies."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter, itemgetter, methodcaller
from typing import Any

import numpy as np

from nnx.backend.in_place import copied
from nnx.types import Array

State = dict[str, list[Array]]
"""The state of an optimizer: lists by name, with one array per parameter."""

Rule = Callable[..., tuple[Sequence[Array], Mapping[str, Sequence[Array]]]]
"""``rule(gradients, state, parameters, step, hyperparameters) -> (parameters, state)``, over lists of arrays. It may
write into the arrays of state and parameters with ``*=`` and the like, but never into a gradient."""


class PerParameter(tuple[Any, ...]):
    """A hyperparameter that has a value for each parameter; a rule gets one for each of its arrays."""

    __slots__ = ()

    @classmethod
    def of(cls, value: Any, count: int) -> "PerParameter":
        """Return one value for each of ``count`` arrays, from such a hyperparameter or from one value for all."""
        return value if isinstance(value, cls) else cls((value,) * count)


BLOCK = 65_536
"""Large NumPy arrays are cut into blocks of so many elements: a rule's intermediate results then stay in the cache."""


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
        For each parameter, whether it and its state may be written into. The others are copied first; by default, all.
    is_elementwise : bool
        Each element of a result depends only on the same element of the arguments, so that large arrays may be cut into
        blocks: fresh memory for the intermediate results would cost more than the arithmetic.
    """
    # A column for each kind of array: the parameters, then each kind of state.
    columns: list[list[Array]] = [[*parameters], *map(list, state.values())]
    large = False
    for i, parameter in enumerate(columns[0]):
        if not may_write or not may_write[i]:
            for column in columns:
                column[i] = copied(column[i])
        if is_elementwise and type(parameter) is np.ndarray and parameter.size > BLOCK:
            large = True
    if large:
        _apply_in_blocks(rule, gradients, state, columns, step, hyperparameters)
    elif gradients:
        new, new_state = rule(gradients, dict(zip(state, columns[1:], strict=True)), columns[0], step, hyperparameters)
        columns[0] = [*new]
        for i, name in enumerate(state, 1):
            columns[i] = [*new_state[name]]
    return columns[0], dict(zip(state, columns[1:], strict=True))


def _apply_in_blocks(
    rule: Rule,
    gradients: Sequence[Array],
    names: Iterable[str],
    columns: Sequence[list[Array]],
    step: int,
    hyperparameters: Mapping[str, Any],
) -> None:
    """Run a rule on blocks of the large arrays beside all of the others, and put the results into the columns."""
    # A row holds what the rule needs for one parameter or block: gradient, parameter, state.
    rows: list[Sequence[Array]] = []
    slots: list[int] = []  # for each row the index of its parameter
    whole: list[bool] = []  # and whether it is all of it, not a block
    for i, gradient in enumerate(gradients):
        row = (gradient, *map(itemgetter(i), columns))
        size = row[1].size if type(row[1]) is np.ndarray else 0
        if size <= BLOCK or not all(map(_is_contiguous, row)):
            rows.append(row)
            slots.append(i)
            whole.append(True)
            continue
        flat = [*map(_flattened, row)]  # views, as the arrays are contiguous: writing into a block writes the whole
        for start in range(0, size, BLOCK):
            rows.append((*map(itemgetter(slice(start, start + BLOCK)), flat),))
            slots.append(i)
            whole.append(False)
    of_gradients, old, *kept = zip(*rows, strict=True)
    own = {name: _of_rows(value, slots) for name, value in hyperparameters.items()}
    made, made_state = rule(of_gradients, dict(zip(names, kept, strict=True)), old, step, own)
    new = (made, *map(made_state.__getitem__, names))
    for column, before, after in zip(columns, (old, *kept), new, strict=True):
        for i, is_whole, array, result in zip(slots, whole, before, after, strict=True):
            if is_whole:
                column[i] = result
            elif result is not array:  # a block that the rule did not write in place
                array[...] = result


def _of_rows(value: Any, slots: Sequence[int]) -> Any:
    return PerParameter(map(value.__getitem__, slots)) if isinstance(value, PerParameter) else value


_is_contiguous, _flattened = attrgetter("flags.c_contiguous"), methodcaller("reshape", -1)

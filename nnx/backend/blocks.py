"""Run update rules in place: on the old arrays where nothing else refers to them, otherwise on copies.

What is in half precision is computed in float32 and rounded at the end, so a rule never meets it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter, itemgetter, methodcaller
from typing import Any

import numpy as np

from nnx.backend.in_place import copied
from nnx.backend.namespaces import namespace
from nnx.backend.tiers import COMPILED, LIMIT
from nnx.backend.transfer import device_of
from nnx.types import Array, DType

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


def spread(hyperparameters: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """Return the hyperparameters of one array after another, without an end if they are the same for all."""
    varied = {name: value for name, value in hyperparameters.items() if type(value) is PerParameter}
    if not varied:
        return repeat(hyperparameters)
    rows = [*zip(*varied.values(), strict=True)]
    made: dict[tuple[int, ...], Mapping[str, Any]] = {}
    keys = [tuple(map(id, row)) for row in rows]  # those of a group are the same objects, which need not be hashable
    for key, row in zip(keys, rows, strict=True):
        if key not in made:
            made[key] = {**hyperparameters, **dict(zip(varied, row, strict=True))}
    return [*map(made.__getitem__, keys)]


FUSED: dict[str, Callable[..., bool]] = {}
"""Rules as one compiled loop, by the name that :func:`fused_as` gave to a rule.

``fused(gradients, state, parameters, step, hyperparameters, flushed) -> bool`` writes what the rule gives into the
arrays of state and parameters, after it has set the tiny values of flushed state to 0; or it returns False, since they
are not NumPy arrays that it handles. Kernels stand above the rules, so that they put themselves here.
"""

_NAMES: dict[Rule, str] = {}


def fused_as(name: str) -> Callable[[Rule], Rule]:
    """Name the compiled loop of a rule; a decorator. A function around the rule, or another in its place, has none."""

    def register(rule: Rule) -> Rule:
        _NAMES[rule] = name
        return rule

    return register


BLOCK = 65_536
"""Large NumPy arrays are cut into blocks of so many elements: a rule's intermediate results then stay in the cache."""

FLUSH_EVERY = 16
TINY = 2.0**16
"""In every 16th step, values of flushed state below ``TINY`` times the smallest normal number become 0.

Many CPUs are far slower on subnormal numbers, and a moment whose gradient has become 0 would stay one: ``0.9 * x``
rounds to ``x`` in the end. A factor of 0.5 or more does not lead from ``TINY`` to the subnormal numbers in
16 steps, and with a smaller one they soon round to 0. That it depends on the step alone keeps a resumed run exact.
"""


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
    flushed: Collection[str] = (),
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
    flushed : names of state
        Whose tiny values become 0 in every 16th step.
    """
    if flushed and (not isinstance(step, int) or step % FLUSH_EVERY == 0):
        rule = _flushing(rule, flushed)
    # A column for each kind of array: the parameters, then each kind of state.
    columns: list[list[Array]] = [[*parameters], *map(list, state.values())]
    in_rows = False
    for i, parameter in enumerate(columns[0]):
        if not may_write or not may_write[i]:
            for column in columns:
                column[i] = copied(column[i])
        if getattr(parameter.dtype, "itemsize", 0) == 2 or (
            is_elementwise and type(parameter) is np.ndarray and parameter.size > BLOCK
        ):
            in_rows = True
    if in_rows:
        _apply_in_rows(rule, gradients, state, columns, step, hyperparameters, is_elementwise)
    elif gradients:
        new, new_state = rule(gradients, dict(zip(state, columns[1:], strict=True)), columns[0], step, hyperparameters)
        columns[0] = [*new]
        for i, name in enumerate(state, 1):
            columns[i] = [*new_state[name]]
    return columns[0], dict(zip(state, columns[1:], strict=True))


def apply_in_place(
    rule: Rule,
    gradients: Sequence[Array],
    state: Mapping[str, Sequence[Array]],
    parameters: Sequence[Array],
    step: int,
    hyperparameters: Mapping[str, Any],
    flushed: Collection[str] = (),
) -> bool:
    """Run a rule as one compiled loop, in arrays that may all be written; return False if it has none that fits."""
    fused = FUSED.get(_NAMES.get(rule, "")) if FUSED and LIMIT.get() == COMPILED else None
    if fused is None:
        return False
    return fused(gradients, state, parameters, step, hyperparameters, () if step % FLUSH_EVERY else flushed)


def _flushing(rule: Rule, flushed: Collection[str]) -> Rule:
    """Return a rule that first sets the tiny values of some state to 0."""

    def flushing(gradients: Any, state: Mapping[str, Sequence[Array]], parameters: Any, step: Any, own: Any) -> Any:
        kept = {name: [_without_tiny(x, step) for x in column] for name, column in state.items() if name in flushed}
        return rule(gradients, {**state, **kept}, parameters, step, own)

    return flushing


def _without_tiny(x: Array, step: Any) -> Array:
    xp = namespace(x)
    keep = xp.abs(x) >= TINY * float(xp.finfo(x.dtype).smallest_normal)
    if not isinstance(step, int):  # an array, where a library compiles the rule for all steps
        keep = keep | (step % FLUSH_EVERY != 0)
    x *= xp.astype(keep, x.dtype)  # NaN stays NaN
    return x


def wide_dtype(x: Array) -> DType:
    """Return the dtype of an array, or float32 if that is of half precision."""
    return namespace(x).float32 if _is_half(x) else x.dtype


def wide_zeros(like: Array, shape: Sequence[int] | None = None) -> Array:
    """Return zeros for the state of an array, at least in float32 and by default of its shape."""
    xp, dtype = namespace(like), wide_dtype(like)
    if shape is None:
        return xp.zeros_like(like, dtype=dtype)
    return xp.zeros(tuple(shape), dtype=dtype, device=device_of(like))


def _apply_in_rows(
    rule: Rule,
    gradients: Sequence[Array],
    names: Iterable[str],
    columns: Sequence[list[Array]],
    step: int,
    hyperparameters: Mapping[str, Any],
    is_elementwise: bool,
) -> None:
    """Run a rule on rows: blocks of the large arrays, and what is in half precision in float32."""
    # A row holds what the rule needs for one parameter or block: gradient, parameter, state.
    rows: list[Sequence[Array]] = []
    slots: list[int] = []  # for each row the index of its parameter
    whole: list[bool] = []  # and whether it is all of it, not a block
    parts: list[list[int]] = [[]]  # the rows that the rule gets at once
    halves = [*map(_is_half, columns[0])]
    for i, gradient in enumerate(gradients):
        row = (gradient, *map(itemgetter(i), columns))
        cuts = _blocks(row) if is_elementwise else None
        new = range(len(rows), len(rows) + (1 if cuts is None else len(cuts)))
        rows += [row] if cuts is None else cuts
        slots += [i] * len(new)
        whole += [cuts is None] * len(new)
        if halves[i] and is_elementwise:  # one at a time, so that the wide copies do not add up
            parts += [[k] for k in new]
        else:
            parts[0] += new
    for part in filter(None, parts):
        given = [rows[k] for k in part]
        if any(halves[slots[k]] for k in part):
            given = [[*map(widened, row)] for row in given]
        of_gradients, old, *kept = zip(*given, strict=True)
        own = {name: _of_rows(value, [slots[k] for k in part]) for name, value in hyperparameters.items()}
        made, made_state = rule(of_gradients, dict(zip(names, kept, strict=True)), old, step, own)
        for j, of_column in enumerate((made, *map(made_state.__getitem__, names))):
            for k, result in zip(part, of_column, strict=True):
                before = rows[k][j + 1]
                if whole[k]:
                    columns[j][slots[k]] = result if result.dtype == before.dtype else _cast(result, before)
                elif result is not before:  # a block that the rule did not write in place
                    before[...] = result


def _blocks(row: Sequence[Array]) -> list[Sequence[Array]] | None:
    """Cut a row of large NumPy arrays into rows of blocks; None for others, and where memory has another order."""
    size = row[1].size if type(row[1]) is np.ndarray else 0
    if size <= BLOCK or not all(map(_is_contiguous, row)):
        return None
    flat = [*map(_flattened, row)]  # views, as the arrays are contiguous: writing into a block writes the whole
    return [(*map(itemgetter(slice(start, start + BLOCK)), flat),) for start in range(0, size, BLOCK)]


def _is_half(x: Array) -> bool:
    return bool(getattr(x.dtype, "itemsize", 0) == 2)  # float16 or bfloat16, in every library that has them


def widened(x: Array) -> Array:
    """Return an array in float32 if it is in half precision, any other as it is."""
    return namespace(x).astype(x, namespace(x).float32) if _is_half(x) else x


def _cast(x: Array, like: Array) -> Array:
    return namespace(x).astype(x, like.dtype)


def _of_rows(value: Any, slots: Sequence[int]) -> Any:
    return PerParameter(map(value.__getitem__, slots)) if isinstance(value, PerParameter) else value


_is_contiguous, _flattened = attrgetter("flags.c_contiguous"), methodcaller("reshape", -1)

"""Whether a tree is the state of a trainer or of a callback: of which kind each entry is, before any is used."""

import numbers
from collections.abc import Callable, Collection, Mapping
from typing import Any

from nnx.errors import CheckpointError

Kind = tuple[str, Callable[[Any], bool]]
"""What an entry of a state may be: how an error calls it, and a test."""

FORMAT = 1
"""The version of a trainer's state."""

OPTIONAL = ("loss", "scale", "accumulation", "average")
"""The parts that a trainer may lack."""


def expect_trainer_state(state: Any, parts: Collection[str], metrics: Collection[str]) -> None:
    """Raise unless a tree is what such a trainer saves.

    Parameters
    ----------
    state : tree
    parts : names
        What the trainer has that has a state of its own: model, optimizer, callbacks, and so on.
    metrics : names
        Those that the trainer sums up, the loss among them.

    Raises
    ------
    CheckpointError
        If it is of another version, lacks an entry, has a part that the trainer lacks, an entry is of another kind, or
        it is from the middle of an epoch that had other metrics.
    """
    if not isinstance(state, Mapping):
        raise CheckpointError(f"expected the state of a trainer, a dict, got {_shown(state)}; load a checkpoint")
    if not isinstance(state.get("format"), int) or state["format"] != FORMAT:
        raise CheckpointError(
            f"expected the state of a trainer in format {FORMAT}, got {_shown(state.get('format'))}; "
            "save trainer.state_dict(), or install a newer nnx"
        )
    without = [name for name in parts if name not in state]
    more = [name for name in OPTIONAL if name not in parts and not _is_empty(state.get(name))]
    if without or more:
        raise CheckpointError(
            f"expected the state of a trainer with {', '.join(parts)}, got one "
            + (f"without {', '.join(without)}" if without else f"with {', '.join(more)} too")
            + "; make the trainer as it was when the state was saved"
        )
    named = {**dict.fromkeys(parts, NAMED), "callbacks": NAMED_TWICE}
    expect_kinds({**_OLDER, **state}, _ENTRIES | {name: named[name] for name in parts}, "a trainer")
    _expect_position(state, metrics)


def expect_kinds(state: Any, kinds: Mapping[str, Kind], whose: str) -> None:
    """Raise unless a state has some entries, each of its kind; it may have others.

    Raises
    ------
    CheckpointError
        At the first entry that is missing or of another kind.
    """
    if not isinstance(state, Mapping):
        raise CheckpointError(f"expected the state of {whose}, a dict, got {_shown(state)}; load a checkpoint")
    for name, (kind, fits) in kinds.items():
        if name not in state:
            raise CheckpointError(f"expected the state of {whose} with {name}, got one without; load another")
        if not fits(state[name]):
            raise CheckpointError(
                f"expected the state of {whose} with {kind} as {name}, got {_shown(state[name])}; load another"
            )


def _expect_position(state: Mapping[str, Any], metrics: Collection[str]) -> None:
    """Raise unless where the run is agrees with itself, and with the metrics of the epoch that goes on."""
    if state["start"] > state["epoch"] or state["batch"] > state["step"]:
        found = ", ".join(f"{name} {state[name]}" for name in ("start", "epoch", "batch", "step"))
        raise CheckpointError(
            "expected the state of a trainer with start <= epoch and batch <= step, "
            f"got {found}; load another checkpoint"
        )
    if state["batch"] and {*state["metrics"]} != {*metrics}:
        raise CheckpointError(
            "expected the state of a trainer with the metrics of the epoch that goes on, "
            f"{', '.join(state['metrics'])}, got {', '.join(metrics)}; give the trainer the metrics that it had"
        )


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, Mapping) and not value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _is_named(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


def _is_named_twice(value: Any) -> bool:
    return _is_named(value) and all(map(_is_named, value.values()))


def _is_row(value: Any) -> bool:
    return _is_named(value) and all(number is None or _is_number(number) for number in value.values())


def _are_rows(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(map(_is_row, value))


def or_none(kind: Kind) -> Kind:
    """Return a kind that ``None`` is of too."""
    return f"{kind[0]} or None", lambda value: value is None or kind[1](value)


COUNT: Kind = ("an integer >= 0", _is_count)
NUMBER: Kind = ("a number", _is_number)
NAMED: Kind = ("a dict by name", _is_named)
NAMED_TWICE: Kind = ("a dict of dicts, by names,", _is_named_twice)
ROW: Kind = ("numbers by name", _is_row)
_ENTRIES: dict[str, Kind] = {
    **dict.fromkeys(("epoch", "batch", "step", "skipped", "start"), COUNT),
    "batches": or_none(COUNT),
    "stopped": or_none(("a reason", lambda value: isinstance(value, str))),
    "position": or_none(NAMED),
    "history": ("a list of rows, numbers by name,", _are_rows),
    "metrics": NAMED_TWICE,
}
_OLDER = {"batches": None}  # what an older version did not save


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())  # of arrays it has several lines
    return text if len(text) <= 60 else f"a {type(value).__name__}"

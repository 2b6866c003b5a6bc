"""Whether a tree is the state of a trainer: what each entry must be, before anything is changed."""

import numbers
from collections.abc import Callable, Collection, Mapping
from typing import Any

from nnx.errors import CheckpointError

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
    if state.get("format") != FORMAT:
        raise CheckpointError(
            f"expected the state of a trainer in format {FORMAT}, got {_shown(state.get('format'))}; "
            "save trainer.state_dict(), or install a newer nnx"
        )
    without = [name for name in parts if name not in state]
    more = [name for name in OPTIONAL if name not in parts and state.get(name)]
    if without or more:
        raise CheckpointError(
            f"expected the state of a trainer with {', '.join(parts)}, got one "
            + (f"without {', '.join(without)}" if without else f"with {', '.join(more)} too")
            + "; make the trainer as it was when the state was saved"
        )
    for name, (kind, fits) in (_ENTRIES | dict.fromkeys(parts, _NAMED)).items():
        if name not in state and name not in _LATER:
            raise CheckpointError(f"expected the state of a trainer with {name}, got one without; load another")
        if not fits(state.get(name)):
            raise CheckpointError(
                f"expected the state of a trainer with {kind} as {name}, got {_shown(state[name])}; load another"
            )
    _expect_position(state, metrics)


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


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_named(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)


def _are_sums(value: Any) -> bool:
    return _is_named(value) and all(map(_is_named, value.values()))


def _are_rows(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        _is_named(row) and all(number is None or isinstance(number, numbers.Real) for number in row.values())
        for row in value
    )


_Entry = tuple[str, Callable[[Any], bool]]
_COUNT: _Entry = ("an integer >= 0", _is_count)
_NAMED: _Entry = ("a dict by name", _is_named)
_ENTRIES: dict[str, _Entry] = {
    **dict.fromkeys(("epoch", "batch", "step", "skipped", "start"), _COUNT),
    "batches": ("an integer >= 0 or None", lambda value: value is None or _is_count(value)),
    "stopped": ("a reason or None", lambda value: value is None or isinstance(value, str)),
    "position": ("a dict by name or None", lambda value: value is None or _is_named(value)),
    "history": ("a list of rows, numbers by name,", _are_rows),
    "metrics": (
        "sums, a dict by name and name,",
        lambda value: _is_named(value) and all(map(_is_named, value.values())),
    ),
}
_LATER = {"batches"}  # which came with a later version


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"a {type(value).__name__}"

"""Values in nested dicts, lists and tuples. All else is a leaf: also a module, which a tree would split."""

from collections.abc import Callable, Iterator
from typing import Any

from nnx.tree import sequence_like


def nested_map(change: Callable[[Any], Any], value: Any) -> Any:
    """Return a value with each leaf changed, in order; named tuples stay what they are."""
    if isinstance(value, dict):
        return {key: nested_map(change, part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return sequence_like(value)([nested_map(change, part) for part in value])
    return change(value)


def nested_leaves(value: Any) -> Iterator[Any]:
    """Iterate over the leaves in order."""
    if isinstance(value, (dict, list, tuple)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from nested_leaves(part)
    else:
        yield value

"""The check of a program: its first repetition must give the very bits that the function gives."""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any

from nnx.backend import copied, is_array, to_numpy
from nnx.errors import UsageError
from nnx.tree import tree_flatten, tree_map
from nnx.types import Array


def checked(program: Callable[[], Any], function: Callable[[], Any], parts: Sequence[Any], name: str) -> Any:
    """Run a program and then, from the same state, the function, and return what the program returned.

    Parameters
    ----------
    program, function : callables without arguments
    parts : sequence
        What both change: modules, optimizers, and whatever else has ``state_dict`` and ``load_state_dict``.
    name : str
        That of the function, for the error.

    Raises
    ------
    UsageError
        If a result or a state differs. The state is then that before the call.
    """
    before = [_copied_state(part) for part in parts]
    found = {"result": program(), "state": [_digests(part) for part in parts]}
    for part, state in zip(parts, before, strict=True):
        part.load_state_dict(state)
    expected = {"result": function(), "state": [_digests(part) for part in parts]}
    if different := _differences(tree_flatten(found), tree_flatten(expected)):
        for part, state in zip(parts, before, strict=True):
            part.load_state_dict(state)
        raise UsageError(
            f"what nnx.compile recorded of {name} does not give what {name} gives, at {different[0]!r}: something in "
            "it changes from call to call and is not among the arguments, such as a model, an optimizer, a number or "
            "random numbers from outside; pass it as an argument, or leave it out of the compiled function"
        )
    return found["result"]


def _copied_state(part: Any) -> Any:
    """Return the state of a module, an optimizer or the like in memory of its own."""
    return tree_map(lambda leaf: copied(leaf) if is_array(leaf) else leaf, part.state_dict())


def _digests(part: Any) -> Any:
    """Return the state with a digest for each array: a second and a third copy of it might not fit into the memory."""
    return tree_map(lambda leaf: _digest(leaf) if is_array(leaf) else leaf, part.state_dict())


def _digest(x: Array) -> str:
    host = to_numpy(x)
    return f"{host.dtype.str} {host.shape} {blake2b(host.tobytes()).hexdigest()}"


def _differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    if found.keys() != expected.keys():
        return sorted(found.keys() ^ expected.keys())
    return [path for path, value in expected.items() if not _is_same(found[path], value)]


def _is_same(a: Any, b: Any) -> bool:
    if not is_array(a) or not is_array(b):
        return type(a) is type(b) and (a is b or bool(a == b))
    a, b = to_numpy(a), to_numpy(b)
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()

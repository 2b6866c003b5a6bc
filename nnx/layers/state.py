"""Load saved values into a module: either all of them fit, or nothing is changed."""

from collections.abc import Mapping
from typing import Any

from nnx.backend import backend_of, copied, device_of, dtype_name, is_array, memory_key, namespace, to_device
from nnx.errors import CheckpointError


def load_state(module: Any, state: Mapping[str, Any], strict: bool) -> None:
    """Do the work of :meth:`nnx.Module.load_state_dict`."""
    new = fitting(module.state_dict(), state, strict, type(module).__name__, "the model")
    _copy_what_comes_twice(new)
    buffers = module.buffers()
    module.replace_parameters({path: value for path, value in new.items() if path not in buffers})
    for path, buffer in buffers.items():
        if path in new:
            buffer.value = copied(new[path]) if is_array(new[path]) else new[path]


def fitting(own: Mapping[str, Any], state: Mapping[str, Any], strict: bool, owner: str, whole: str) -> dict[str, Any]:
    """Return the saved values that fit the current ones, moved to the library and device of each.

    Raises
    ------
    CheckpointError
        Lists every name that is missing or extra, if ``strict``, and every value that does not fit.
    """
    problems = [f"{path}: missing" for path in own if path not in state] if strict else []
    problems += [f"{path}: not in {whole}" for path in state if path not in own] if strict else []
    common = [path for path in own if path in state]
    problems += [text for path in common if (text := misfit(path, own[path], state[path]))]
    if problems:
        raise CheckpointError(f"the saved values do not fit {owner}: " + "; ".join(problems))
    return {path: _moved(state[path], own[path]) for path in common}


def _copy_what_comes_twice(state: dict[str, Any]) -> None:
    """Copy arrays that occur again, as when a state of tied weights is loaded into weights that are not tied."""
    seen = set()
    for path, value in state.items():
        if is_array(value):
            if memory_key(value) in seen:
                state[path] = copied(value)
            seen.add(memory_key(value))


def misfit(path: str, own: Any, new: Any) -> str | None:
    """Return what keeps a new value from taking the place of the module's own; None if nothing does."""
    shape = tuple(getattr(new, "shape", ()))
    if isinstance(own, int):
        if shape != ():
            return f"{path}: expected a number, got shape {shape}"
        is_integer = namespace(new).isdtype(new.dtype, "integral") if is_array(new) else type(new) is int
        return None if is_integer else f"{path}: expected an integer, got {new!r}"
    if not is_array(new):
        return f"{path}: expected an array, got {type(new).__name__}"
    if shape != tuple(own.shape):
        return f"{path}: expected shape {tuple(own.shape)}, got {shape}"
    if dtype_name(new.dtype) != dtype_name(own.dtype):
        return f"{path}: expected dtype {dtype_name(own.dtype)}, got {dtype_name(new.dtype)}"
    return None


def _moved(new: Any, own: Any) -> Any:
    if isinstance(own, int):
        return int(new)
    if namespace(new) is namespace(own) and device_of(new) == device_of(own):
        return new
    backend = backend_of(own)
    names = [name for name, device in backend.devices().items() if device == device_of(own)]
    return to_device(new, f"{backend.name}:{names[0]}")

"""Load saved values into a module, or into a copy of it: either all of them fit, or nothing is changed."""

from collections.abc import Mapping
from typing import Any

from nnx.backend import (
    backend_of,
    copied,
    device_of,
    dtype_name,
    is_array,
    is_symbolic,
    memory_key,
    namespace,
    to_device,
)
from nnx.errors import CheckpointError
from nnx.layers.parameter import Buffer
from nnx.layers.plan import usable_plan

_MOST_PROBLEMS = 20  # that one error lists


def load_state(module: Any, state: Mapping[str, Any], strict: bool) -> None:
    """Do the work of :meth:`nnx.Module.load_state_dict`."""
    new = fitting(module.state_dict(), state, strict, type(module).__name__, "the model")
    _copy_what_comes_twice(new)
    buffers = module.buffers()
    module.replace_parameters({path: value for path, value in new.items() if path not in buffers})
    for path, buffer in buffers.items():
        if path in new:
            buffer.value = copied(new[path]) if is_array(new[path]) else new[path]


def copy_with_state(module: Any, state: Mapping[str, Any]) -> Any:
    """Do the work of :meth:`nnx.Module.with_state`."""
    plan = usable_plan(module)
    buffers = module.buffers()
    own = module.parameters() | {path: buffer.value for path, buffer in buffers.items()}
    expect_fitting(own, state, True, type(module).__name__, "the model")
    new = dict(state)
    _copy_what_comes_twice(new)
    copies: list[Any] = []
    plan.copy(module, marks={"_kept": None, "_gradients": None}, made=copies)
    for path, i, name in plan.parameters:
        vars(copies[i])[name] = new[path]
    model = copies[0]
    model.__tree_refill__(_value_of_buffer(buffer, new[path]) for path, buffer in buffers.items())
    return model


def _value_of_buffer(buffer: Buffer, new: Any) -> Any:
    if not is_array(new):
        return new
    if not isinstance(buffer.value, int):
        return copied(new)
    if is_symbolic(new):
        return buffer.value if buffer.constant else new
    return int(new)


def fitting(own: Mapping[str, Any], state: Mapping[str, Any], strict: bool, owner: str, whole: str) -> dict[str, Any]:
    """Return the saved values, which must fit the current ones, moved to the library and device of each.

    Raises
    ------
    CheckpointError
        As :func:`expect_fitting`.
    """
    expect_fitting(own, state, strict, owner, whole)
    return {path: _moved(state[path], own[path]) for path in own if path in state}


def expect_fitting(own: Mapping[str, Any], state: Mapping[str, Any], strict: bool, owner: str, whole: str) -> None:
    """Compare saved values with the current ones.

    Raises
    ------
    CheckpointError
        Lists the names that are missing or extra, if ``strict``, and the values that do not fit, or 20 of these.
    """
    if not isinstance(state, Mapping):
        raise CheckpointError(f"expected saved values by path, a dict, got a {type(state).__name__}")
    problems = [f"{path}: missing" for path in own if path not in state] if strict else []
    problems += [f"{str(path)[:100]}: not in {whole}" for path in state if path not in own] if strict else []
    problems += [text for path in own if path in state and (text := misfit(path, own[path], state[path]))]
    if problems:
        more = [f"and {len(problems) - _MOST_PROBLEMS} more"] if len(problems) > _MOST_PROBLEMS else []
        raise CheckpointError(f"the saved values do not fit {owner}: " + "; ".join(problems[:_MOST_PROBLEMS] + more))


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

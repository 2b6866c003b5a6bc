"""What lies under all transforms: values whose derivatives nobody wants."""

from collections.abc import Callable, Sequence
from typing import Any

from nnx.autodiff.traced import Trace, TracedArray
from nnx.backend import is_array
from nnx.tree import tree_split
from nnx.types import Tree


def stop_gradient(x: Tree) -> Tree:
    """Return the plain array behind a traced one: a constant to every transform.

    Parameters
    ----------
    x : array, module or tree of them
        Traced or not; a plain array is returned itself, a tree or module as a copy whose arrays are plain.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> float(nnx.grad(lambda x: x * nnx.stop_gradient(x))(np.asarray(3.0)))
    3.0
    """
    if type(x) is TracedArray:
        return underlying(x)
    if is_array(x):
        return x
    leaves, rebuild = tree_split(x)  # a module's copy shares its buffers, which tree_map would not
    return rebuild([*map(underlying, leaves.values())])


def underlying(value: Any) -> Any:
    """Return what lies under all transforms: a plain array, or one of a record, which has no derivatives to lose."""
    while type(value) is TracedArray and not value.trace.is_record:
        value = value.value
    return value


def call_underlying(function: Callable[..., Any], args: Sequence[Any], options: dict[str, Any]) -> Any:
    """Call a function without a derivative on what lies under all transforms; a record sees the call."""
    args, options = _underlying(args), _underlying(options)
    trace = _record_of((*args, *options.values()))
    return function(*args, **options) if trace is None else trace.call(function, args, options)


def _underlying(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _underlying(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_underlying, value))
    return underlying(value)


def _record_of(value: Any) -> Trace | None:
    """Return the record that an array in nested sequences belongs to, if there is one."""
    if isinstance(value, (list, tuple)):
        return next((found for v in value if (found := _record_of(v)) is not None), None)
    return value.trace if type(value) is TracedArray else None

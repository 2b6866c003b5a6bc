"""A copy of a model that computes in another dtype than the one that its parameters are kept in."""

from collections.abc import Sequence
from typing import Any

from nnx.autodiff.recomputation import remembered
from nnx.backend import dtype_name, is_array, is_real_floating
from nnx.layers.moving import converted
from nnx.layers.plan import usable_plan
from nnx.tree import tree_map
from nnx.types import Array


def computing_in(model: Any, dtype: str, output_dtype: str = "float32") -> Any:
    """Return a copy of a model that computes in a dtype of its own.

    Parameters, frozen ones too, and attributes that are arrays are cast once. Of a model that a transform traces the
    casts are recorded, so that gradients arrive in the dtype of the parameters. Buffers are those of the model: they
    keep their dtype, and ``forward`` changes them. Each module of the copy casts the real floating-point arrays among
    its arguments; what is called from outside, be it the whole model or a layer of it, returns those of its output in
    ``output_dtype``.

    Parameters
    ----------
    model : Module
        Also the copy that a transform makes.
    dtype, output_dtype : str

    Raises
    ------
    DTypeError
        If the library of the parameters or of an argument does not have the dtype.
    UsageError
        If a layer has open sizes; call :meth:`nnx.Module.settle` first.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> narrow = computing_in(nnx.Linear(2, 3), "float16")
    >>> narrow.weight.dtype, narrow(np.ones((1, 2), np.float32)).dtype
    (dtype('float16'), dtype('float32'))
    """
    depth = 0

    def call(module: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        nonlocal depth
        is_outermost = remembered(lambda: depth == 0)  # by which nnx.remat runs a layer again outside of the model
        depth += 1
        try:
            output = module.forward(*cast_tree(tuple(args), dtype), **cast_tree(kwargs, dtype))
        finally:
            depth -= 1
        return cast_tree(output, output_dtype) if is_outermost else output

    copies: list[Any] = []
    usable_plan(model).copy(model, marks={"_kept": None, "_is_copy": True, "_watcher": call}, made=copies)
    for module in copies:
        members = vars(module)
        for name, value in members.items():
            if is_array(value):
                members[name] = _cast(value, dtype)
    return copies[0]


def cast_tree(tree: Any, dtype: str) -> Any:
    """Return a tree whose real floating-point arrays are in a dtype, and whose other leaves are as they were."""
    return tree_map(lambda leaf: _cast(leaf, dtype), tree)


def _cast(value: Any, dtype: str) -> Array:
    if not is_array(value) or not is_real_floating(value) or dtype_name(value.dtype) == dtype:
        return value
    return converted(value, None, dtype)

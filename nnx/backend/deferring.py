"""How the operators and functions of array libraries meet a traced array."""

from collections.abc import Callable
from typing import Any

import numpy as np

_ARITHMETIC = ("add", "sub", "mul", "truediv", "pow", "matmul", "floordiv", "mod")
_OPERATORS = (*_ARITHMETIC, "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "lshift", "rshift")
_MARK = "__nnx_defers__"


def let_defer(kind: type) -> None:
    """Make the operators of an array class return ``NotImplemented`` for a traced array, as Python's own types do.

    Python then asks the traced array. NumPy, CuPy, torch and JAX do so by themselves; array-api-strict raises
    instead. It is a referee for tests and not a library to compute with, so its class may be changed.
    """
    for name in _OPERATORS:
        method = getattr(kind, f"__{name}__")
        if not hasattr(method, _MARK):
            setattr(kind, f"__{name}__", _deferring(method))


def _deferring(method: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def operator(self: Any, other: Any) -> Any:
        # Only a traced array's class has this attribute; isinstance would need the folder below.
        return NotImplemented if hasattr(type(other), "namespace_varies") else method(self, other)

    setattr(operator, _MARK, True)
    operator.__name__ = getattr(method, "__name__", "operator")
    operator.__doc__ = method.__doc__
    return operator


_UFUNCS = {
    np.add: "add",
    np.subtract: "sub",
    np.multiply: "mul",
    np.divide: "truediv",
    np.power: "pow",
    np.matmul: "matmul",
    np.floor_divide: "floordiv",
    np.remainder: "mod",
    np.bitwise_and: "and",
    np.bitwise_or: "or",
    np.bitwise_xor: "xor",
    np.left_shift: "lshift",
    np.right_shift: "rshift",
    np.equal: "eq",
    np.not_equal: "ne",
    np.less: "lt",
    np.less_equal: "le",
    np.greater: "gt",
    np.greater_equal: "ge",
}


def operator_of_ufunc(ufunc: Any, method: str, options: dict[str, Any]) -> str | None:
    """Return the operator that brought a NumPy array and a traced one together, or ``None`` for any other function.

    It is the function itself that is looked up: a foreign ufunc of the same name may compute something else.
    """
    return None if method != "__call__" or options else _UFUNCS.get(ufunc)


def foreign_function(function: Any) -> str | None:
    """Return the name of a torch function that met a traced array, or ``None`` for an operator that asks it next.

    An operator that writes into a tensor is such a function: Python would go on with a new array under one name, and
    leave the tensor's other names without the derivative.
    """
    name = getattr(function, "__name__", str(function))
    # Operators are methods of a class written in C, and a few are Python functions around those.
    is_operator = type(function).__name__.endswith("_descriptor") or (
        type(function).__name__ == "function" and name in ("pow", "__rpow__", "__floordiv__", "__rfloordiv__")
    )
    writes = name.endswith("_") and not name.endswith("__")
    return None if is_operator and not writes else f"torch.{name}"

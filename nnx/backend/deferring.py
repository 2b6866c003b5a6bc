"""What the operators and functions of array libraries do with a traced array."""

from collections.abc import Callable
from typing import Any

import numpy as np

_ARITHMETIC = ("add", "sub", "mul", "truediv", "pow", "matmul", "floordiv", "mod")
_OPERATORS = (*_ARITHMETIC, "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "lshift", "rshift")
_MARK = "__nnx_defers__"


def let_defer(kind: type) -> None:
    """Make the operators of an array class return ``NotImplemented`` for a traced array, as Python's own types do.

    Python then tries the traced array's operator. NumPy, CuPy, torch and JAX need no help; array-api-strict raises
    instead. It is a library for tests, not for computations, so patching its class is acceptable.
    """
    for name in _OPERATORS:
        method = getattr(kind, f"__{name}__")
        if not hasattr(method, _MARK):
            setattr(kind, f"__{name}__", _deferring(method))


def _deferring(method: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def operator(self: Any, other: Any) -> Any:
        # Only a traced array's class has this attribute; isinstance would need an import from nnx.autodiff, a layer up.
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
    """Return the operator for which NumPy called a ufunc with a traced array, or ``None`` for any other ufunc.

    The function itself is looked up, not its name: a foreign ufunc of the same name may compute something else.
    """
    return None if method != "__call__" or options else _UFUNCS.get(ufunc)


def foreign_function(function: Any) -> str | None:
    """Return the name of a torch function called with a traced array, or ``None`` for an operator that can defer to it.

    An in-place operator counts as a function: deferred, it would bind one name to a new array, and leave the tensor
    under its other names without the derivative.
    """
    name = getattr(function, "__name__", str(function))
    # Most operators are method descriptors of a C class; a few are Python functions that wrap one.
    is_operator = type(function).__name__.endswith("_descriptor") or (
        type(function).__name__ == "function" and name in ("pow", "__rpow__", "__floordiv__", "__rfloordiv__")
    )
    writes = name.endswith("_") and not name.endswith("__")
    return None if is_operator and not writes else f"torch.{name}"

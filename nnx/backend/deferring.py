"""Let arrays leave a binary operator to a traced array on its right."""

from collections.abc import Callable
from typing import Any

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

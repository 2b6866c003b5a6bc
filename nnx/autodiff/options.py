"""Options of a primitive as Python numbers."""

from numbers import Integral, Real
from typing import Any

_PLAIN = frozenset({bool, float, int, list, str, tuple, type(None)})


def with_python_numbers(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with Python's numbers for NumPy's, such as ``1 / np.sqrt(64)``.

    An array of float32 times a number of NumPy's float64 is an array of float64, times one of Python's it is not.
    """
    for value in options.values():
        if type(value) not in _PLAIN and isinstance(value, Real):
            return {name: _plain(value) for name, value in options.items()}
    return options


def _plain(value: Any) -> Any:
    if type(value) in _PLAIN or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)

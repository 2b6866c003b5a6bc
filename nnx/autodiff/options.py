"""Options of a primitive as Python numbers."""

from numbers import Integral, Real
from typing import Any

PLAIN = frozenset({bool, float, int, list, str, tuple, type(None)})
"""Types of options that are not looked at; a call asks for them itself, which saves one of Python's."""


def with_python_numbers(options: dict[str, Any]) -> dict[str, Any]:
    """Return options with Python's numbers for NumPy's, such as ``1 / np.sqrt(64)``.

    An array of float32 times a number of NumPy's float64 is an array of float64, times one of Python's it is not.
    """
    return {name: _plain(value) for name, value in options.items()}


def _plain(value: Any) -> Any:
    if type(value) in PLAIN or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)

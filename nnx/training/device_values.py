"""Values in a device's memory: choosing between states without reading a flag, and reading many numbers at once."""

from collections.abc import Mapping, Sequence
from typing import Any

from nnx.backend import is_array, is_beside, namespace, to_numpy, widest_dtype
from nnx.types import Array


def choose(flag: Array, new: Mapping[str, Any], old: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state with the arrays of ``new`` if a flag is true, else with those of ``old``; the flag is not read.

    Parameters
    ----------
    flag : array of booleans, shape ()
    new, old : mapping from path to value
        What is not an array where the flag is, or not in ``old``, is taken from ``new``.

    Examples
    --------
    >>> import numpy as np
    >>> choose(np.asarray(False), {"step": 2, "weight": np.ones(2)}, {"step": 1, "weight": np.zeros(2)})
    {'step': 2, 'weight': array([0., 0.])}
    """
    xp = namespace(flag)
    return {
        path: xp.where(flag, value, old[path])
        if value is not old.get(path) and is_here(value, flag) and is_here(old.get(path), flag)
        else value
        for path, value in new.items()
    }


def is_here(value: Any, flag: Array) -> bool:
    """Return whether a value is an array of the library and on the device of a flag."""
    return is_array(value) and is_beside(value, flag)


def read_together(numbers: Sequence[Any]) -> list[Any]:
    """Return numbers as Python's, where those that are arrays of shape () on a device come in a single transfer.

    Examples
    --------
    >>> import numpy as np
    >>> read_together([3, np.asarray(0.5), np.asarray(True)])
    [3, 0.5, 1.0]
    """
    first = next((number for number in numbers if is_array(number)), None)
    if first is None:
        return list(numbers)
    xp, dtype = namespace(first), widest_dtype(first, "real floating")
    together = [number for number in numbers if is_here(number, first)]
    read = iter(to_numpy(xp.stack([xp.astype(number, dtype) for number in together])).tolist())
    return [
        next(read) if is_here(number, first) else to_numpy(number).item() if is_array(number) else number
        for number in numbers
    ]

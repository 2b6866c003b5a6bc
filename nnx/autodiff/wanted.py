"""Which cotangents of a call will be used: what its rule and pullback are told."""

from collections.abc import Iterable
from typing import Any


class Wanted(list[int]):
    """For each argument, whether its cotangent will be used; 0 if not.

    Attributes
    ----------
    may_overwrite : bool
        Set before the pullback is called: whether it may write into the cotangent that it is given, or return that
        memory as its result. For elementwise functions fresh memory costs as much as the arithmetic.
    """

    __slots__ = ("may_overwrite",)
    may_overwrite: bool


def as_wanted(flags: Iterable[Any]) -> Wanted:
    """Return flags as the object that a rule takes."""
    wanted = Wanted([1 if flag else 0 for flag in flags])
    wanted.may_overwrite = False
    return wanted


NOTHING = as_wanted([False] * 32)
"""For a call whose pullback is not needed; long enough for the arguments of any kernel."""

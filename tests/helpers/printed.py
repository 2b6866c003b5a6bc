"""Read figures out of what a program printed."""

import re

NUMBER = r"(-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)"


def numbers(pattern, text):
    """Return the numbers that a pattern finds: one for each ``#`` in it."""
    found = re.findall(pattern.replace("#", NUMBER), text)
    assert found, f"{pattern!r} is not in\n{text}"
    return [tuple(map(float, match)) if isinstance(match, tuple) else float(match) for match in found]

"""Which rows go into which part of a split: exact arithmetic on the host, and one permutation."""

from __future__ import annotations  # naming np.random in a signature would import it with nnx

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from nnx.errors import ArgumentError, DataError


def as_fractions(values: Sequence[float]) -> list[Fraction]:
    """Return the shares of the parts exactly, with sum 1; 1/3 as a float is taken for the third that it stands for."""
    numbers = [value for value in values if isinstance(value, (int, float, Fraction)) and 0 < value < 1]
    if len(numbers) < len(values) or len(numbers) < 2 or not math.isclose(sum(numbers), 1.0, abs_tol=1e-9):
        raise ArgumentError(f"expected two or more fractions between 0 and 1 whose sum is 1, got {tuple(values)}")
    exact = [Fraction(value).limit_denominator(10**9) for value in numbers]
    return [each / sum(exact) for each in exact]


def apportion(count: int, fractions: Sequence[Fraction], behind: Sequence[Fraction] | None = None) -> list[int]:
    """Return how many of ``count`` samples each part has, by the method of the largest remainder.

    Each part has its share rounded down, and what is left goes to the parts that lost most by that, of equal ones to
    those that are ``behind`` most, and then to the first.
    """
    behind = behind or [Fraction(0)] * len(fractions)
    shares = [count * fraction for fraction in fractions]
    sizes = [math.floor(share) for share in shares]
    lost = sorted(range(len(shares)), key=lambda part: (sizes[part] - shares[part], -behind[part], part))
    for part in lost[: count - sum(sizes)]:
        sizes[part] += 1
    return sizes


def drawn(sizes: Sequence[int], rng: np.random.Generator) -> list[Any]:
    """Return random rows for each part, all of them once; the last part has the first rows of a permutation."""
    order = rng.permutation(sum(sizes))
    ends = np.cumsum(sizes[::-1])
    return list(np.split(order, ends[:-1]))[::-1]


def drawn_by_class(labels: Any, fractions: Sequence[Fraction], rng: np.random.Generator) -> list[Any]:
    """Return rows for each part, with every class apportioned by itself."""
    order = rng.permutation(len(labels))
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    by_class = order[np.argsort(codes[order], kind="stable")]
    found: list[list[Any]] = [[] for _ in fractions]
    behind, start = [Fraction(0)] * len(fractions), 0
    for label, count in zip(classes, counts.tolist(), strict=True):
        sizes = apportion(count, fractions, behind)
        if 0 in sizes:
            raise _too_few(label, count, sizes)
        behind = [late + count * share - size for late, share, size in zip(behind, fractions, sizes, strict=True)]
        for part, rows in zip(found, np.split(by_class[start : start + count], np.cumsum(sizes)[:-1]), strict=True):
            part.append(rows)
        start += count
    return [np.concatenate(part) for part in found]


def drawn_by_group(groups: Any, labels: Any, fractions: Sequence[Fraction], rng: np.random.Generator) -> list[Any]:
    """Return rows for each part, with whole groups in one part; with labels, in about the proportions of the classes.

    One group after another, the largest first, goes to the part that misses most of what is in it.
    """
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    labels = np.zeros(len(groups), np.int8) if labels is None else labels
    classes, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    members = np.split(np.argsort(numbers, kind="stable"), np.cumsum(sizes)[:-1])
    missing = np.outer([float(fraction) for fraction in fractions], counts)  # samples of each class in each part
    found: list[list[Any]] = [[] for _ in fractions]
    shuffled = rng.permutation(len(sizes))
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        inside = np.bincount(codes[members[group]], minlength=len(counts))
        # The sum of the squares of what is missing, relative to each class, falls most there.
        part = int(np.argmax(missing @ (inside / counts)))
        missing[part] -= inside
        found[part].append(members[group])
    parts = [np.concatenate(rows) if rows else np.zeros(0, np.int64) for rows in found]
    for code, label in enumerate(classes):
        in_parts = [int((codes[rows] == code).sum()) for rows in parts]
        if 0 in in_parts and len(classes) > 1:
            raise _too_few(label, int(counts[code]), in_parts, " in whole groups")
    return parts


def _too_few(label: Any, count: int, sizes: Sequence[int], how: str = "") -> DataError:
    return DataError(
        f"expected samples of each class in every part, got {count} of class {label.item()!r}, which make "
        f"{tuple(sizes)}{how}; use fewer parts or larger ones, or leave the class out"
    )

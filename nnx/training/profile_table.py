"""The text of a profile."""

from collections.abc import Mapping, Sequence
from typing import Any

_HEAD = ("layer", "forward", "backward", "share", "floor", "FLOPs", "output", "parameters", "kernels")
_LEFT = {0, len(_HEAD) - 1}
_SECONDS = ((1.0, "s"), (1e-3, "ms"), (0.0, "us"))
_LARGE = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (0.0, ""))


def as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as a table: the first one, of the model itself, at the end."""
    whole, *layers = rows
    cells = [_HEAD, *(_cells(row) for row in (layers or rows))]
    last = _cells(whole, "total")
    widths = [max(len(line[i]) for line in (*cells, last)) for i in range(len(_HEAD))]
    lines = [
        "  ".join(
            f"{cell:<{width}}" if i in _LEFT else f"{cell:>{width}}"
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (*cells, last)
    ]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _cells(row: Mapping[str, Any], name: str | None = None) -> tuple[str, ...]:
    time = row["forward"] + row["backward"]
    return (
        name or f"{'  ' * row['depth']}{row['path']} {row['layer']}".strip(" " if not row["path"] else ""),
        *([_seconds(row["forward"]), _seconds(row["backward"]), f"{row['share']:.1%}"] if time else "---"),
        f"{row['floor'] / time:.0%}" if row["floor"] and time else "-",
        _large(row["flops"]),
        f"{_large(row['output_bytes'])}B",
        f"{_large(row['parameter_bytes'])}B",
        " + ".join(dict.fromkeys(row["kernels"].values())) or "-",
    )


def _seconds(value: float) -> str:
    if not value:
        return "-"
    unit, name = next((unit, name) for unit, name in _SECONDS if value >= unit)
    return f"{_digits(value / (unit or 1e-6))} {name}"


def _large(value: float) -> str:
    unit, name = next((unit, name) for unit, name in _LARGE if value >= unit)
    return f"{_digits(value / unit)} {name}" if unit else f"{value} "


def _digits(value: float) -> str:
    """Return a number with three digits, or all that stand before the point."""
    return f"{value:,.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"

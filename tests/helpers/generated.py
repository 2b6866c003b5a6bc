"""Parts of a page that are made from the code, between two marks: written by a script, compared in a test."""

from collections.abc import Iterable, Sequence
from pathlib import Path

BEGIN, END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, and an empty one."""
    lines = [head, ["---"] * len(head), *rows]
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]


def written(page: str, tables: str) -> str:
    """Return a page with new tables between its marks."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return before + BEGIN + tables + END + after


def write(path: Path, tables: str) -> None:
    """Write the tables into a page."""
    path.write_text(written(path.read_text("utf-8"), tables), "utf-8")

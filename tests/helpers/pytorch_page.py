"""The table of docs/pytorch.md: each class of ``torch.nn`` that ``nnx.io.from_torch`` converts, and what it becomes.

``python tests/helpers/pytorch_page.py`` writes it into the page; a test holds that it is today's.
"""

from pathlib import Path

from generated import table, write

from nnx.io.pytorch.tables import PAIRS

PAGE = Path(__file__).parents[2] / "docs" / "pytorch.md"


def tables() -> str:
    """Return the table as the page has it."""
    rows = ((f"`{name}`", _code(pair.name), pair.note) for name, pair in sorted(PAIRS.items()))
    return "\n".join(table(("torch.nn", "nnx", "note"), rows))


def _code(names: str) -> str:
    return ", ".join(f"`{name}`" for name in names.split(", "))


if __name__ == "__main__":
    write(PAGE, tables())

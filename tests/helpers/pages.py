"""The blocks of Python on a page of the docs."""

import re
from collections.abc import Iterator
from pathlib import Path

_BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks_of(page: Path) -> Iterator[tuple[str, str]]:
    """Iterate over the blocks of a page: the heading above each, and its source, with the lines that it has there."""
    text = page.read_text("utf-8")
    for match in _BLOCK.finditer(text):
        headings = re.findall(r"^#+ (.*)", text[: match.start()], re.MULTILINE)
        yield headings[-1] if headings else "", "\n" * text.count("\n", 0, match.start(1)) + match.group(1)


def run(source: str, page: Path, names: dict[str, object]) -> None:
    """Run a block; an error points to its line of the page."""
    exec(compile(source, str(page), "exec"), names)

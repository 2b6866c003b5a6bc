"""The tables of docs/capabilities.md: what each function, layer and loss takes and keeps, from the battery's records.

``python tests/helpers/capabilities_page.py`` writes them into the page; a test holds that they are today's.
"""

import inspect
import re
from pathlib import Path
from typing import Any

from generated import table, write
from rows import CAPABILITIES, FAMILIES
from rows.record import Capability

import nnx

PAGE = Path(__file__).parents[2] / "docs" / "capabilities.md"
HEAD = ("name", "takes", "dtypes", "libraries", "derivatives", "a batch", "in PyTorch")
DTYPES = {"half": "float16, bfloat16", "real": "float32, float64", "complex": "complex", "integer": "integers"}
BATCH = {"concat": "each example for itself", "mean": "mean of the examples", "sum": "sum of the examples", None: "-"}


def tables() -> str:
    """Return the tables as the page has them."""
    lines: list[str] = []
    for family, module in FAMILIES.items():
        lines += [f"### {family}", "", *table(HEAD, map(cells, module.CAPABILITIES))]
    described = {record.name.removeprefix("functional.") for record in CAPABILITIES}
    for title, room, prefix in (("Models", nnx.layers, ""), ("Metrics", nnx.metrics, "metrics.")):
        names = sorted(set(room.__all__) - described, key=lambda name: (name.lower(), name))
        rows = [(f"`{prefix}{name}`", first_sentence(getattr(room, name))) for name in names]
        lines += [f"### {title}", "", *table(("name", "what it is"), rows)]
    return "\n".join(lines)


def first_sentence(thing: Any) -> str:
    """Return the first paragraph of a docstring up to its first colon or full stop."""
    text = " ".join(inspect.getdoc(thing).partition("\n\n")[0].split())
    text = re.sub(r":\w+:`([^`]*)`|``([^`]*)``", r"`\1\2`", text)
    return re.split(r"[:.;](?= |$)", text)[0].replace("|", "\\|")


def cells(record: Capability) -> tuple[str, ...]:
    """Return the cells of a record."""
    limits = "; ".join(f"{library}: {reason}" for library, reason in record.limits.items())
    return (
        f"`{record.name}`",
        record.takes,
        ", ".join(DTYPES[kind] for kind in record.dtypes),
        f"all, but {limits}" if limits else "all",
        record.derivatives,
        BATCH[record.rows[0].batch if record.rows else None],
        f"`{record.torch}`",
    )


if __name__ == "__main__":
    write(PAGE, tables())

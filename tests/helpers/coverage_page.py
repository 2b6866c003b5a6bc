"""The tables of docs/autodiff.md: what the traced namespace does with each name of the standard.

``python tests/helpers/coverage_page.py`` writes them into the page; a test holds that they are today's.
"""

from collections.abc import Iterable
from pathlib import Path

from generated import table, write

from nnx.autodiff import rules
from nnx.autodiff.rules import elementwise, fft, indexing, linalg, linear_algebra, manipulation, statistical

PAGE = Path(__file__).parents[2] / "docs" / "autodiff.md"

KINDS = {
    "Elementwise": "elementwise factors, for both modes",
    "Linear": "linear: applied to tangents, transposed for cotangents",
    "Multilinear": "linear in each argument",
    "Weighted": "a weighted sum, for both modes",
    "Joined": "linear: each array gets its part",
    "Indexed": "linear: applied to tangents, added up at the indices for cotangents",
}
CHAPTERS = {
    "Elementwise functions": ("", elementwise.ELEMENTWISE),
    "Statistical functions": ("", statistical.STATISTICAL),
    "Manipulation and data types": ("", manipulation.MANIPULATION),
    "Indexing": ("", indexing.INDEXING),
    "Matrix products": ("", linear_algebra.LINEAR_ALGEBRA),
    "Linear algebra extension": ("linalg.", linalg.LINALG),
    "Fourier transform extension": ("fft.", fft.FFT),
}


def listed(names: Iterable[str]) -> str:
    """Return names in order, as code."""
    return ", ".join(f"`{name}`" for name in sorted(names))


def kind(rule: object) -> str:
    """Return in words how a rule gives the derivative."""
    return KINDS.get(type(rule).__name__, "its own pullback, transposed again for forward mode")


def tables() -> str:
    """Return the tables as the page has them."""
    lines: list[str] = []
    for chapter, (prefix, own) in CHAPTERS.items():
        by_kind: dict[str, list[str]] = {}
        for name, rule in own.items():
            by_kind.setdefault(kind(rule), []).append(prefix + name)
        rows = [(listed(names), way) for way, names in by_kind.items()]
        lines += [f"### {chapter}", "", *table(("differentiable", "by"), rows)]
    lines += [
        "### Written with other functions",
        "",
        "They are composed of functions above, and so are their derivatives.",
        "",
    ]
    lines += [listed(rules.COMPOSED) + ".", ""]
    lines += [
        "### Constant",
        "",
        "Their derivative is zero almost everywhere, or they return no floating-point numbers.",
        "",
    ]
    lines += [listed(rules.CONSTANT | rules.LIKE) + ".", ""]
    lines += ["### Passed through", "", "Creation without array arguments, dtypes, constants, inspection.", ""]
    lines += [listed(rules.PASSED) + ".", ""]
    lines += ["### Refused", "", "They raise `MissingRuleError`: a derivative would be silently lost.", ""]
    lines += table(
        ("refused", "because, and instead"), ((f"`{name}`", why) for name, why in sorted(rules.REFUSED.items()))
    )
    return "\n".join(lines)


if __name__ == "__main__":
    write(PAGE, tables())

"""The curves of :mod:`benchmarks.growth`: a column for each size that is varied, time above memory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.peak import SMALLEST

STYLES = {
    "nnx": {"color": "#2272b4", "marker": "o", "label": "nnx"},
    "nnx replayed": {"color": "#0b3c6f", "marker": "s", "label": "nnx, replayed"},
    "torch": {"color": "#e1812c", "marker": "^", "label": "PyTorch"},
}
ROWS = (("seconds", "time of a step"), ("bytes", "peak of memory"))


def draw(path: Path, curves: Mapping[str, Any]) -> None:
    """Draw the curves, both axes logarithmic, and below each of them a line as the work grows."""
    from matplotlib.figure import Figure

    columns = len(curves)
    figure = Figure(figsize=(3.1 * columns, 6.0), layout="constrained")
    panels = figure.subplots(2, columns, squeeze=False, sharex="col", sharey="row")
    for column, curve in enumerate(curves.values()):
        for (what, _), panel in zip(ROWS, panels[:, column], strict=True):
            _panel(panel, curve, what)
        panels[0, column].set_title(curve["title"], fontsize=9)
        panels[1, column].set_xlabel(curve["unit"], fontsize=9)
    for (_, label), panel in zip(ROWS, panels[:, 0], strict=True):
        panel.set_ylabel(label, fontsize=9)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)


def _panel(panel: Any, curve: Mapping[str, Any], what: str) -> None:
    from matplotlib.ticker import FuncFormatter, NullLocator

    panel.set_xscale("log")
    panel.set_yscale("log")
    ends, first = [], curve["sizes"][-1]
    for name, values in curve[what].items():
        pairs = [
            (size, value)
            for size, value in zip(curve["sizes"], values, strict=True)
            if what == "seconds" or value >= SMALLEST
        ]
        if pairs:
            panel.plot(*zip(*pairs, strict=True), lw=1.6, ms=4, **STYLES[name])
            ends.append(pairs[-1])
            first = min(first, pairs[0][0])
    if ends:
        size, value = max(ends, key=lambda pair: (pair[0], -pair[1]))
        least = size * (1.6 * SMALLEST / value) ** (1 / curve["power"]) if what == "bytes" else 0.0
        start = max(size / 16, first, least)
        line = {
            "color": "#9a9a9a",
            "ls": ":",
            "lw": 1.2,
            "label": "proportional to the size, of features to its square",
        }
        panel.plot([start, size], [value / 1.6 * (start / size) ** curve["power"], value / 1.6], **line)
    ticks = curve["sizes"] if len(curve["sizes"]) <= 4 else curve["sizes"][::2]
    panel.set_xticks(ticks, [f"{size:,}" for size in ticks], fontsize=8)
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(_second if what == "seconds" else _byte))
    panel.tick_params(labelsize=8)
    panel.grid(color="#e3e3e3", lw=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _second(value: float, _: int) -> str:
    if value >= 1:
        return f"{value:g} s"
    return f"{value * 1e3:g} ms" if value >= 1e-3 else f"{value * 1e6:g} us"


def _byte(value: float, _: int) -> str:
    return f"{value / 1e9:g} GB" if value >= 1e9 else f"{value / 1e6:g} MB"

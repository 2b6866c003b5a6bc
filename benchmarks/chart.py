"""The times as bars, a panel for each workload. Needs matplotlib, which comes with ``pip install 'nnx-array[cli]'``."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from benchmarks.race import Result
from benchmarks.workload import Workload

COLORS = {
    "nnx portable": "#a6c8e4",
    "nnx native": "#5b9bd0",
    "nnx compiled": "#2272b4",
    "nnx replayed": "#0b3c6f",
    "torch": "#e1812c",
    "jax": "#8a6bb1",
    "by hand": "#6b6b6b",
}
OTHERS = "#b5b5b5"


def draw(path: Path, pairs: Sequence[tuple[Workload, Result]], columns: int = 3) -> None:
    """Draw the median time of each contestant relative to PyTorch's, with quartiles, and the floor as a line."""
    from matplotlib.figure import Figure

    rows = -(-len(pairs) // columns)
    figure = Figure(figsize=(5 * columns, 2.7 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, (_, result) in zip(panels, pairs, strict=False):
        _bars(panel, result)
    for panel in panels[len(pairs) :]:
        panel.set_visible(False)
    figure.suptitle("Time of a step on one core; the number is the time, the dashed line the floor", fontsize=11)
    figure.savefig(path, dpi=130)


def _bars(panel, result: Result) -> None:
    base = "torch" if "torch" in result.times else "nnx native"
    unit = result.spread(base).median
    names = sorted((name for name in result.times if name != "floor"), key=lambda name: result.spread(name).median)
    spreads = [result.spread(name) for name in names]
    medians = [spread.median / unit for spread in spreads]
    errors = [
        [(spread.median - spread.lower) / unit for spread in spreads],
        [(spread.upper - spread.median) / unit for spread in spreads],
    ]
    # One that takes many times longer would leave nothing of the others to see.
    limit = 1.35 * max(1.0, *(median for name, median in zip(names, medians, strict=True) if name in COLORS))
    colors = [COLORS.get(name, OTHERS) for name in names]
    panel.barh(names, medians, xerr=errors, color=colors, height=0.72, error_kw={"ecolor": "#333333", "lw": 0.8})
    for number, (median, spread) in enumerate(zip(medians, spreads, strict=True)):
        is_cut = median > limit
        place = limit if is_cut else spread.upper / unit
        text = _in_short(spread.median)
        panel.annotate(
            text,
            (place, number),
            xytext=(-3 if is_cut else 4, 0),
            textcoords="offset points",
            ha="right" if is_cut else "left",
            va="center",
            fontsize=7.5,
        )
    if "floor" in result.times:
        panel.axvline(result.spread("floor").median / unit, color="#333333", ls="--", lw=0.9)
    panel.set_xlim(0, limit)
    panel.invert_yaxis()
    panel.set_title(textwrap.fill(result.name, 52), fontsize=9, loc="left")
    panel.set_xlabel(f"relative to {'PyTorch' if base == 'torch' else base}", fontsize=8)
    panel.tick_params(labelsize=8)
    panel.spines[["top", "right"]].set_visible(False)


def _in_short(seconds: float) -> str:
    return f"{seconds * 1e6:,.0f} us" if seconds < 1e-3 else f"{seconds * 1e3:,.1f} ms"

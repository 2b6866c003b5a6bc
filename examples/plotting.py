"""The style that the plots of the examples share: quiet axes, direct labels, colors that differ in grayscale too."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#1f5fa8", "#e07b00", "#2a8a57", "#c23b4b", "#6f7680"

matplotlib.rcParams.update(
    {
        "axes.axisbelow": True,
        "axes.edgecolor": GREY,
        "axes.grid": True,
        "axes.labelcolor": "#30353b",
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 11,
        "axes.titlepad": 10,
        "figure.constrained_layout.h_pad": 0.1,
        "figure.constrained_layout.use": True,
        "figure.constrained_layout.w_pad": 0.1,
        "font.size": 10,
        "grid.color": "#e4e7ea",
        "legend.frameon": False,
        "lines.linewidth": 2,
        "savefig.dpi": 150,
        "xtick.color": "#30353b",
        "ytick.color": "#30353b",
    }
)


def new_figure(width: float = 7.0, height: float = 4.2, rows: int = 1, columns: int = 1, **options: Any) -> Any:
    """Return a figure of the given size in inches, and its axes: one, or an array of them."""
    figure = Figure((width, height))
    return figure, figure.subplots(rows, columns, **options)


def label(axes: Axes, x: float, y: float, text: str, color: str, **options: Any) -> None:
    """Write the name of a curve next to it, in its color; (x, y) is a point of the curve."""
    options = {"xytext": (6, 0), "ha": "left", "va": "center"} | options
    axes.annotate(text, (x, y), textcoords="offset points", color=color, annotation_clip=False, **options)


def show_images(axes: Axes, images: Any, columns: int = 10) -> None:
    """Draw square images, given as rows of pixels in [0, 1], in a grid with thin gaps."""
    side = round(images.shape[1] ** 0.5)
    gap = max(1, side // 10)
    tiles = np.pad(np.clip(images, 0, 1).reshape(-1, side, side), ((0, 0), (gap, gap), (gap, gap)))
    side += 2 * gap
    grid = tiles.reshape(-1, columns, side, side).swapaxes(1, 2).reshape(-1, columns * side)
    axes.imshow(grid, cmap="gray_r", vmin=0, vmax=1)
    axes.set_axis_off()


def save_figure(figure: Figure, directory: Path, name: str) -> None:
    """Write ``<directory>/<name>.png`` and print where it is."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.png"
    figure.savefig(path)
    print(f"plot: {path}")

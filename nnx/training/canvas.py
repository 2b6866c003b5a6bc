"""Figures with a canvas and a style of their own: matplotlib's settings of the user change nothing about them."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from nnx.errors import MissingExtraError

BLUE, ORANGE, INK, FAINT = "#2563eb", "#ea580c", "#1f2937", "#9ca3af"

_Function = TypeVar("_Function", bound=Callable[..., Any])


def in_own_style(function: _Function) -> _Function:
    """Draw what a function draws with matplotlib's own defaults."""

    @functools.wraps(function)
    def drawn(*args: Any, **kwargs: Any) -> Any:
        with own_style():
            return function(*args, **kwargs)

    return drawn  # type: ignore[return-value]


@contextmanager
def own_style() -> Iterator[None]:
    """Yield with matplotlib's own defaults, such as no ``text.usetex``; afterwards the settings are the user's again.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        import matplotlib
        import matplotlib.figure
    except ImportError as error:
        raise MissingExtraError(
            f"expected matplotlib to draw a plot, got: {error}; install it with: pip install 'nnx-array[cli]'"
        ) from error
    defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if not name.startswith("backend")}
    with matplotlib.rc_context(defaults):
        yield


def new_figure(width: float, height: float) -> Any:
    """Return a figure with a canvas for images, which is drawn and saved in the style too."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = _figure_class()(figsize=(width, height), dpi=150, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)
    FigureCanvasAgg(figure)
    return figure


def panels_of(count: int, width: float, height: float, columns: int = 3) -> tuple[Any, list[Any]]:
    """Return a figure and that many panels of a size, in rows of at most some."""
    columns = min(count, columns)
    rows = -(-count // columns)
    figure = new_figure(width * columns, height * rows)
    panels = [axes for row in figure.subplots(rows, columns, squeeze=False) for axes in row]
    for axes in panels[count:]:
        axes.remove()
    return figure, panels[:count]


def tidy(axes: Any) -> None:
    """Leave of the frame and the grid of a panel what helps to read it."""
    axes.grid(axis="y", color=FAINT, alpha=0.3, linewidth=0.8)
    axes.tick_params(length=0, which="both", colors=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


@functools.cache
def _figure_class() -> Any:
    from matplotlib.figure import Figure

    class PlainFigure(Figure):
        """A figure that is drawn in the style in which it was made."""

        def draw(self, renderer: Any) -> None:
            with own_style():
                super().draw(renderer)

        def savefig(self, *args: Any, **kwargs: Any) -> None:
            with own_style():
                super().savefig(*args, **kwargs)

    return PlainFigure

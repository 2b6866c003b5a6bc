"""Plots of a run, as matplotlib figures without a window: ``figure.savefig("curves.png")``.

matplotlib is imported when a plot is made; the state of ``pyplot`` and the user's settings are neither read nor
changed.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nnx.backend import to_numpy
from nnx.errors import ArgumentError, ShapeError
from nnx.training.canvas import BLUE, FAINT, INK, ORANGE, in_own_style, new_figure, panels_of, tidy
from nnx.training.history import History, monitored
from nnx.types import Array

_MOST_COUNTED = 20  # with more classes the counts would not be readable


@in_own_style
def plot_curves(history: History, monitor: str | Sequence[str] | None = None) -> Any:
    """Draw the metrics over the epochs, for training and validation.

    Parameters
    ----------
    history : History
        With at least one row.
    monitor : str or sequence of str, optional
        What decides which epoch is the best, as in :meth:`History.best`; it is marked.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        If the history has no row, or no metric of the monitored name.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> figure = plot_curves(History([{"epoch": 1, "loss": 0.9, "accuracy": 0.5, "validation_accuracy": 0.6}]))
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss', 'accuracy (%)']
    """
    if not history.rows:
        raise ArgumentError("expected a history with at least one epoch, got none; train first")
    names = list(dict.fromkeys(name.removeprefix("validation_") for name in history.names if name != "epoch"))
    figure, panels = panels_of(len(names), 4.5, 3.8)
    for axes, name in zip(panels, names, strict=True):
        _draw_lines(axes, history, name)
    if min(min(history.column("loss")), 0.0) == 0.0:
        panels[0].set_ylim(bottom=0)
    chosen = monitored(monitor, history.names)
    _mark_best(panels[names.index(chosen[0].removeprefix("validation_"))], history, chosen)
    lines = {line.get_label(): line for axes in panels for line in axes.lines if not line.get_label().startswith("_")}
    figure.legend(
        lines.values(), lines, loc="outside upper center", ncols=2, frameon=False, fontsize=10, labelcolor=INK
    )
    return figure


@in_own_style
def plot_histories(histories: Mapping[str, History]) -> Any:
    """Draw the metrics of several runs over the epochs: those of validation, where there are any.

    Parameters
    ----------
    histories : mapping from name to History
        Each with at least one row; the names stand in the legend.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ArgumentError
        If there is no history, or one has no row.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> runs = {name: History([{"epoch": 1, "loss": loss}]) for name, loss in (("a", 0.5), ("b", 0.7))}
    >>> [axes.get_ylabel() for axes in plot_histories(runs).axes]
    ['loss']
    """
    if not histories or not all(history.rows for history in histories.values()):
        raise ArgumentError("expected histories with at least one epoch each; train first")
    names = list(dict.fromkeys(name for history in histories.values() for name in history.names if name != "epoch"))
    shown = [name for name in names if name.startswith("validation_")] or names
    figure, panels = panels_of(len(shown), 4.5, 3.8)
    for axes, name in zip(panels, shown, strict=True):
        for label, history in histories.items():
            epochs, scale = history.column("epoch"), _scale(name)
            marker = "o" if len(epochs) == 1 else None
            axes.plot(
                epochs, [scale * value for value in history.column(name)], label=label, linewidth=2, marker=marker
            )
        title = name.replace("validation_", "validation ").replace("_", " ")
        axes.set_ylabel(title + (" (%)" if _scale(name) == 100 else ""), color=INK, fontsize=11)
        axes.set_xlabel("epoch", color=INK, fontsize=11)
        tidy(axes)
    lines, labels = panels[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside upper center", ncols=min(len(labels), 3), frameon=False, fontsize=9)
    return figure


@in_own_style
def plot_confusion(matrix: Array, names: list[str] | None = None) -> Any:
    """Draw a confusion matrix with its counts; color shows the share of each row.

    Parameters
    ----------
    matrix : array of integers, shape (classes, classes)
        As :func:`confusion_matrix` returns: rows are the true classes, columns the predicted ones.
    names : list of str, optional
        The names of the classes; default their indices.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ShapeError
        If the matrix is not square, or there is not one name for each class.
    MissingExtraError
        If matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> figure = plot_confusion(np.asarray([[9, 1], [0, 10]]))
    >>> figure.axes[0].get_title()
    '95.00 % of 20 correct'
    """
    rows: list[list[int]] = to_numpy(matrix).tolist()
    classes = len(rows)
    if matrix.ndim != 2 or matrix.shape[1] != classes or (names is not None and len(names) != classes):
        raise ShapeError(
            f"expected a square matrix and a name for each of its rows, got shape {tuple(matrix.shape)} and "
            f"{'no names' if names is None else f'{len(names)} names'}"
        )
    figure = new_figure(width=6.0, height=6.2)
    axes = figure.subplots()
    shares = [[count / max(sum(row), 1) for count in row] for row in rows]
    _color_cells(axes, shares)
    if classes <= _MOST_COUNTED:
        _write_counts(axes, rows, shares)
    correct, total = sum(rows[i][i] for i in range(classes)), sum(map(sum, rows))
    axes.set_title(f"{100 * correct / max(total, 1):.2f} % of {total:,} correct", color=INK, fontsize=12, pad=12)
    axes.set_xlabel("predicted class", color=INK, fontsize=11, labelpad=8)
    axes.set_ylabel("true class", color=INK, fontsize=11, labelpad=8)
    if classes <= _MOST_COUNTED or names is not None:
        labels = names or [str(i) for i in range(classes)]
        axes.set_xticks(range(classes), labels, rotation=90 if max(map(len, labels)) > 3 else 0)
        axes.set_yticks(range(classes), labels)
    axes.tick_params(which="both", length=0, colors=INK)
    axes.spines[:].set_visible(False)
    return figure


@in_own_style
def plot_rates(
    rates: Sequence[float], losses: Sequence[float], smoothed: Sequence[float], suggestion: float | None = None
) -> Any:
    """Draw losses over learning rates, as :meth:`nnx.callbacks.RateSearch.plot` does.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    figure = new_figure(width=6.0, height=3.8)
    axes = figure.subplots()
    axes.plot(rates, losses, color=FAINT, linewidth=1, label="loss")
    axes.plot(rates, smoothed, color=BLUE, linewidth=2, label="smoothed", solid_capstyle="round")
    axes.set_xscale("log")
    if suggestion is not None:
        axes.axvline(suggestion, color=ORANGE, linewidth=1.5, label=f"suggestion: {suggestion:.2g}")
    if smoothed:
        low, high = min(smoothed), max(smoothed[0], min(losses))
        margin = 0.5 * (high - low) or 1.0
        axes.set_ylim(low - 0.2 * margin, high + margin)  # what comes after would flatten all that matters
    axes.set_xlabel("learning rate", color=INK, fontsize=11)
    axes.set_ylabel("loss", color=INK, fontsize=11)
    tidy(axes)
    axes.legend(frameon=False, fontsize=10, labelcolor=INK)
    return figure


def _scale(name: str) -> int:
    """Return 100 for what is shown in percent, else 1."""
    return 100 if name.endswith("accuracy") else 1


def _draw_lines(axes: Any, history: History, name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    scale = _scale(name)
    epochs = [row["epoch"] for row in history.rows]
    marker = "o" if len(epochs) == 1 else None  # a line through one point is invisible
    for column, label, color in ((name, "training", BLUE), (f"validation_{name}", "validation", ORANGE)):
        values = [scale * value for value in history.column(column)]
        if any(value == value for value in values):  # not all NaN
            axes.plot(epochs, values, color=color, label=label, linewidth=2, marker=marker, solid_capstyle="round")
    axes.set_xlabel("epoch", color=INK, fontsize=11)
    axes.set_ylabel(name.replace("_", " ") + (" (%)" if scale == 100 else ""), color=INK, fontsize=11)
    margin = 0.02 * (epochs[-1] - epochs[0]) or 0.5
    axes.set_xlim(epochs[0] - margin, epochs[-1] + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
    axes.grid(axis="y", color=FAINT, alpha=0.3, linewidth=0.8)
    axes.tick_params(length=0, colors=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)


def _mark_best(axes: Any, history: History, monitor: Sequence[str]) -> None:
    row, name = history.best(monitor), monitor[0]
    if row is None or name not in row:
        return
    scale, color = _scale(name), ORANGE if name.startswith("validation_") else BLUE
    value = f"{100 * row[name]:.2f} %" if scale == 100 else f"{row[name]:.4g}"
    axes.plot([row["epoch"]], [scale * row[name]], "o", color=color, markersize=7, markeredgecolor="white", zorder=5)
    axes.set_title(f"● best: {value} in epoch {row['epoch']}", loc="right", color=color, fontsize=10)


def _color_cells(axes: Any, shares: list[list[float]]) -> None:
    """Color correct cells blue and wrong ones orange, on a scale of their own: they would be too pale to see."""
    right, wrong = ([[math.nan] * len(shares) for _ in shares] for _ in range(2))  # NaN is drawn as nothing
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            if share:
                (right if i == j else wrong)[i][j] = share
    most = max((share for row in wrong for share in row if share == share), default=0.0)
    axes.set_facecolor("#f3f4f6")
    axes.imshow(right, cmap="Blues", vmin=0, vmax=1.2)
    axes.imshow(wrong, cmap="Oranges", vmin=0, vmax=max(2 * most, 0.05))
    edges = [i - 0.5 for i in range(1, len(shares))]
    axes.set_xticks(edges, minor=True)
    axes.set_yticks(edges, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)


def _write_counts(axes: Any, rows: list[list[int]], shares: list[list[float]]) -> None:
    for i, row in enumerate(rows):
        for j, count in enumerate(row):
            if count:
                color = "white" if i == j and shares[i][j] > 0.5 else INK
                axes.text(j, i, f"{count:,}", ha="center", va="center", color=color, fontsize=9)

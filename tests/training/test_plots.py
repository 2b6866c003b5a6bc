import io
import subprocess
import sys

import numpy as np
import pytest

from nnx.errors import ArgumentError, ShapeError
from nnx.training import History, plot_confusion, plot_curves

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


def is_drawn(figure):
    """Whether a figure becomes a valid image with something on it."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    with Image.open(file) as image:
        image.verify()
    with Image.open(file) as image:
        darkest, lightest = image.convert("L").getextrema()
        return min(image.size) > 300 and lightest - darkest > 100


def history(epochs, validated=True):
    made = History()
    for epoch in range(1, epochs + 1):
        row = {"epoch": epoch, "loss": 1 / epoch, "accuracy": 1 - 0.5 / epoch}
        if validated:
            row |= {"validation_loss": 1.2 / epoch, "validation_accuracy": 1 - 0.6 / epoch}
        made.add(row)
    return made


@pytest.mark.parametrize("validated", [True, False])
@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_curves(epochs, validated):
    figure = plot_curves(history(epochs, validated), "validation_accuracy" if validated else "accuracy")
    loss, accuracy = figure.axes
    assert [axes.get_xlabel() for axes in figure.axes] == ["epoch", "epoch"]
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy (%)")
    assert [line.get_label() for line in loss.lines] == ["training", "validation"][: 1 + validated]
    assert f"in epoch {epochs}" in accuracy.get_title(loc="right")
    assert is_drawn(figure)


def test_by_default_the_best_is_that_of_the_loss():
    figure = plot_curves(history(3))
    assert [axes.get_title(loc="right") for axes in figure.axes] == ["● best: 0.4 in epoch 3", ""]
    assert is_drawn(figure)


def test_curves_need_an_epoch():
    with pytest.raises(ArgumentError, match="at least one epoch, got none; train first"):
        plot_curves(History())


def test_confusion_shows_the_counts():
    figure = plot_confusion(np.asarray([[90, 10], [0, 1000]]), ["cat", "dog"])
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["90", "10", "1,000"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")
    assert axes.get_title() == "99.09 % of 1,100 correct"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog"]
    assert is_drawn(figure)


@pytest.mark.parametrize("matrix", [np.zeros((3, 3), int), 5 * np.eye(10, dtype=int), np.ones((40, 40), int)])
def test_confusion_of_any_size(matrix):
    assert is_drawn(plot_confusion(matrix))


@pytest.mark.parametrize(("shape", "names"), [((2, 3), None), ((2, 2), ["one"])])
def test_confusion_of_the_wrong_shape(shape, names):
    with pytest.raises(ShapeError, match="a square matrix and a name for each of its rows"):
        plot_confusion(np.zeros(shape, int), names)


def test_a_plot_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"matplotlib.*pip install 'nnx-array\[cli\]'"):
        plot_curves(history(1))


def test_pyplot_is_never_imported():
    code = (
        "import sys, numpy, nnx.training as t; assert 'matplotlib' not in sys.modules;"
        "t.plot_confusion(numpy.eye(2, dtype=int)); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

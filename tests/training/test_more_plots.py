import io
import os
import subprocess
import sys

import numpy as np
import pytest

import nnx
from nnx.callbacks import Checkpoints, Plots
from nnx.errors import ArgumentError, MissingExtraError, ShapeError
from nnx.training import History, plot_activations, plot_curves, plot_mistakes, plot_weights

pytest.importorskip("matplotlib", reason="matplotlib is not installed")
Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


def is_drawn(figure):
    """Whether a figure becomes an image with something on it."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    with Image.open(file) as image:
        darkest, lightest = image.convert("L").getextrema()
        return min(image.size) > 200 and lightest - darkest > 100


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes]


def test_many_metrics_are_drawn_in_rows_of_three():
    names = ["loss", "accuracy", "top_k_accuracy", "f1", "auc"]
    figure = plot_curves(History([{"epoch": i, **dict.fromkeys(names, 0.5), "validation_f1": 0.4} for i in (1, 2)]))
    assert len(figure.axes) == 5
    assert figure.axes[3].get_subplotspec().colspan.start == 0
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "validation"]
    assert is_drawn(figure)


def test_weights_and_activations(xp):
    with nnx.use_backend(xp.spec):
        model = nnx.Model([nnx.Linear(4, 8, rng=0), nnx.ReLU(), nnx.Dropout(0.5, seed=0), nnx.Linear(8, 3, rng=1)])
    figure = plot_weights(model)
    assert titles(figure) == ["0.weight", "0.bias", "3.weight", "3.bias"]
    assert is_drawn(figure)
    figure = plot_activations(model, xp.asarray(np.ones((5, 4), np.float32)))
    assert titles(figure) == ["0: Linear", "1: ReLU", "2: Dropout", "3: Linear"]
    assert is_drawn(figure)
    assert model.training


def test_of_many_parameters_the_largest_are_drawn():
    figure = plot_weights(nnx.Model([nnx.Linear(i, 1, rng=0) for i in range(1, 31)]))
    assert titles(figure)[0] == "6.weight"
    assert len(figure.axes) == 24
    assert figure.get_suptitle() == "the largest 24 of 60"


def test_values_that_are_not_finite_are_counted():
    model = nnx.Linear(4, 2, rng=0)
    model.weight = np.asarray([[np.nan, np.inf], [1, 2], [3, 4], [5, 6]], np.float32)
    assert plot_weights(model).axes[0].get_title(loc="right") == "2 not finite"
    model.weight = np.full((4, 2), np.nan, np.float32)
    assert is_drawn(plot_weights(model))
    with pytest.raises(ArgumentError, match="expected a model with parameters, got one without"):
        plot_weights(nnx.ReLU())
    with pytest.raises(ArgumentError, match="a model whose layers return arrays, got one without"):
        plot_activations(nnx.Identity(), np.ones(3, np.int64))


@pytest.mark.parametrize("shape", [(5, 8, 8), (5, 1, 8, 6), (5, 3, 8, 8), (5, 64)])
def test_the_worst_mistakes(shape):
    images = nnx.generator(0).uniform(size=shape)
    outputs = np.eye(3)[[0, 1, 1, 0, 0]] * np.asarray([1.0, 2.0, 3.0, 4.0, 5.0])[:, None]
    figure = plot_mistakes(images, np.asarray([1, 1, 0, 2, 0]), outputs, ["cat", "dog", "cow"])
    found = [axes.get_title() for axes in figure.axes]
    assert found == ["cow, taken for cat", "cat, taken for dog", "dog, taken for cat"]
    assert is_drawn(figure)
    assert len(plot_mistakes(images, np.asarray([1, 1, 0, 2, 0]), outputs, count=2).axes) == 2


def test_no_mistakes_and_none_that_can_be():
    x, y, scores = np.ones((2, 4, 4)), np.asarray([0, 1]), np.eye(2)
    assert plot_mistakes(x, y, scores).texts[0].get_text() == "no mistake among 2 images"
    for arguments, message in (
        ((x, y, scores[0]), r"outputs \(samples, classes\), got shapes \(2, 4, 4\), \(2,\) and \(2,\)"),
        ((np.ones((2, 5)), y, scores), r"or flat ones that are square, got shape \(2, 5\)"),
    ):
        with pytest.raises(ShapeError, match=message):
            plot_mistakes(*arguments)
    with pytest.raises(ArgumentError, match="a name for each of 2 classes, got 1"):
        plot_mistakes(x, y, scores, ["cat"])
    with pytest.raises(ArgumentError, match="count to be at least 1, got 0"):
        plot_mistakes(x, y, scores, count=0)


def fit(callbacks, epochs=2):
    model = nnx.Linear(3, 3, rng=0)
    trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1), callbacks=callbacks)
    for part in callbacks:
        if isinstance(part, Checkpoints):
            part.resume(trainer)
    trainer.fit((nnx.generator(0).normal(size=(8, 3)).astype("float32"),), epochs=epochs)


def test_plots_are_drawn_after_each_epoch_and_by_a_resumed_run_the_same(tmp_path):
    fit([Plots(tmp_path / "whole")])
    fit([Plots(tmp_path / "run"), Checkpoints(tmp_path / "checkpoints")], epochs=1)
    before = (tmp_path / "run" / "curves.png").read_bytes()
    model = nnx.Linear(3, 3, rng=0)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    trainer = nnx.Trainer(model, nnx.MSE(), nnx.SGD(model, 0.1), callbacks=[Plots(tmp_path / "run"), checkpoints])
    checkpoints.resume(trainer)
    trainer.fit((nnx.generator(0).normal(size=(8, 3)).astype("float32"),), epochs=2)
    for name in ("curves.png", "weights.png"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes() != before
    assert len(list((tmp_path / "run").iterdir())) == 2


def test_errors_of_plots(monkeypatch, tmp_path):
    with pytest.raises(ArgumentError, match="the path of a folder for plots, got ''"):
        Plots("")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"matplotlib to draw a plot.*pip install 'nnx-array\[cli\]'"):
        fit([Plots(tmp_path)])


HOSTILE = """
backend: module://no_such_backend
text.usetex: True
figure.dpi: 7
savefig.dpi: 9
savefig.bbox: tight
savefig.transparent: True
font.family: No Such Font
axes.formatter.use_mathtext: True
"""


def test_settings_of_the_user_change_nothing(tmp_path):
    (tmp_path / "matplotlibrc").write_text(HOSTILE)
    code = (
        "import sys, numpy as np, nnx; from nnx.training import *;"
        "h = History([{'epoch': i, 'loss': 1e-5 * i, 'accuracy': 0.5} for i in (1, 2)]);"
        "plot_curves(h).savefig(sys.argv[1] + '/curves.png');"
        "plot_confusion(np.eye(3, dtype=int)).savefig(sys.argv[1] + '/confusion.png');"
        "plot_weights(nnx.Linear(4, 4, rng=0)).savefig(sys.argv[1] + '/weights.png');"
        "import matplotlib; print(matplotlib.rcParams['text.usetex'])"
    )
    found = {}
    for name, settings in (("plain", {}), ("hostile", {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc")})):
        folder = tmp_path / name
        folder.mkdir()
        command = [sys.executable, "-c", code, str(folder)]
        result = subprocess.run(command, env=os.environ | settings, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert result.stdout.strip() == str(name == "hostile")  # and they are the user's again
        found[name] = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found["plain"] == found["hostile"]

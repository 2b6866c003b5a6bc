"""``nnx init``, ``summary``, ``compare``, ``export`` and sweeps."""

import os
import tomllib
from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx.cli.sweep import _values
from nnx.cli.templates import TEMPLATES
from nnx.errors import ArgumentError
from nnx.training import History, plot_histories

SMALL = ("--epochs", 2, "--batch-size", 200)


@pytest.mark.parametrize("kind", TEMPLATES)
def test_every_template_trains(nnx_command, kind):
    text = nnx_command("init", kind).ok()
    Path("config.toml").write_text(text)
    assert tomllib.loads(text)["epochs"] >= 10
    x, y = nnx.data.load_digits()
    if kind == "images":
        Image = pytest.importorskip("PIL.Image")
        for i in range(40):
            os.makedirs(f"images/{y[i]}", exist_ok=True)
            Image.fromarray(np.uint8(255 * x[i].reshape(8, 8))).save(f"images/{y[i]}/{i}.png")
    Path("table.csv").write_text("a,b,y\n" + "".join(f"{i},{i % 5},{i / 7}\n" for i in range(60)))
    settings = ["--set", "data=digits"] if kind == "mnist" else []
    nnx_command("train", "config.toml", *settings, "--epochs", 1, "--out", "run").ok()


def test_every_comment_of_a_template_may_be_taken_in(nnx_command):
    lines = nnx_command("init").ok().splitlines()
    text = "\n".join(line.removeprefix("# ") if " = " in line or line.startswith("# [") else line for line in lines)
    Path("config.toml").write_text(text)
    nnx_command("train", "config.toml", "--epochs", 1, "--out", "run").ok()
    assert "digitz'; did you mean digits?" in nnx_command("init", "digitz").failed()


def test_the_summary_of_a_configuration_and_of_a_run(nnx_command):
    Path("mine.toml").write_text('[model]\npreset = "lenet"\n')
    table = nnx_command("summary", "mine.toml").ok()
    assert "31,050" in table
    nnx_command("train", "mine.toml", *SMALL, "--out", "run").ok()
    assert nnx_command("summary", "run").ok() == table
    smaller = nnx_command("summary", "mine.toml", "--set", 'model={preset = "perceptron"}').ok()
    assert "3,760" in smaller
    assert "nowhere: expected a readable file" in nnx_command("summary", "nowhere").failed()


def test_runs_are_compared(nnx_command):
    for name, rate in (("a", 0.1), ("b", 0.2)):
        nnx_command("train", *SMALL, "--learning-rate", rate, "--out", name).ok()
    table = nnx_command("compare", "a", "b", "--plot", "both.png").ok()
    assert table.splitlines()[0].split()[:4] == ["run", "optimizer.learning_rate", "best", "epoch"]
    assert [line.split()[:2] for line in table.splitlines()[1:3]] == [["a", "0.1"], ["b", "0.2"]]
    assert Path("both.png").read_bytes()[:4] == b"\x89PNG"
    assert "expected two runs or more to compare" in nnx_command("compare", "a").failed()
    assert "nowhere: expected a run that has ended, got none" in nnx_command("compare", "a", "nowhere").failed()


def test_weights_are_exported(nnx_command):
    nnx_command("train", *SMALL, "--out", "run").ok()
    own, _ = nnx.io.load_weights("run/model.safetensors")
    nnx_command("export", "run", "--out", "weights.npz").ok()
    with np.load("weights.npz") as file:
        assert all(np.array_equal(file[name], value) for name, value in own.items())
    assert "3,760 numbers in 4 arrays" in nnx_command("export", "run", "--out", "weights.safetensors").ok()
    found, _ = nnx.io.load_weights("weights.safetensors")
    assert all(np.array_equal(found[name], value) for name, value in own.items())
    assert "x.pt: expected a file that ends with" in nnx_command("export", "run", "--out", "x.pt").failed()


def test_weights_are_exported_for_pytorch(nnx_command):
    pytest.importorskip("torch", reason="torch is not installed")
    load_file = pytest.importorskip("safetensors.torch").load_file
    nnx_command("train", *SMALL, "--out", "run").ok()
    nnx_command("export", "run", "--torch", "--out", "weights.safetensors").ok()
    own, _ = nnx.io.load_weights("run/model.safetensors")
    np.testing.assert_array_equal(load_file("weights.safetensors")["0.weight"].numpy(), own["0.weight"].T)


def test_a_sweep_trains_each_combination_once(nnx_command):
    sweeps = ("--sweep", "learning_rate=5e-2,1e-1", "--sweep", "model.hidden=[5],[7,6]")
    out = nnx_command("train", *SMALL, *sweeps, "--out", "sweep").ok()
    folders = sorted(path.name for path in Path("sweep").iterdir() if path.is_dir())
    assert folders == [
        f"learning_rate={rate},model.hidden={hidden}" for rate in ("1e-1", "5e-2") for hidden in ("[5]", "[7,6]")
    ]
    assert "run 4 of 4: optimizer.learning_rate" not in out
    assert "best epoch" in out
    assert Path("sweep/sweep.png").exists()
    again = nnx_command("train", *SMALL, *sweeps, "--out", "sweep").ok()
    assert again.count("has finished its 2 epochs") == 4
    error = nnx_command("train", "--epochs", 3, "--batch-size", 200, *sweeps, "--out", "sweep").failed()
    assert "expected a run of this sweep, got one with other values of epochs; choose another --out" in error
    assert "--sweep and --overwrite exclude" in nnx_command("train", *sweeps, "--overwrite").failed(2)


def test_a_sweep_that_was_stopped_goes_on(nnx_command, monkeypatch):
    from nnx.cli.display import TrainingLog

    sweeps = ("--sweep", "learning_rate=5e-2,1e-1")
    with monkeypatch.context() as patch:
        plain = TrainingLog.on_epoch_end

        def interrupt(self, trainer, row):
            plain(self, trainer, row)
            if row["epoch"] == 1:
                raise KeyboardInterrupt

        patch.setattr(TrainingLog, "on_epoch_end", interrupt)
        assert nnx_command("train", *SMALL, *sweeps, "--out", "sweep").code == 130
    assert "goes on after 1 epoch" in nnx_command("train", *SMALL, *sweeps, "--out", "sweep").ok()
    nnx_command("train", *SMALL, "--learning-rate", "5e-2", "--out", "alone").ok()
    assert nnx_command.figures("sweep/learning_rate=5e-2") == nnx_command.figures("alone")


def test_values_of_a_sweep():
    assert _values("a=1,[2,3],{x = 1, y = 2}") == ["a=1", "a=[2,3]", "a={x = 1, y = 2}"]
    for text in ("a", "a=", "a=1,,2", "=1"):
        with pytest.raises(ArgumentError, match=r"expected name=value,value,\.\.\."):
            _values(text)


def test_histories_need_an_epoch():
    with pytest.raises(ArgumentError, match="expected histories with at least one epoch each"):
        plot_histories({"a": History()})

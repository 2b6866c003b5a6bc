"""Configurations in TOML, what may stand in them, and ``--set``."""

from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx.cli.settings import changed
from nnx.errors import ArgumentError
from nnx.functional.checks import counted, nearest

WHOLE = """
data = "digits"
epochs = 2
batch_size = 100
policy = "float16"
accumulate = 2
[model]
preset = "lenet"
[optimizer]
type = "AdamW"
learning_rate = {type = "schedules.WarmUp", steps = 5, schedule = {type = "schedules.Cosine", start = 3e-3, steps = 20}}
groups = [{paths = "*bias", weight_decay = 0.0}]
[average]
type = "EMA"
decay = 0.9
[metrics.top3]
type = "TopKAccuracy"
k = 3
[[callbacks]]
type = "ClipGradients"
norm = 1.0
[[callbacks]]
type = "EarlyStopping"
monitor = "validation_loss"
patience = 5
[[transforms]]
type = "RandomCrop"
size = 8
padding = 1
"""
MODEL = '[model]\npreset = "perceptron"\n'


def test_a_configuration_with_everything(nnx_command):
    Path("whole.toml").write_text(WHOLE)
    out = nnx_command("train", "whole.toml", "--out", "run").ok()
    assert "AdamW with learning rate by WarmUp, groups for 1 group, batches of 100" in out
    assert "float16 with weights in float32" in out
    assert out.splitlines()[3].split() == [
        "epoch",
        "loss",
        "accuracy",
        "top3",
        "val.",
        "loss",
        "val.",
        "accuracy",
        "val.",
        "top3",
        "time",
    ]
    assert "top3 0." in nnx_command("evaluate", "run").ok()
    nnx_command("train", "run/config.json", "--epochs", 2, "--out", "again").ok()
    assert nnx_command.figures("again") == nnx_command.figures("run")
    nnx_command("train", "--resume", "run", "--set", "epochs=3").ok()
    nnx_command("train", "whole.toml", "--set", "epochs=3", "--out", "other").ok()
    assert nnx_command.figures("other") == nnx_command.figures("run")


def test_values_that_are_set(nnx_command):
    Path("mine.toml").write_text(MODEL)
    options = [
        "--set",
        "epochs=1",
        "--set",
        "model.hidden=[7, 5]",
        "--set",
        "learning_rate=5e-2",
        "--set",
        "data=digits",
    ]
    nnx_command("train", "mine.toml", *options, "--batch-size", 100, "--out", "run").ok()
    configuration = nnx_command.config("run")["configuration"]
    assert [layer["out_features"] for layer in configuration["model"]["layers"][::2]] == [7, 5, 10]
    assert configuration["optimizer"]["learning_rate"] == 0.05
    assert (configuration["epochs"], configuration["batch_size"]) == (1, 100)


def test_settings_change_lists_and_what_is_missing():
    content = {"callbacks": [{"type": "EarlyStopping"}], "optimizer": {"type": "SGD"}}
    assert changed(content, ["callbacks.0.patience=3", "average.type=EMA", "optimizer.nesterov=true"]) == {
        "callbacks": [{"type": "EarlyStopping", "patience": 3}],
        "optimizer": {"type": "SGD", "nesterov": True},
        "average": {"type": "EMA"},
    }
    assert content["optimizer"] == {"type": "SGD"}
    with pytest.raises(ArgumentError, match="--set epochs: expected name=value, such as"):
        changed({}, ["epochs"])
    with pytest.raises(ArgumentError, match=r"--set data\.x=1: expected data to be a mapping or a list that has x"):
        changed({"data": "digits"}, ["data.x=1"])
    with pytest.raises(ArgumentError, match="expected callbacks to be a mapping or a list that has 1"):
        changed(content, ["callbacks.1.patience=3"])


def test_counts_have_the_plural_of_their_noun():
    nouns = ("epoch", "batch", "axis", "class", "example")
    assert [counted(1, noun) for noun in nouns] == ["1 epoch", "1 batch", "1 axis", "1 class", "1 example"]
    assert [counted(0, noun)[2:] for noun in nouns] == ["epochs", "batches", "axes", "classes", "examples"]
    assert counted(1797, "sample") == "1,797 samples"


def test_the_nearest_name():
    assert nearest("epohcs", ["epochs", "seed"]) == "; did you mean epochs?"
    assert nearest("xyz", ["epochs", "seed"]) == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MODEL.replace("model", "modle"), "expected a configuration, a mapping with a model, got none"),
        ("epohcs = 3\n" + MODEL, "got epohcs; did you mean epochs?"),
        ("epochs = inf\n" + MODEL, "expected epochs to be an integer >= 1, got inf"),
        ("data = 5\n" + MODEL, "expected data to be a string, got 5"),
        ('policy = "bfloat16"\n' + MODEL, "numpy has no bfloat16, which torch and JAX have"),
        (MODEL + '[[callbacks]]\ntype = "KeepBest"\nmonitor = "acuracy"', "got acuracy; did you mean accuracy?"),
        ('backend = "nump"\n' + MODEL, "unknown backend 'nump'; known are numpy, cupy"),
        ('policy = "float8"\n' + MODEL, "expected policy to be float32 or bfloat16 or float16, got 'float8'"),
        ('model = {preset = "perceptrn"}', "expected the preset perceptron or lenet, got 'perceptrn'; did you mean"),
        ('model = {preset = "lenet", hidden = [3]}', "the preset lenet takes no hidden"),
        ('model = {preset = "perceptron", hidden = [0]}', "expected hidden to be a list of numbers of units, got [0]"),
        (MODEL + '[[callbacks]]\ntype = "EarlyStoping"', "got 'EarlyStoping'; did you mean EarlyStopping?"),
        (
            MODEL + '[[callbacks]]\ntype = "EarlyStopping"\npatienc = 3',
            "callback 0: EarlyStopping takes no patienc; did you mean patience?",
        ),
        (MODEL + '[optimizer]\ntype = "SGD"\nlearning_rat = 1.0', "'learning_rat'; did you mean learning_rate?"),
        (MODEL + '[optimizer]\ntype = "Adamm"\nlearning_rate = 1.0', "; did you mean Adam"),
        ('model = {preset = "perceptron", hiden = [3]}', "takes no hiden; did you mean hidden?"),
        (MODEL + '[[transforms]]\ntype = "RandomCrap"', "the configuration of the transform 0: "),
        (MODEL + '[average]\ntype = "SGD"\nlearning_rate = 1', "expected a WeightAverage, got a SGD"),
        (MODEL + '[optimizer]\ntype = "Adamw"', "the configuration of the optimizer: "),
        (MODEL + "[data_options]\nsize = 3", "digits: expected no data_options, since it has none, got size"),
        ("model = {", "expected TOML, got something else"),
        ("[" * 200_000, "expected TOML, got something else"),
        ('model = {type = "make", size = 3}', "'make'"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_no_directory(nnx_command, text, message):
    Path("mine.toml").write_text(text)
    assert message in nnx_command("train", "mine.toml").failed()
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


def test_code_of_the_users_own_runs_only_if_it_is_named(nnx_command):
    Path("mine.py").write_text(
        "import nnx\n"
        "from nnx.callbacks import Callback\n"
        "class Narrow(nnx.Module):\n"
        "    def __init__(self, units, rng=None):\n"
        "        self.units = units\n"
        "        self.first, self.last = nnx.Linear(64, units, rng=rng), nnx.Linear(units, 10, rng=rng)\n"
        "    def forward(self, x):\n"
        "        return self.last(nnx.functional.relu(self.first(x)))\n"
        "def make(units):\n"
        "    return nnx.Model([nnx.Linear(64, units, rng=0), nnx.ReLU(), nnx.Linear(units, 10, rng=1)])\n"
        "class Shout(Callback):\n"
        "    def on_epoch_end(self, trainer, row):\n"
        "        with open('shouted', 'a') as file:\n"
        "            file.write('!')\n"
    )
    for name in ("Narrow", "make"):
        Path("mine.toml").write_text(
            f'epochs = 2\nmodel = {{type = "{name}", units = 6}}\n[[callbacks]]\ntype = "Shout"\n'
        )
        assert f"{name}" in nnx_command("train", "mine.toml").failed()
        nnx_command("train", "mine.toml", "--code", "mine.py", "--out", name).ok()
        code = ["--code", "mine.py"]
        nnx_command("evaluate", name, *code).ok()
        nnx_command("train", "--resume", name, "--epochs", 3, *code).ok()
    assert Path("shouted").read_text() == "!!!!!!"
    for text, message in (("1 / 0", "ZeroDivisionError: division by zero"), ("def", "SyntaxError")):
        Path("mine.py").write_text(text)
        assert f"mine.py: the file could not be run: {message}" in nnx_command("train", "--code", "mine.py").failed()
    assert "nothing.py: expected a Python file with --code" in nnx_command("train", "--code", "nothing.py").failed()


def write_table(path, rng):
    x = rng.normal(size=(200, 3))
    y = x @ [1.0, -2.0, 0.5] + 3.0
    lines = ["a,b,c,y", *(",".join(map(str, [*row, value])) for row, value in zip(x, y, strict=True))]
    Path(path).write_text("\n".join(lines))


def test_a_regression_on_a_table(nnx_command):
    write_table("table.csv", np.random.default_rng(0))
    text = 'data = "table.csv"\nepochs = 30\nmodel = {preset = "perceptron", hidden = []}\n'
    Path("mine.toml").write_text(text + '[metrics.error]\ntype = "MeanAbsoluteError"\n[data_options]\ntarget = "y"\n')
    out = nnx_command("train", "mine.toml", "--out", "run").ok()
    assert "160 samples to train, 40 to validate" in out
    assert "a loss of" in out
    assert "mse" in nnx_command("evaluate", "run").ok()
    assert nnx_command.config("run")["outcome"]["best"]["validation_error"] < 1e-3
    assert not Path("run/confusion.png").exists()
    assert Path("run/curves.png").exists()
    nnx_command("train", "--resume", "run", "--epochs", 31).ok()
    Path("mine.toml").write_text(text + '[data_options]\ntraget = "y"\n')
    assert "expected data_options among target, columns" in nnx_command("train", "mine.toml").failed()


def test_classes_in_a_table_and_in_folders_of_images(nnx_command):
    Image = pytest.importorskip("PIL.Image")
    x, y = nnx.data.load_digits()
    np.savez("digits.npz", x=x[:300].reshape(-1, 8, 8), y=y[:300])
    nnx_command("train", "--data", "digits.npz", "--model", "lenet", "--epochs", 1, "--out", "npz").ok()
    for i in range(60):
        folder = Path("images", f"class {y[i]}")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.uint8(255 * x[i].reshape(8, 8))).save(folder / f"{i}.png")
    out = nnx_command("train", "--data", "images", "--epochs", 1, "--out", "png").ok()
    assert "48 images to train" in out
    assert "seen by the network as 8x8" in nnx_command("predict", "png", "images/class 0/0.png").ok()
    Path("rows.csv").write_text("a,b,kind\n" + "".join(f"{i % 7},{i % 3},{'xyz'[i % 3]}\n" for i in range(90)))
    Path("mine.toml").write_text(
        'data = "rows.csv"\nepochs = 2\n[model]\npreset = "perceptron"\n[data_options]\ntarget = "kind"\n'
        'classes = ["x", "y", "z"]\n'
    )
    assert "72 samples to train" in nnx_command("train", "mine.toml", "--out", "csv").ok()


def test_the_configuration_on_the_page_trains(nnx_command):
    page = (Path(__file__).parents[2] / "docs" / "command.md").read_text("utf-8")
    Path("mine.toml").write_text(page.split("```toml\n")[1].split("```")[0])
    nnx_command("train", "mine.toml", "--set", "epochs=1", "--set", "callbacks.1.patience=10", "--out", "run").ok()

"""``nnx train --config``: what a file describes, in the place of what the options do."""

import json
import os
from pathlib import Path

import pytest

SMALL = ("--epochs", 2, "--batch-size", 200)
MODEL = {
    "type": "Sequential",
    "layers": [
        {"type": "Linear", "in_features": None, "out_features": 12, "initializer": {"type": "XavierNormal"}},
        {"type": "Sigmoid"},
        {"type": "Sequential", "layers": [{"type": "Linear", "in_features": 12, "out_features": 10, "bias": False}]},
    ],
}
WRITTEN = {
    "model": MODEL,
    "loss": {"type": "CrossEntropy", "label_smoothing": 0.1},
    "optimizer": {"type": "SGD", "learning_rate": 0.5, "momentum": 0.8, "nesterov": True},
    "data": "digits",
    "epochs": 2,
    "batch_size": 100,
}


def write(content, path="mine.json"):
    Path(path).write_text(json.dumps(content) if not isinstance(content, str) else content)
    return path


def test_what_a_file_describes_is_trained_and_saved(nnx_command):
    out = nnx_command("train", "--config", write(WRITTEN), "--out", "run").ok()
    assert "Sequential of 900 parameters on digits: 1,438 images to train" in out
    assert "cross-entropy, SGD with learning rate 0.5, momentum 0.8, nesterov True, batches of 100, seed 0" in out
    said = nnx_command.config("run")["configuration"]
    assert said["model"]["layers"][0]["in_features"] == 64  # which the data settled
    assert said["model"]["layers"][0]["initializer"] == {"type": "XavierNormal"}
    assert said["loss"]["label_smoothing"] == 0.1
    assert said["optimizer"] == {**WRITTEN["optimizer"], "weight_decay": 0.0, "groups": []}
    assert len(nnx_command.figures("run")) == 2
    assert (
        f"cross-entropy {nnx_command.config('run')['outcome']['best']['validation_loss']:.4f}"
        in nnx_command("evaluate", "run").ok()
    )


@pytest.mark.parametrize("options", [(), ("--loss", "mse", "--momentum", 0.5, "--hidden", "8,8", "--dtype", "float64")])
def test_a_run_is_repeated_by_its_own_configuration(nnx_command, options):
    nnx_command("train", *SMALL, "--seed", 3, *options, "--out", "a").ok()
    nnx_command("train", "--config", "a/config.json", "--out", "b").ok()
    assert nnx_command.figures("a") == nnx_command.figures("b")
    assert nnx_command.config("a")["configuration"] == nnx_command.config("b")["configuration"]


def test_options_go_before_what_the_file_says(nnx_command):
    pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    more = ("--epochs", 1, "--seed", 7, "--backend", "array-api-strict", "--device", "device1")
    assert "seed 7, float32 on array-api-strict:device1" in nnx_command("train", "--config", write(WRITTEN), *more).ok()
    said = nnx_command.config("runs/digits-1")["configuration"]
    assert (said["epochs"], said["seed"], said["batch_size"]) == (1, 7, 100)
    again = nnx_command("train", "--config", "runs/digits-1/config.json", "--backend", "numpy").ok()
    assert "on numpy:cpu" in again  # and not the device of the other backend


def test_the_environment_chooses_what_the_file_leaves_open(nnx_command, monkeypatch):
    pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    monkeypatch.setenv("NNX_BACKEND", "array-api-strict:device1")
    assert "on array-api-strict:device1" in nnx_command("train", "--config", write(WRITTEN)).ok()
    assert "on numpy:cpu" in nnx_command("train", "--config", write({**WRITTEN, "backend": "numpy"})).ok()


def test_momentum_changes_the_steps(nnx_command):
    out = nnx_command("train", *SMALL, "--momentum", 0.9, "--out", "with").ok()
    assert "SGD with learning rate 0.1, momentum 0.9, batches" in out
    nnx_command("train", *SMALL, "--out", "without").ok()
    assert nnx_command.figures("with") != nnx_command.figures("without")
    assert nnx_command.config("with")["configuration"]["optimizer"]["momentum"] == 0.9


def test_the_optimizer_that_is_chosen_is_used(nnx_command, monkeypatch):
    monkeypatch.setattr("nnx.cli.requests.OPTIMIZERS", {"sgd": "Sequential"})
    error = nnx_command("train", *SMALL).failed()
    assert "the configuration of the optimizer: config: Sequential takes no 'learning_rate', 'momentum'" in error


def changed(**parts):
    return {**WRITTEN, **parts}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "mine.json: expected JSON, got something else"),
        ([], "mine.json: expected a configuration, a mapping with a model, got none"),
        ({"epochs": 3}, "mine.json: expected a configuration, a mapping with a model, got none"),
        (changed(lr=3), "mine.json: expected a configuration of data, data_options, model, loss, optimizer"),
        (changed(epochs=0), "mine.json: expected epochs to be an integer >= 1, got 0"),
        (changed(epochs=True), "mine.json: expected epochs to be an integer >= 1, got True"),
        (changed(model="MLP"), "mine.json: expected model to be a mapping with a type, got 'MLP'"),
        (changed(data=3), "mine.json: expected data to be a string, got 3"),
        (changed(dtype="int8"), "mine.json: expected dtype to be float32 or float64, got 'int8'"),
        (changed(data="nowhere"), "nowhere: expected a readable data set"),
        (changed(model={"type": "os.system"}), "the configuration of the model: the configuration names 'os.system'"),
        (changed(model={"type": "Linear"}), "the configuration of the model: config: Linear cannot be made:"),
        (changed(model={"type": "HeNormal"}), "the configuration of the model: expected a Module, got a HeNormal"),
        (changed(model={"type": "MSE"}), "expected a model that is called on a batch of images alone: MSE.forward()"),
        (changed(loss={"type": "ReLU"}), "expected a loss that trains a classifier, CrossEntropy or MSE or MSES, got"),
        (changed(loss={"type": "MSE", "reduction": "most"}), "the configuration of the loss: expected reduction"),
        (changed(optimizer={"type": "SGD"}), "the configuration of the optimizer: config: SGD cannot be made: "),
        (changed(optimizer={"type": "ReLU"}), "the configuration of the optimizer: config: ReLU cannot be made"),
        (
            changed(model={"type": "Linear", "in_features": 64, "out_features": 9}),
            "expected a model that maps samples of shape (359, 64) to (359, 10), a number for each class, got (359, 9)",
        ),
        (
            changed(model={"type": "Linear", "in_features": 63, "out_features": 10}),
            "Linear: expected input of shape (..., 63), got (359, 64)",
        ),
        (changed(backend="abacus"), "abacus"),
    ],
)
def test_files_that_are_no_configuration(nnx_command, content, message):
    assert message in nnx_command("train", "--config", write(content)).failed()
    assert not os.path.exists("runs") or os.listdir("runs") == []


def test_a_file_that_is_missing(nnx_command):
    error = nnx_command("train", "--config", "none.json").failed()
    assert "none.json: expected a readable file of JSON (No such file or directory)" in error


@pytest.mark.parametrize("option", [("--hidden", "5"), ("--loss", "mse"), ("--learning-rate", 1), ("--momentum", 0.1)])
def test_options_that_the_file_has_the_place_of(nnx_command, option):
    error = nnx_command("train", "--config", write(WRITTEN), *option).failed(code=2)
    assert f"a file and {option[0]} exclude each other: the file says that; see nnx train --help" in error

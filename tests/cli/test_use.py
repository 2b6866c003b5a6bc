"""What is done with a finished run: ``nnx evaluate`` and ``nnx predict``."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx.cli.architectures import perceptron
from nnx.data import load_digits, write_idx


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A small finished run, made once."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    options = ("--epochs", "12", "--quiet", "--backend", "numpy", "--out", str(folder))
    subprocess.run([sys.executable, "-m", "nnx.cli", "train", *options], check=True)
    return folder


@pytest.fixture
def run(nnx_command, finished):
    """A copy of that run in the current directory."""
    return Path(shutil.copytree(finished, "run"))


def save_digit(number, path="digit.png", *, scale=1, margin=0, mode="L", inverted=False, frame=None):
    """Write the digit of a row of the embedded data as an image."""
    from PIL import Image, ImageOps

    x, _ = load_digits()
    image = Image.fromarray(np.uint8(255 * x[number].reshape(8, 8)))
    image = image.resize((8 * scale, 8 * scale), Image.Resampling.BICUBIC)
    canvas = Image.new("L", frame or (image.width + 2 * margin, image.height + 2 * margin))
    canvas.paste(image, (margin, margin))
    (ImageOps.invert(canvas) if inverted else canvas).convert(mode).save(path)
    return path


def held_out(count):
    """The first validation samples of the embedded data: their rows and their labels."""
    x, y = load_digits()
    *_, chosen = nnx.data.train_validation_split(x, np.arange(len(y)), 0.2, 0)
    return chosen[:count], y[chosen[:count]]


class TestEvaluate:
    def test_its_own_validation_images(self, nnx_command, run):
        out = nnx_command("evaluate", run).ok()
        best = nnx_command.config(run)["outcome"]["best"]
        assert "run on 359 validation images of digits" in out
        assert f"accuracy {100 * best['validation_accuracy']:.2f} %, cross-entropy {best['validation_loss']:.4f}" in out
        assert nnx_command("evaluate", run, "--data", "digits").ok() == out

    def test_another_backend_gives_the_same(self, nnx_command, run):
        pytest.importorskip("torch", reason="torch is not installed")
        assert nnx_command("evaluate", run, "--backend", "torch").ok() == nnx_command("evaluate", run).ok()

    def test_the_same_images_elsewhere_are_known_again(self, nnx_command, run):
        x, y = load_digits()
        os.mkdir("copy")
        write_idx("copy/t10k-images-idx3-ubyte", np.uint8(255 * x).reshape(-1, 8, 8))
        write_idx("copy/t10k-labels-idx1-ubyte", np.uint8(y))
        out = nnx_command("evaluate", run, "--data", "copy").ok()
        assert "run on 359 validation images" in out

    def test_other_images_are_all_used(self, nnx_command, run):
        x, y = load_digits()
        os.mkdir("other")
        write_idx("other/t10k-images-idx3-ubyte", np.uint8(255 * x[:50]).reshape(-1, 8, 8))
        write_idx("other/t10k-labels-idx1-ubyte", np.uint8(y[:50]))
        assert "run on 50 images of" in nnx_command("evaluate", run, "--data", "other").ok()

    @pytest.mark.parametrize(
        ("shape", "label", "message"),
        [((3, 9, 9), 1, "expected images of 64 pixels, as the network takes, got 81"), ((3, 8, 8), 12, "got 12")],
    )
    def test_data_that_do_not_fit(self, nnx_command, run, shape, label, message):
        os.mkdir("other")
        write_idx("other/t10k-images-idx3-ubyte", np.ones(shape, np.uint8))
        write_idx("other/t10k-labels-idx1-ubyte", np.full(3, label, np.uint8))
        assert message in nnx_command("evaluate", run, "--data", "other").failed()


def with_configuration(config, **changed):
    return json.dumps({**config, "configuration": {**config["configuration"], **changed}})


@pytest.fixture
def old_run(run):
    """The same run as nnx 0.1 wrote it: with the configuration in ``config.json`` alone."""
    state, header = nnx.io.load_weights(run / "model.safetensors")
    model = nnx.from_config(header["config"]).load_state_dict(state)
    nnx.io.save_weights(run / "model.safetensors", model, header["metadata"]["outcome"])
    config = json.loads((run / "config.json").read_text())
    kept = {name: config[name] for name in ("configuration", "classes", "standard", "fill", "center", "fingerprint")}
    rest = {name: config[name] for name in ("outcome", "versions")}
    (run / "config.json").write_text(json.dumps({"format": 2, "pixels": 64, **kept, **rest}))
    return run


def of_format_1(config):
    """What the first version wrote: sizes and options, of networks of linear layers alone."""
    said = config["configuration"]
    kept = {name: said[name] for name in ("data", "epochs", "batch_size", "seed", "dtype", "backend", "device")}
    options = {**kept, "loss": "cross-entropy", "hidden": [50], "learning_rate": 0.1, "optimizer": "sgd"}
    others = {name: config[name] for name in ("standard", "fill", "fingerprint", "outcome", "versions")}
    return {"format": 1, "options": options, "sizes": [64, 50, 10], **others}


def test_a_run_of_an_older_format_is_still_one(nnx_command, run, request):
    save_digit(0)
    before = nnx_command("evaluate", run).ok(), nnx_command("predict", run, "digit.png").ok()
    request.getfixturevalue("old_run")
    assert (nnx_command("evaluate", run).ok(), nnx_command("predict", run, "digit.png").ok()) == before
    (run / "config.json").write_text(json.dumps(of_format_1(nnx_command.config(run))))
    assert (nnx_command("evaluate", run).ok(), nnx_command("predict", run, "digit.png").ok()) == before
    shutil.rmtree(run / "checkpoints")
    message = "expected a run that nnx train began, got a model without checkpoints; start one with nnx train --out run"
    assert message in nnx_command("train", "--resume", run).failed()


def test_what_shows_a_run_is_made_anew_if_it_is_of_another_model(nnx_command, run):
    names = ("config.json", "history.csv", "curves.png", "confusion.png")
    before = {name: (run / name).read_bytes() for name in names}
    for content in ("{", "[]", json.dumps({**nnx_command.config(run), "model": "0" * 64}), None):
        for name in names[1:]:
            (run / name).write_bytes(b"of another run")
        (run / "config.json").unlink() if content is None else (run / "config.json").write_text(content)
        nnx_command("evaluate", run).ok()
        assert {name: (run / name).read_bytes() for name in names} == before


def test_a_run_that_has_not_ended_says_how_to_go_on(nnx_command, run):
    (run / "model.safetensors").unlink()
    message = "expected a run that has ended, got one that was stopped before its 12 epochs were over; go on with nnx"
    assert message in nnx_command("evaluate", run).failed()
    nnx_command("train", "--resume", run).ok()
    nnx_command("evaluate", run).ok()


@pytest.mark.parametrize("bit", [5, 80, 700, 1500, 30_000, 100_000])
def test_a_bit_that_flipped_is_an_error(nnx_command, run, bit):
    content = bytearray((run / "model.safetensors").read_bytes())
    content[bit // 8 % len(content)] ^= 1 << bit % 8
    (run / "model.safetensors").write_bytes(content)
    assert "model.safetensors: expected" in nnx_command("evaluate", run).failed()


class TestDamagedRuns:
    def test_no_run(self, nnx_command):
        message = nnx_command("evaluate", "nowhere").failed()
        assert "nowhere: expected a run directory that nnx train wrote" in message

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda config: "{", "config.json: expected JSON, got a damaged file"),
            (lambda config: "[]", "expected the configuration of a run, got an unknown one"),
            (lambda config: json.dumps({**config, "format": 99}), "expected format 3 or older, got 99"),
            (lambda config: json.dumps({**config, "pixels": None}), "expected the configuration of a run"),
            (lambda config: json.dumps({**config, "format": 1}), "expected the configuration of a run"),
            (lambda config: with_configuration(config, x=1), "expected a configuration of data, data_options, model"),
            (lambda config: with_configuration(config, model={"type": "os.system"}), "names 'os.system', which is"),
            (lambda config: with_configuration(config, model=perceptron((64, 49, 10), "float32")), "do not belong"),
        ],
    )
    def test_a_configuration_that_is_not_one(self, nnx_command, old_run, change, message):
        run = old_run
        (run / "config.json").write_text(change(nnx_command.config(run)))
        assert message in nnx_command("evaluate", run).failed()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda config: json.dumps(of_format_1(config) | {"sizes": None}), "expected the configuration of a run"),
            (lambda config: json.dumps(of_format_1(config) | {"options": {"x": 1}}), "expected the configuration of a"),
            (lambda config: json.dumps(of_format_1(config) | {"sizes": [64, 49, 10]}), "do not belong together"),
        ],
    )
    def test_an_old_configuration_that_is_not_one(self, nnx_command, old_run, change, message):
        run = old_run
        (run / "config.json").write_text(change(nnx_command.config(run)))
        assert message in nnx_command("evaluate", run).failed()

    def test_weights_that_are_missing_or_cut(self, nnx_command, run):
        weights = run / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:100])
        assert "expected a whole safetensors file" in nnx_command("predict", run, "x.png").failed()
        weights.unlink()
        shutil.rmtree(run / "checkpoints")
        assert "expected a readable file of weights" in nnx_command("predict", run, "x.png").failed()


class TestPredict:
    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"inverted": True},
            {"scale": 20},
            {"scale": 20, "inverted": True, "mode": "RGB"},
            {"scale": 12, "margin": 50, "frame": (300, 200)},
            {"scale": 12, "margin": 50, "frame": (160, 240), "inverted": True, "mode": "RGBA"},
            {"scale": 3, "mode": "I", "path": "digit.tiff"},
        ],
    )
    def test_digits_in_any_size_and_colour(self, nnx_command, run, options):
        right = 0
        for row, label in zip(*held_out(12), strict=True):
            path = save_digit(row, **options)
            out = nnx_command("predict", run, path).ok()
            assert ("dark on light, so inverted" in out) == options.get("inverted", False)
            right += out.startswith(f"{label} with probability ")
        assert right >= 11

    def test_bars_add_up(self, nnx_command, run):
        save_digit(0)
        lines = nnx_command("predict", run, "digit.png").ok().splitlines()[2:12]
        assert [line.split()[0] for line in lines] == [str(n) for n in range(10)]
        assert sum(float(line.split()[-2]) for line in lines) == pytest.approx(100, abs=0.1)

    def test_probabilities_of_a_network_trained_by_squares(self, nnx_command):
        nnx_command("train", "--loss", "mse", "--epochs", 2, "--out", "run").ok()
        save_digit(0)
        lines = nnx_command("predict", "run", "digit.png").ok().splitlines()[2:12]
        assert sum(float(line.split()[-2]) for line in lines) == pytest.approx(100, abs=0.1)

    def test_transparent_paper_is_white(self, nnx_command, run):
        from PIL import Image

        x, y = load_digits()
        ink = np.uint8(255 * x[0].reshape(8, 8))
        Image.fromarray(np.dstack([0 * ink, 0 * ink, 0 * ink, ink]), "RGBA").save("digit.png")
        out = nnx_command("predict", run, "digit.png").ok()
        assert out.startswith(f"{y[0]} with")
        assert "dark on light" in out

    @pytest.mark.parametrize("content", [b"no image", b"", b"\x89PNG\r\n\x1a\n" + bytes(20)])
    def test_files_that_are_no_images(self, nnx_command, run, content):
        Path("bad.png").write_bytes(content)
        assert (
            "bad.png: expected an image file that Pillow can read, got"
            in nnx_command("predict", run, "bad.png").failed()
        )

    def test_a_missing_and_a_blank_image(self, nnx_command, run):
        from PIL import Image

        assert "No such file" in nnx_command("predict", run, "none.png").failed()
        Image.new("RGB", (30, 30), "white").save("blank.png")
        assert "got an image of one brightness, 1.00" in nnx_command("predict", run, "blank.png").failed()

    def test_a_network_for_images_that_are_not_square(self, nnx_command):
        os.mkdir("data")
        images = np.random.default_rng(0).integers(0, 255, (60, 4, 5), np.uint8)
        write_idx("data/t10k-images-idx3-ubyte", images)
        write_idx("data/t10k-labels-idx1-ubyte", np.uint8(np.arange(60) % 3))
        nnx_command("train", "--data", "data", "--epochs", 1, "--out", "run").ok()
        message = (
            "digit.png: expected an image with the proportions of 5x4 pixels, as the network was trained on, got 8x8"
        )
        assert message in nnx_command("predict", "run", save_digit(0)).failed()
        for frame in ((5, 4), (50, 40), (51, 41)):
            out = nnx_command("predict", "run", save_digit(0, frame=frame)).ok()
            assert f"{frame[0]}x{frame[1]} pixels, light on dark; seen by the network as 5x4" in out

    def test_a_network_for_what_is_no_image(self, nnx_command, run):
        rng = np.random.default_rng(0)
        np.savez("table.npz", x=rng.normal(size=(50, 4)), y=np.arange(50) % 2)
        np.savez("numbers.npz", x=rng.normal(size=(50, 4, 4)), y=rng.normal(size=50))
        for name, what in (("table", r"samples of shape (4,)"), ("numbers", "numbers")):
            nnx_command("train", "--data", f"{name}.npz", "--epochs", 1, "--out", name).ok()
            error = nnx_command("predict", name, save_digit(0)).failed()
            assert f"{name}: expected a network that tells gray images apart, got one for {what}" in error

    def test_weights_that_are_not_finite(self, nnx_command, run):
        state, header = nnx.io.load_weights(run / "model.safetensors")
        state["0.weight"][3, 4] = np.nan
        model = nnx.from_config(header["config"]).load_state_dict(state)
        nnx.io.save_weights(run / "model.safetensors", model, header["metadata"])
        error = nnx_command("predict", run, save_digit(0)).failed()
        assert "Linear '0': the output became NaN or infinite in batch 1, and the output of this layer was" in error


def test_a_run_can_be_moved(nnx_command, run):
    shutil.move(run, "elsewhere")
    assert "elsewhere on 359 validation images" in nnx_command("evaluate", "elsewhere").ok()

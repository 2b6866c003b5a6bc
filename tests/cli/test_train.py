import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx.backend import BACKENDS
from nnx.data import load_digits, write_idx
from nnx.io import load_weights

FILES = ["checkpoints", "config.json", "confusion.png", "curves.png", "history.csv", "model.safetensors"]
MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist10k"
SMALL = ("--epochs", 2, "--batch-size", 200)


def write_part(folder, part, images, labels):
    folder.mkdir(exist_ok=True)
    write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
    write_idx(folder / f"{part}-labels-idx1-ubyte", labels)


def small_images(count, order=None):
    x, y = load_digits()
    chosen = np.arange(count) if order is None else order
    return np.uint8(255 * x[chosen]).reshape(-1, 8, 8), np.uint8(y[chosen])


def sizes(config):
    linear = config["configuration"]["model"]["layers"][::2]
    return [linear[0]["in_features"], *(layer["out_features"] for layer in linear)]


def test_default_run_as_a_process(nnx_command):
    Image = pytest.importorskip("PIL.Image")
    result = nnx_command.run("train")
    out = result.ok()
    assert "64-50-10 network on digits: 1,438 images to train, 359 to validate" in out
    assert sorted(os.listdir("runs/digits-1")) == FILES
    rows = nnx_command.figures("runs/digits-1")
    assert len(rows) == 30
    assert f"{100 * max(row[-1] for row in rows):.2f} % of 359 validation images" in out
    assert max(row[-1] for row in rows) >= 0.97
    for plot in ("curves.png", "confusion.png"):
        with Image.open(Path("runs/digits-1") / plot) as image:
            image.verify()
    config = nnx_command.config("runs/digits-1")
    assert config["outcome"]["state"] == "finished"
    assert config["outcome"]["best"]["validation_accuracy"] == max(row[-1] for row in rows)
    assert sizes(config) == [64, 50, 10]
    assert config["versions"]["nnx"] == nnx.__version__


def test_the_configuration_and_weights_suffice_to_build_the_model_again(nnx_command):
    nnx_command("train", *SMALL, "--hidden", "20,15", "--seed", 4, "--dtype", "float64", "--out", "run").ok()
    config = nnx_command.config("run")
    assert sizes(config) == [64, 20, 15, 10]
    state, _ = load_weights("run/model.safetensors")
    x, y = load_digits()
    x_train, _, x_validation, y_validation = nnx.data.train_validation_split(x, y, 0.2, config["configuration"]["seed"])
    assert config["standard"]["mean"] == pytest.approx(x_train.mean(), rel=1e-5)
    assert config["standard"]["std"] == pytest.approx(x_train.std(), rel=1e-5)
    hidden = nnx.data.normalize(x_validation.astype("float64"), **config["standard"])
    for i in (0, 2):
        hidden = np.maximum(hidden @ state[f"{i}.weight"] + state[f"{i}.bias"], 0)
    accuracy = np.mean((hidden @ state["4.weight"] + state["4.bias"]).argmax(1) == y_validation)
    assert accuracy == pytest.approx(config["outcome"]["best"]["validation_accuracy"])


def test_lenet_with_adam(nnx_command):
    out = nnx_command("train", "--model", "lenet", "--optimizer", "adam", "--epochs", 2, "--out", "run").ok()
    assert "Sequential of 31,050 parameters on digits" in out
    assert "cross-entropy, Adam with learning rate 0.001, batches of 16" in out
    assert nnx_command.config("run")["outcome"]["best"]["validation_accuracy"] > 0.9
    assert "digit" in nnx_command("evaluate", "run").ok()


def test_lenet_needs_images(nnx_command):
    write_part(Path("data"), "train", np.zeros((20, 3, 8), np.uint8), np.arange(20, dtype=np.uint8) % 10)
    error = nnx_command("train", "--model", "lenet", "--data", "data").failed()
    assert "expected images of at least 4x4 pixels for lenet, got samples of shape (3, 8)" in error
    write_part(Path("data"), "train", np.zeros((20, 4, 8), np.uint8), np.arange(20, dtype=np.uint8) % 10)
    nnx_command("train", "--model", "lenet", "--data", "data", "--epochs", 1).ok()


def test_same_seed_same_figures_and_another_seed_others(nnx_command):
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        nnx_command("train", *SMALL, "--seed", seed, "--out", out).ok()
    assert nnx_command.figures("a") == nnx_command.figures("b") != nnx_command.figures("c")
    a, b = (load_weights(f"{run}/model.safetensors")[0] for run in "ab")
    assert all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    ("backend", "loss"),
    [
        ("torch", "cross-entropy"),
        ("torch", "mse"),
        ("torch", "mses"),
        ("jax", "cross-entropy"),
        ("array-api-strict", "cross-entropy"),
    ],
)
def test_backends_agree_with_numpy(nnx_command, backend, loss):
    pytest.importorskip(backend.replace("-", "_"), reason=f"{backend} is not installed")
    for name in ("numpy", backend):
        nnx_command("train", *SMALL, "--loss", loss, "--backend", name, "--out", name).ok()
    np.testing.assert_allclose(nnx_command.figures(backend), nnx_command.figures("numpy"), rtol=1e-5, atol=1e-7)
    assert nnx_command.config(backend)["configuration"]["backend"] == backend


def test_device_and_environment_choose(nnx_command, monkeypatch):
    pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    monkeypatch.setenv("NNX_BACKEND", "array-api-strict:device1")
    assert "float32 on array-api-strict:device1" in nnx_command("train", *SMALL, "--out", "a").ok()
    assert "on array-api-strict:device2" in nnx_command("train", *SMALL, "--out", "b", "--device", "device2").ok()
    assert "on numpy:cpu" in nnx_command("train", *SMALL, "--out", "c", "--backend", "numpy").ok()


def test_default_names_count_up_and_an_explicit_one_is_not_replaced_unasked(nnx_command):
    for number in (1, 2):
        assert f"runs/digits-{number}" in nnx_command("train", *SMALL).ok().replace("\\", "/")
    message = nnx_command("train", *SMALL, "--out", "runs/digits-1").failed()
    assert "exists already; add --overwrite to replace its files, go on with --resume" in message
    before = nnx_command.config("runs/digits-1")
    Path("runs/digits-1/notes.txt").write_text("mine")
    nnx_command("train", *SMALL, "--seed", 1, "--out", "runs/digits-1", "--overwrite").ok()
    assert nnx_command.config("runs/digits-1") != before
    assert sorted(os.listdir("runs/digits-1")) == sorted([*FILES, "notes.txt"])


def test_an_empty_directory_may_be_used(nnx_command):
    os.mkdir("here")
    nnx_command("train", *SMALL, "--out", "here").ok()
    assert sorted(os.listdir("here")) == FILES


def test_quiet_prints_nothing(nnx_command):
    result = nnx_command("train", *SMALL, "--quiet", "--out", "run")
    assert (result.code, result.out, result.err) == (0, "", "")


@pytest.mark.parametrize("quiet", [True, False])
def test_quiet_silences_the_download(nnx_command, quiet):
    pytest.importorskip("pooch", reason="pooch is not installed")
    code = """
import sys
from nnx.cli import __main__, samples

def load_mnist():
    import pooch
    pooch.get_logger().info("Downloading data")
    print("100 %", file=sys.stderr)
    x, y = samples.load_digits()
    return x[:100], y[:100], x[100:150], y[100:150]

samples.load_mnist = load_mnist
sys.exit(__main__.run(sys.argv[1:]))
"""
    options = ("--data", "mnist", "--epochs", 1, *["--quiet"] * quiet)
    result = nnx_command.run("train", *options, code=code)
    assert result.code == 0
    assert ("Downloading data" in result.err, "100 %" in result.err, bool(result.out)) == (not quiet,) * 3


def test_no_hidden_layer(nnx_command):
    assert "64-10 network" in nnx_command("train", *SMALL, "--hidden", "").ok()


class TestDirectories:
    def test_a_single_pair_gives_its_last_fifth(self, nnx_command):
        write_part(Path("data"), "t10k", *small_images(300))
        assert (
            "240 images to train, 60 to validate (the last fifth)"
            in nnx_command("train", *SMALL, "--data", "data").ok()
        )
        assert os.listdir("runs") == ["data-1"]

    def test_files_sorted_by_class_are_mixed(self, nnx_command):
        order = np.argsort(load_digits()[1][:300], kind="stable")
        write_part(Path("data"), "train", *small_images(300, order))
        assert "60 to validate (a fifth drawn by the seed)" in nnx_command("train", *SMALL, "--data", "data").ok()

    def test_both_pairs_keep_their_division(self, nnx_command):
        write_part(Path("data"), "train", *small_images(300))
        write_part(Path("data"), "t10k", *small_images(50))
        assert (
            "300 images to train, 50 to validate (the test set)" in nnx_command("train", *SMALL, "--data", "data").ok()
        )

    def test_a_directory_without_data(self, nnx_command):
        os.mkdir("empty")
        assert "expected IDX files named as those of MNIST" in nnx_command("train", "--data", "empty").failed()
        assert not os.path.exists("runs/empty-1")

    def test_a_data_set_without_a_name(self, nnx_command):
        assert "expected digits, mnist, a directory, or a file .npz or .csv, got ''" in nnx_command(
            "train", "--data", ""
        ).failed(code=2)

    def test_an_empty_data_set(self, nnx_command):
        write_part(Path("data"), "t10k", np.zeros((0, 8, 8), np.uint8), np.zeros(0, np.uint8))
        assert "expected at least one sample, got none" in nnx_command("train", "--data", "data").failed()

    def test_a_damaged_file(self, nnx_command):
        write_part(Path("data"), "t10k", *small_images(300))
        Path("data/t10k-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x10abc")
        assert "expected 16 bytes of elements" in nnx_command("train", "--data", "data").failed()

    @pytest.mark.skipif(not MNIST.is_dir(), reason=f"no MNIST images in {MNIST.name} beside the checkout")
    def test_mnist_images(self, nnx_command):
        options = ("--epochs", 10, "--learning-rate", 0.1, "--batch-size", 100, "--loss", "cross-entropy")
        out = nnx_command("train", "--data", MNIST, *options, "--out", "run").ok()
        assert "784-50-10 network" in out
        assert "8,000 images to train, 2,000 to validate" in out
        assert nnx_command.config("run")["outcome"]["best"]["validation_accuracy"] >= 0.95


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--lerning-rate", 1), "No such option '--lerning-rate'"),
        (("--epochs", 0), "Invalid value for '--epochs': 0 is not in the range"),
        (("--learning-rate", -1), "Invalid value for '--learning-rate'"),
        (("--momentum", 1), "Invalid value for '--momentum': 1.0 is not in the range"),
        (("--optimizer", "newton"), "'newton' is not one of 'sgd', 'adam', 'adamw'"),
        (("--loss", "hinge"), "'hinge' is not one of 'cross-entropy', 'mse', 'mses'"),
        (("--optimizer", "adam", "--momentum", 0.5), "--momentum is for sgd: leave it out"),
        (("--model", "lenet", "--hidden", "5"), "--hidden is for the perceptron: leave it out"),
        (("--hidden", "5,x"), "expected numbers of units such as 50 or 50,50, got '5,x'"),
        (("--hidden", "0"), "expected numbers of units"),
        (("--data", "digts"), "or a file .npz or .csv, got 'digts'; did you mean digits?"),
        (("--data", "nowhere"), "expected digits, mnist, a directory, or a file .npz or .csv, got 'nowhere'"),
        (("--backend", "tensorflow"), "'tensorflow' is not one of"),
        (("a.toml", "extra"), "unexpected extra argument (extra)"),
        (("a.toml", "--config", "b.json"), "a.toml and --config exclude each other: one configuration is enough"),
        (("--resume", "run", "--seed", 1), "--resume and --seed exclude each other: the run says that"),
        (("--resume", "run", "--out", "x"), "--resume goes without CONFIG, --config, --out, --overwrite, --sweep"),
    ],
)
def test_misuse(nnx_command, arguments, message):
    error = nnx_command("train", *arguments).failed(code=2)
    assert message in error
    assert error.endswith("; see nnx train --help\n")
    assert not os.path.exists("runs")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--device", "cuda:0"), "backend 'numpy' has no device 'cuda:0'; it has cpu"),
        (("--learning-rate", "inf"), "expected a finite learning_rate"),
        (("--learning-rate", "nan"), "expected a finite learning_rate"),
        (("--hidden", 10**13), "Unable to allocate"),
    ],
)
def test_errors_leave_no_directory_behind(nnx_command, arguments, message):
    assert message in nnx_command("train", *arguments).failed()
    assert not os.path.exists("runs") or os.listdir("runs") == []


def test_a_missing_backend_says_what_to_install(nnx_command, monkeypatch):
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", None)
    error = nnx_command("train", "--backend", "cupy").failed()
    assert f"backend 'cupy' is not installed; install it with: {BACKENDS['cupy'].install}" in error


def test_places_that_cannot_be_written_to_are_found_before_the_training(nnx_command, monkeypatch):
    monkeypatch.setattr("nnx.cli.jobs.Trainer.fit", lambda *args, **kwargs: pytest.fail("it trained"))
    Path("file").touch()
    assert "file is a file; choose a directory for --out" in nnx_command("train", "--out", "file").failed()
    assert "choose a writable directory with --out" in nnx_command("train", "--out", "file/run").failed()
    Path("runs").touch()
    assert "choose a writable directory with --out" in nnx_command("train").failed()
    os.mkdir("locked", mode=0o500)
    if not os.access("locked", os.W_OK):  # root may write anywhere
        assert "Permission denied; choose a writable" in nnx_command("train", "--out", "locked").failed()


def test_a_full_disk_is_one_line(nnx_command, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device", "run/model.safetensors")

    monkeypatch.setattr("nnx.cli.train.save_weights", full)
    error = nnx_command("train", *SMALL, "--out", "run").failed()
    assert "run/model.safetensors: No space left on device" in error


def test_only_a_run_that_has_finished_is_overwritten(nnx_command):
    Path("mine/checkpoints").mkdir(parents=True)
    Path("mine/checkpoints/keep.txt").write_text("mine")
    Path("mine/config.json").write_text("{}")
    error = nnx_command("train", *SMALL, "--out", "mine", "--overwrite").failed()
    assert "mine: expected a run to --overwrite, got a directory of other files; choose another --out" in error
    nnx_command("train", *SMALL, "--out", "run").ok()
    Path("run/checkpoints/keep.txt").write_text("mine")
    Path("run/notes.txt").write_text("mine")
    printed = nnx_command("train", *SMALL, "--out", "run", "--overwrite").ok()
    assert "notes.txt" not in printed.partition("saved in")[2]
    assert Path("run/checkpoints/keep.txt").read_text() == "mine"
    Path("run/model.safetensors").unlink()
    error = nnx_command("train", *SMALL, "--out", "run", "--overwrite").failed()
    assert "run: expected a finished run to --overwrite, got one that was stopped; go on with --resume run" in error
    assert "expected a directory for --out, got the current one" in nnx_command("train", "--out", "").failed(2)


class TestInterruptions:
    def interrupt(self, monkeypatch, epoch):
        from nnx.cli.display import TrainingLog

        plain = TrainingLog.on_epoch_end

        def on_epoch_end(self, trainer, row):
            plain(self, trainer, row)
            if row["epoch"] == epoch:
                raise KeyboardInterrupt

        monkeypatch.setattr(TrainingLog, "on_epoch_end", on_epoch_end)

    def test_the_best_model_so_far_is_saved(self, nnx_command, monkeypatch):
        self.interrupt(monkeypatch, epoch=3)
        result = nnx_command("train", "--epochs", 9, "--batch-size", 200, "--out", "run", "--quiet")
        assert (result.code, result.out) == (130, "")
        assert "nnx: interrupted; the best model so far (epoch 3, validation accuracy" in result.err
        assert result.err.endswith("is saved in run; go on with nnx train --resume run\n")
        assert sorted(os.listdir("run")) == FILES
        assert len(nnx_command.figures("run")) == 3
        assert nnx_command.config("run")["outcome"]["state"] == "interrupted"
        assert nnx_command("evaluate", "run").code == 0

    def test_before_the_first_epoch_has_ended(self, nnx_command, monkeypatch):
        def interrupt(self, trainer, value, outputs):
            raise KeyboardInterrupt

        nnx_command("train", *SMALL, "--out", "run").ok()
        before = {name: Path("run", name).read_bytes() for name in FILES if name != "checkpoints"}
        with monkeypatch.context() as patch:
            patch.setattr("nnx.cli.display.TrainingLog.on_batch_end", interrupt)
            result = nnx_command("train", *SMALL, "--seed", 1, "--out", "run", "--overwrite")
        assert result.code == 130
        assert "interrupted; no epoch was finished, and the model of the run before stays; go on with nnx" in result.err
        assert {name: Path("run", name).read_bytes() for name in before} == before
        nnx_command("evaluate", "run").ok()
        nnx_command("train", "--resume", "run").ok()  # goes on with the new one, and then replaces the old one
        nnx_command("train", *SMALL, "--seed", 1, "--out", "other").ok()
        assert nnx_command.figures("run") == nnx_command.figures("other")
        assert Path("run/curves.png").read_bytes() == Path("other/curves.png").read_bytes() != before["curves.png"]

    def test_a_new_run_that_is_interrupted_does_not_replace_one_that_has_finished(self, nnx_command, monkeypatch):
        nnx_command("train", *SMALL, "--out", "run").ok()
        before = Path("run/model.safetensors").read_bytes()
        with monkeypatch.context() as patch:
            self.interrupt(patch, epoch=1)
            result = nnx_command("train", *SMALL, "--seed", 1, "--out", "run", "--overwrite")
        assert "is in the checkpoints of run, and the model of the run before stays; go on with nnx train" in result.err
        assert Path("run/model.safetensors").read_bytes() == before

    def test_before_the_training(self, nnx_command, monkeypatch):
        def interrupt(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr("nnx.cli.samples.load_digits", interrupt)
        result = nnx_command("train")
        assert result.code == 130
        assert result.err.strip() == "nnx: interrupted"
        assert os.listdir("runs") == []

    @pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
    def test_a_real_signal(self, nnx_command):
        # A job in the background of a shell ignores Ctrl-C, and hands that on to what it starts.
        code = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from nnx.cli.__main__ import main
sys.exit(main())
"""
        with nnx_command.start("train", "--epochs", 100_000, "--out", "run", code=code) as process:
            try:
                for line in process.stdout:
                    if line.split()[:1] == ["2"]:  # the second epoch has ended
                        break
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=60)
            finally:
                process.kill()
        assert process.returncode == 130
        assert err.strip().startswith("nnx: interrupted; the best model so far (epoch")
        assert "Traceback" not in err
        assert sorted(os.listdir("run")) == FILES


class TestLossThatIsNotFinite:
    def test_in_the_first_epoch_what_was_learned_is_kept(self, nnx_command):
        error = nnx_command("train", *SMALL, "--learning-rate", 1e30, "--out", "run").failed()
        assert "Linear '2': the loss became" in error
        assert "in epoch 1, batch 2" in error
        assert "use a smaller learning rate" in error
        assert "no epoch was finished, and the model after batch 1 is in run/checkpoints; change what is wrong" in error
        assert error.endswith("go on, as with nnx train --resume run --set optimizer.learning_rate=1e+29\n")
        assert sorted(os.listdir("run/checkpoints")) == ["begun.json", "checkpoint-1.safetensors"]

    def test_the_run_goes_on_with_the_rate_that_was_assigned_or_with_another_one(self, nnx_command, monkeypatch):
        step, forward, rates, bad = nnx.SGD.step, nnx.CrossEntropy.forward, [], {4}

        def record(self, gradients):
            rates.append(self.learning_rate)
            step(self, gradients)
            if len(rates) == 2:
                self.learning_rate = 0.05

        def fail(self, *args):  # in the fourth batch, as often as the set says
            return forward(self, *args) + (np.nan if len(rates) + 1 in bad else 0.0)

        monkeypatch.setattr(nnx.SGD, "step", record)
        monkeypatch.setattr(nnx.CrossEntropy, "forward", fail)
        error = nnx_command("train", *SMALL, "--out", "run").failed()
        assert "the model after batch 3 is in run/checkpoints" in error
        assert error.endswith("--set optimizer.learning_rate=0.005\n")
        bad = {5}
        assert "the model after batch 4" in nnx_command("train", "--resume", "run").failed()
        bad = {}
        nnx_command("train", "--resume", "run", "--set", "optimizer.learning_rate=0.005").ok()
        assert rates == [0.1, 0.1, 0.05, 0.05] + [0.005] * 12
        assert nnx_command.config("run")["configuration"]["optimizer"]["learning_rate"] == 0.005

    def test_in_the_first_batch_there_is_nothing_to_keep(self, nnx_command, monkeypatch):
        forward = nnx.CrossEntropy.forward
        monkeypatch.setattr(nnx.CrossEntropy, "forward", lambda self, *args: forward(self, *args) + np.nan)
        error = nnx_command("train", *SMALL).failed()
        assert "no epoch was finished, and no state was saved before it" in error
        assert os.listdir("runs") == []

    def test_later_the_best_model_so_far_is_saved(self, nnx_command, monkeypatch):
        step = nnx.SGD.step

        def explode(self, gradients):
            if self.state_dict()["step"] == 19:  # in epoch 3 of 8 batches
                self.learning_rate = 1e30
            step(self, gradients)

        monkeypatch.setattr(nnx.SGD, "step", explode)
        error = nnx_command("train", "--epochs", 9, "--batch-size", 200, "--out", "run").failed()
        assert "in epoch 3, batch 5" in error
        assert "the best model so far (epoch 2, validation accuracy" in error
        assert sorted(os.listdir("run")) == FILES
        config = nnx_command.config("run")
        assert config["outcome"]["state"] == "stopped: the loss was not finite"
        assert config["configuration"]["optimizer"]["learning_rate"] == 0.1
        assert nnx_command("evaluate", "run").code == 0

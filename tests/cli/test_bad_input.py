"""Images, data and locales that the command cannot work with: one line each, whose advice fits the cause."""

import gzip
import os
import struct
import subprocess
import sys

import numpy as np
import pytest

from nnx.data import load_digits, write_idx


@pytest.fixture
def digits_run(nnx_command):
    """A network for the embedded digits, hardly trained."""
    nnx_command("train", "--epochs", 1, "--hidden", "", "--out", "run").ok()
    return "run"


def digit():
    x, _ = load_digits()
    return np.uint8(255 * x[0].reshape(8, 8))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("count", [1, 64])
def test_an_image_with_pixels_that_are_not_finite(nnx_command, digits_run, value, count):
    from PIL import Image

    pixels = digit().astype(np.float32)
    pixels.reshape(-1)[:count] = value
    Image.fromarray(pixels).save("bad.tiff")
    message = f"bad.tiff: expected finite pixels, got {count} of 64 that are NaN or infinite"
    assert message in nnx_command("predict", digits_run, "bad.tiff").failed()


def test_an_image_without_pixels(nnx_command, digits_run):
    (nnx_command.folder / "zero.pgm").write_bytes(b"P5\n8 0\n255\n")
    message = "zero.pgm: expected an image file that Pillow can read, got no format that it knows, or an image without"
    assert message in nnx_command("predict", digits_run, "zero.pgm").failed()


def test_an_image_of_144_megapixels_is_refused_in_one_line(nnx_command, digits_run):
    from PIL import Image

    Image.new("1", (12000, 12000)).save("large.png")
    code = "import sys; from nnx.cli.__main__ import main; sys.argv[0] = 'nnx'; main()"
    message = "large.png: expected at most 67108864 pixels, got 12000 x 12000; make the image smaller"
    assert message in nnx_command.run("predict", digits_run, "large.png", code=code).failed()


def test_a_large_image_is_seen_as_a_small_one(nnx_command, digits_run):
    from PIL import Image

    image = Image.fromarray(digit()).resize((800, 800), Image.Resampling.BICUBIC)
    image.save("small.png")
    image.resize((4800, 4800)).save("large.png")
    small, large = (nnx_command("predict", digits_run, name).ok() for name in ("small.png", "large.png"))
    assert "large.png: 4800x4800 pixels" in large
    probabilities = [[float(line.split()[-2]) for line in out.splitlines()[2:12]] for out in (small, large)]
    np.testing.assert_allclose(*probabilities, atol=0.5)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes in the file system")
def test_a_pipe_is_not_waited_for(nnx_command, digits_run):
    for name in ("pipe.png", "pipe.csv", "pipe.toml"):
        os.mkfifo(name)
    message = "nnx: error: pipe.png: expected a plain image file, got a pipe (FIFO), which cannot be read twice"
    assert nnx_command("predict", digits_run, "pipe.png").failed().startswith(message)
    message = "nnx: error: pipe.toml: expected a file of TOML, got a directory, a pipe or a device"
    assert nnx_command("train", "pipe.toml").failed().startswith(message)
    assert "expected digits, mnist, a directory" in nnx_command("train", "--data", "pipe.csv").failed(code=2)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("", "expected digits, mnist, a directory, or a file .npz or .csv as data, got an empty string"),
        ("digts", "a file .npz or .csv as data, got digts; did you mean digits?"),
        ("nowhere", "nowhere: expected a readable data set, got No such file or directory; check the path"),
    ],
)
def test_a_configuration_whose_data_are_nowhere(nnx_command, data, message):
    (nnx_command.folder / "mine.toml").write_text(f'data = "{data}"\n[model]\npreset = "perceptron"\n')
    assert message in nnx_command("train", "mine.toml").failed()


def test_an_empty_name_of_data(nnx_command):
    assert "or a file .npz or .csv, got ''" in nnx_command("train", "--data", "").failed(code=2)


def test_samples_that_are_not_finite_are_named_before_training(nnx_command):
    x, y = np.ones((60, 4), np.float32), np.arange(60) / 60
    x[3, 1] = np.nan
    np.savez("x.npz", x=x, y=y)
    message = "x.npz: expected finite numbers, got NaN or infinity in 1 of 60 samples, the first at index 3; remove or"
    assert message in nnx_command("train", "--data", "x.npz", "--out", "run").failed()
    assert not os.path.exists("run")


LIMITED = """
import resource, sys
from nnx.cli.__main__ import main
from nnx.data import load_mnist
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, used + 2**28))
sys.argv = ["nnx", "train", "--data", "large", "--out", "run"]
main()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is limited as on Linux")
def test_data_that_do_not_fit_into_the_memory(nnx_command):
    os.mkdir("large")
    with gzip.open("large/train-images-idx3-ubyte.gz", "wb", 1) as file:
        file.write(struct.pack(">HBB3I", 0, 8, 3, 1000, 300, 300) + bytes(1000 * 300 * 300))
    write_idx("large/train-labels-idx1-ubyte", np.zeros(1000, np.uint8))
    error = nnx_command.run(code=LIMITED).failed()
    assert "large: expected samples that fit into the memory, got more (" in error
    assert error.endswith("); use fewer or smaller ones\n")
    assert not os.path.exists("run")


def test_too_little_memory_elsewhere(nnx_command, monkeypatch):
    def large(*args, **kwargs):
        raise MemoryError("Unable to allocate 9 GiB")

    monkeypatch.setattr("nnx.cli.train.train", large)
    message = "out of memory (Unable to allocate 9 GiB); use less data, a smaller model or a smaller batch size"
    assert message in nnx_command("train").failed()


ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def in_ascii(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "nnx.cli", *arguments],
        env={**os.environ, **ASCII, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        encoding="ascii",
    )


@pytest.mark.skipif(os.name != "posix", reason="names of files are bytes on POSIX alone")
def test_a_path_in_unicode_under_a_locale_of_ascii(nnx_command):
    from PIL import Image

    os.mkdir("ünï")
    np.savez("ünï/daten.npz", x=np.tile(digit() / np.float32(255), (20, 1, 1)), y=np.arange(20) % 2)
    Image.fromarray(digit()).save("ünï/zwölf.png")
    result = in_ascii("train", "--data", "ünï/daten.npz", "--epochs", "1", "--out", "ünï/läuf")
    assert (result.returncode, result.stderr) == (0, "")
    assert "daten.npz: 16 images to train" in result.stdout
    result = in_ascii("predict", "ünï/läuf", "ünï/zwölf.png")
    assert (result.returncode, result.stderr) == (0, "")
    assert "lf.png: 8x8 pixels" in result.stdout


@pytest.mark.skipif(os.name != "posix", reason="names of files are bytes on POSIX alone")
def test_a_path_that_the_locale_cannot_express(nnx_command):
    (nnx_command.folder / "mine.json").write_text('{"data": "\\u00fcn\\u00ef", "model": {"preset": "perceptron"}}')
    result = in_ascii("train", "mine.json")
    message = "nnx: error: 'runs/\\xfcn\\xef-1': expected characters of the encoding ascii, got others; set PYTHON"
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(message)

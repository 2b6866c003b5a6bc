"""Each example as a newcomer runs it, at small settings: it ends well, saves its plot, and shows what it claims."""

import re
from pathlib import Path

import pytest
from printed import NUMBER, numbers

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
SHARED = {"image_training", "options", "plotting", "reporting", "text_training"}  # parts of examples
MNIST = ROOT.parent / "shared" / "data" / "mnist10k"

needs_mnist = pytest.mark.skipif(not MNIST.is_dir(), reason=f"MNIST's test images are not in {MNIST}")


def test_normal_densities(run):
    text = run("normal_densities")
    assert numbers("standard deviation #", text) == [0.6827] * 3
    [(mean, variance)] = numbers(r"N\(3, 1\): mean #, variance #", text)
    assert mean == pytest.approx(3, abs=0.01)
    assert variance == pytest.approx(5, abs=0.05)


def test_first_digits(run):
    text = run("first_digits")
    assert "1,797 images of 8x8 pixels" in text
    assert numbers("normalized: mean #, standard deviation #", text) == [(0, 1)]
    assert "first ten labels: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" in text


@needs_mnist
def test_first_digits_of_mnist(run):
    text = run("first_digits", "--data", str(MNIST))
    assert "10,000 images of 28x28 pixels" in text
    assert "first ten labels: [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]" in text


def test_matrix_multiplication(run):
    text = run("matrix_multiplication", "--sizes", "8", "16", "48")
    rows = numbers(r"(?m)^ *# +# ms +# ms +[\d,]+ +#$", text)
    assert [row[0] for row in rows] == [8, 16, 48]
    assert all(difference < 1e-12 for *_, difference in rows)
    assert rows[-1][1] > 100 * rows[-1][2]


def test_initialization(run):
    text = run("initialization")
    found = re.findall(rf"(yes|no) +(float\d\d) +{NUMBER}  (\d+) layers(, then overflow)?", text)
    table = [(relu, dtype, float(std), int(depth), bool(overflow)) for relu, dtype, std, depth, overflow in found]
    assert len(table) == 8
    normal64, normal32, scaled64, scaled32, collapsed64, collapsed32, he64, he32 = table
    assert normal64[:2] == ("no", "float64")
    assert 1e204 < normal64[2] < 1e208
    assert normal32[3] in (27, 28, 29)
    assert normal32[4]
    for _, _, std, depth, overflow in (scaled64, scaled32, he64, he32):
        assert 0.1 < std < 10
        assert (depth, overflow) == (152, False)
    for relu, _, std, depth, _ in (collapsed64, collapsed32):
        assert relu == "yes"
        assert 1e-25 < std < 1e-21
        assert depth == 152


def test_sigmoid_derivative(run):
    text = run("sigmoid_derivative")
    assert numbers("largest derivative: # at x = #", text) == [(0.25, 0.0)]
    assert numbers("largest difference from .*: #", text)[0] < 1e-12


def test_gradient_descent(run):
    points = numbers(r"(?m)^ *# +# +# +#$", run("gradient_descent", "--steps", "20"))
    assert [n for n, *_ in points] == list(range(21))
    for n, point, _, value in points:
        assert point == pytest.approx(2 + 3 * 0.8**n, abs=1e-6)
        assert value == pytest.approx((point - 2) ** 2 + 1, abs=1e-5)


@pytest.mark.parametrize("data", ["digits", pytest.param("mnist", marks=needs_mnist)])
def test_overfit_100_images(run, data):
    text = run("overfit_100_images", *(["--data", str(MNIST)] if data == "mnist" else []))
    epochs = numbers("epoch +#: loss #, training accuracy # %", text)
    assert len(epochs) == 31
    assert epochs[-1][2] == 100
    assert epochs[-1][1] < 0.05 * epochs[0][1]


@pytest.mark.parametrize("data", ["digits", pytest.param("mnist", marks=needs_mnist)])
def test_three_losses(run, data):
    text = run("three_losses", *(["--data", str(MNIST)] if data == "mnist" else ["--seeds", "2"]))
    cross_entropy, mse, mses = numbers("training accuracy # %", text)
    assert cross_entropy > mse > mses
    assert cross_entropy > 95
    if data == "mnist":
        assert (cross_entropy, mse, mses) == (
            pytest.approx(99, abs=1.5),
            pytest.approx(64, abs=6),
            pytest.approx(58, abs=6),
        )


def test_variational_autoencoder(run):
    text = run("variational_autoencoder", "--epochs", "40")
    [(first, last)] = numbers("loss of the first batch #, of the last epoch #", text)
    assert last < 0.25 * first
    [(reconstruction, average)] = numbers("mean squared error .*: #, .*: #", text)
    assert reconstruction < 0.5 * average


@needs_mnist
def test_variational_autoencoder_on_mnist(run):
    text = run("variational_autoencoder", "--data", str(MNIST), "--epochs", "3")
    [(first, last)] = numbers("loss of the first batch #, of the last epoch #", text)
    assert last < 0.5 * first


def test_train_on_any_backend(run):
    text = run("train_on_any_backend", "--epochs", "2")
    losses = numbers("final loss #", text)
    assert "numpy" in text
    assert losses == [pytest.approx(losses[0], rel=1e-5)] * len(losses)


def test_every_example_has_a_test_and_a_row_in_the_readme():
    names = {path.stem for path in EXAMPLES.glob("*.py")} - SHARED
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert {name for name in names if f'"{name}"' not in tests} == set()
    assert {name for name in names if f"{name}.py" not in readme} == set()

"""The picture of a digit is brought to the form of the training images, however it was drawn."""

from pathlib import Path

import numpy as np
import pytest

from nnx.cli.framing import Framing, find_ink
from nnx.data import load_digits
from nnx.errors import DataError

MNIST = Framing(20 / 28, 14.5 / 28)
FONT = {  # 5 x 7 pixels
    1: ("  #  ", " ##  ", "  #  ", "  #  ", "  #  ", "  #  ", " ### "),
    2: (" ### ", "#   #", "    #", "   # ", "  #  ", " #   ", "#####"),
    4: ("   # ", "  ## ", " # # ", "#  # ", "#####", "   # ", "   # "),
    7: ("#####", "    #", "   # ", "  #  ", " #   ", " #   ", " #   "),
}


def drawn(digit, *, size=8, canvas=(120, 160), offset=(20, 60), thick=0):
    """Return a drawing with ink 1, each pixel of the font a square, made thicker by a number of pixels."""
    glyph = np.asarray([[mark == "#" for mark in row] for row in FONT[digit]], float)
    large = np.pad(np.kron(glyph, np.ones((size, size))), thick)
    shifted = [np.roll(large, (i, j), (0, 1)) for i in range(-thick, thick + 1) for j in range(-thick, thick + 1)]
    large = np.max(shifted, axis=0)
    picture = np.zeros(canvas)
    top, left = offset
    picture[top : top + large.shape[0], left : left + large.shape[1]] = large
    return picture


def seen(gray, framing=MNIST, side=28):
    ink, is_dark_on_light = find_ink(gray, Path("digit.png"))
    return framing.apply(ink, side), is_dark_on_light


def center(image):
    positions = np.arange(len(image)) + 0.5
    return np.average(positions, weights=image.sum(axis=1)), np.average(positions, weights=image.sum(axis=0))


def extent(image):
    rows, columns = (np.flatnonzero((image > 0.5).any(axis=axis)) for axis in (1, 0))
    return max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1


PICTURES = {
    "large": {"size": 40, "canvas": (400, 300), "offset": (5, 90)},
    "small": {"size": 1, "canvas": (28, 28), "offset": (1, 20)},
    "of the right size, at the border": {"size": 3, "canvas": (28, 28), "offset": (7, 0)},
    "wide margins": {"size": 4, "canvas": (500, 600), "offset": (400, 20)},
    "thick": {"size": 20, "canvas": (300, 300), "offset": (30, 30), "thick": 8},
}


@pytest.mark.parametrize("digit", FONT)
@pytest.mark.parametrize("picture", PICTURES.values(), ids=PICTURES)
@pytest.mark.parametrize("inverted", [False, True])
def test_a_drawing_gets_the_form_of_mnist(digit, picture, inverted):
    ink = drawn(digit, **picture)
    image, is_dark_on_light = seen(1.0 - 0.8 * ink if inverted else 0.2 + 0.6 * ink)
    assert image.shape == (28, 28)
    assert is_dark_on_light == inverted
    assert image.min() >= 0.0
    assert image.max() == pytest.approx(1.0)
    assert abs(extent(image) - 20) <= 1
    assert center(image) == pytest.approx((14.5, 14.5), abs=0.1)


def test_size_and_place_of_a_drawing_do_not_matter():
    for digit in FONT:
        images = [
            seen(drawn(digit, size=size, offset=at))[0] for size, at in ((4, (0, 0)), (9, (31, 7)), (12, (5, 90)))
        ]
        for other in images[1:]:
            assert np.corrcoef(images[0].ravel(), other.ravel())[0, 1] > 0.98


def test_light_from_one_side_and_noise_are_no_ink():
    rng = np.random.default_rng(0)
    ink = drawn(2, size=20, canvas=(240, 240), offset=(40, 70))
    light = np.linspace(0.6, 0.9, 240)[:, None] + np.linspace(-0.1, 0.1, 240)
    clean, _ = seen(1.0 - ink)
    photograph, is_dark_on_light = seen(light * (1.0 - 0.7 * ink) + rng.normal(0.0, 0.02, ink.shape))
    assert is_dark_on_light
    assert np.corrcoef(clean.ravel(), photograph.ravel())[0, 1] > 0.95


def test_what_has_the_form_already_is_left_alone():
    image, _ = seen(drawn(4))
    np.testing.assert_array_equal(MNIST.apply(image, 28), image)
    x, _ = load_digits()
    digits = Framing.of(x)
    unchanged = [np.array_equal(digits.apply(ink, 8), ink) for ink in x[:200].reshape(-1, 8, 8)]
    assert np.mean(unchanged) > 0.95


def test_no_part_of_a_digit_is_cut_off():
    ink = np.zeros((100, 100))
    ink[10:90, 10:14] = 1.0
    ink[80:90, 10:80] = 1.0  # heavy at one corner
    image, _ = seen(ink, Framing(1.0, 0.5))
    assert image[0].max() > 0.5
    assert image[-1].max() > 0.5
    assert image[:, -1].max() > 0.5


def test_the_form_of_a_data_set():
    x = np.zeros((2, 10, 10), np.float32)
    x[0, 2:8, 4:6] = 1
    x[1, 1:3, 0:10] = 0.4  # a faint one counts too
    found = Framing.of(x.reshape(2, 100))
    assert found.fill == pytest.approx(0.8)
    assert found.center == pytest.approx(np.mean([(12 * 5 + 8 * 2) / 20, 5.0]) / 10)
    assert Framing.of(np.zeros((2, 100), np.float32)) == Framing(1.0, 0.5)
    assert Framing.of(x.reshape(2, 100)[:, :99]) == Framing(1.0, 0.5)


def test_an_image_without_ink():
    with pytest.raises(
        DataError, match=r"^digit.png: expected a digit on a background, got an image of one brightness"
    ):
        find_ink(np.linspace(0.5, 0.9, 100).reshape(10, 10), Path("digit.png"))

import builtins
import os
import struct
import zlib

import numpy as np
import pytest

from nnx.data import DataLoader, ImageFolder, read_image
from nnx.data.image_files import open_image
from nnx.errors import ArgumentError, DataError, MissingExtraError

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")


def save(path, pixels, mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).convert(mode).save(path, **options)


def header_of_png(width, height):
    """Return a PNG file that claims a size and has no pixels."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    sum_of_chunk = struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + sum_of_chunk + struct.pack(">I", 0) + b"IDAT"


@pytest.fixture
def pets(tmp_path):
    rng = np.random.default_rng(0)
    for name, count in (("cat", 3), ("ant/small", 1), ("ant", 1), ("dög", 2)):
        for number in range(count):
            save(tmp_path / name / f"{number}.png", rng.integers(256, size=(4, 6, 3)))
    (tmp_path / "cat" / ".hidden.png").touch()
    (tmp_path / "cat" / "notes.txt").touch()
    (tmp_path / "README.txt").touch()
    (tmp_path / ".cache").mkdir()
    return tmp_path


def test_classes_and_order(pets):
    folder = ImageFolder(pets)
    assert folder.classes == ("ant", "cat", "dög")
    assert folder.labels == [0, 0, 1, 1, 1, 2, 2]
    assert [os.path.relpath(path, pets) for path in folder.paths[:3]] == ["ant/0.png", "ant/small/0.png", "cat/0.png"]
    assert [os.path.basename(path) for path in folder.skipped] == ["notes.txt"]
    assert repr(folder) == f"ImageFolder({str(pets)!r}, 7 images of 3 classes)"


@pytest.mark.parametrize("workers", [0, 2])
def test_images_that_are_not_square(pets, workers):
    folder = ImageFolder(pets)
    batches = list(DataLoader(folder, 4, shuffle=False, workers=workers))
    assert [x.shape for x, _ in batches] == [(4, 3, 4, 6), (3, 3, 4, 6)]
    assert [y.tolist() for _, y in batches] == [[0, 0, 1, 1], [1, 2, 2]]
    x, y = batches[0]
    assert (x.dtype, y.dtype) == (np.float32, np.int32)
    expected = np.asarray(Image.open(folder.paths[2]), np.float32).transpose(2, 0, 1) / np.float32(255)
    np.testing.assert_array_equal(x[2], expected)
    np.testing.assert_array_equal(folder[2][0], expected)


@pytest.mark.parametrize(("size", "shape"), [(5, (5, 5)), ((2, 9), (2, 9)), ([4, 6], (4, 6))])
@pytest.mark.parametrize("channels", [1, 3])
def test_size_and_channels(pets, size, shape, channels):
    image, _ = ImageFolder(pets, size=size, channels=channels)[0]
    assert image.shape == (channels, *shape)
    assert image.dtype == np.float32
    assert 0 <= image.min() < image.max() <= 1


def test_resizing_averages(tmp_path):
    save(tmp_path / "a.png", np.kron([[0, 255], [255, 0]], np.ones((8, 8))), "L")
    assert abs(float(read_image(tmp_path / "a.png", 1, (1, 1))[0, 0, 0]) - 0.5) < 0.01


def test_images_of_several_sizes(pets):
    save(pets / "cat" / "1.png", np.zeros((4, 7, 3)))
    with pytest.raises(DataError, match=r"cat/1\.png: expected 4 x 6 pixels, as .*ant/0\.png has, got 4 x 7; pass"):
        ImageFolder(pets)[0:]


def test_upright_and_on_white(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    save(tmp_path / "a.png", np.zeros((2, 5, 3)), exif=exif)
    assert open_image(tmp_path / "a.png").size == (2, 5)
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "b.png")
    assert read_image(tmp_path / "b.png").min() == 1
    palette = Image.new("P", (2, 2), 0)
    palette.save(tmp_path / "c.png", transparency=0)
    assert read_image(tmp_path / "c.png", channels=1).min() == 1


def truncate(path):
    save(path, np.random.default_rng(0).integers(256, size=(40, 40, 3)))
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b""), "expected an image file that Pillow can read, got no format"),
        (lambda path: path.write_bytes(b"hello"), "expected an image file that Pillow can read, got no format"),
        (truncate, "expected an image file that Pillow can read, got: image file is truncated"),
        (lambda path: path.write_bytes(header_of_png(8, 8)), "expected an image file that Pillow can read, got: "),
        (lambda path: path.write_bytes(header_of_png(12_000, 12_000)), "expected at most 67108864 pixels, got many"),
        (lambda path: path.write_bytes(header_of_png(20_000, 20_000)), "expected at most 67108864 pixels, got many"),
        (lambda path: path.write_bytes(header_of_png(9000, 9000)), "expected at most 67108864 pixels, got 9000 x 9"),
        (lambda path: path.write_bytes(header_of_png(8, 0)), "expected an image .*, got"),
        (lambda path: path.write_bytes(b"P5 8 0 255\n"), "expected an image .*, got"),
        (lambda path: Image.new("I;16", (2, 2)).save(path), "expected an image of 8 bits a channel, got Pillow's mode"),
        (lambda path: path.mkdir(), "expected a readable image file, got Is a directory; check the path"),
        (lambda path: os.mkfifo(path), r"expected a plain image file, got a pipe \(FIFO\)"),
        (lambda path: None, "expected a readable image file, got No such file or directory; check the path"),
    ],
)  # fmt: skip
def test_a_damaged_image_is_named(tmp_path, make, message):
    make(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: " + message):
        read_image(tmp_path / "a.png")


def test_the_sample_and_the_file_are_named(pets):
    (pets / "cat" / "1.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"^batch 1 of epoch 0: sample 3: .*cat/1\.png: expected an image file that"):
        list(DataLoader(ImageFolder(pets), 2, shuffle=False, workers=2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "absent", "absent: expected a folder, got No such file or directory; check the path"),
        (lambda folder: folder / "README.txt", r"README\.txt: expected a folder, got Not a directory; check the path"),
        (lambda folder: folder / "cat", "cat: expected a folder for each class in it, got none; sort the images into"),
        (lambda folder: "", "expected the path of a folder, got ''"),
        (
            lambda folder: (folder / "empty").mkdir() or folder,
            r"empty: expected images \(.*\), got none; take",
        ),
    ],
)
def test_bad_folders(pets, make, message):
    with pytest.raises(DataError, match=message):
        ImageFolder(make(pets))


def test_bad_arguments(pets):
    with pytest.raises(ArgumentError, match=r"expected channels to be 3 \(colors\) or 1 \(brightness\), got 4"):
        ImageFolder(pets, channels=4)
    for size in (0, (2, -1), "8", (1, 2, 3)):
        with pytest.raises(ArgumentError, match="expected size to be an integer of at least 1, got"):
            ImageFolder(pets, size=size)


def test_without_pillow(pets, monkeypatch):
    imported = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name == "PIL":
            raise ImportError("no PIL")
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"expected Pillow to read .*0\.png, got: no PIL; install it with: pip"):
        ImageFolder(pets)[0]

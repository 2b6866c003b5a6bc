"""A folder of images in which each class has a folder of its own."""

import os
import pathlib
from typing import Any

from nnx.data.base import Source
from nnx.data.collation import collate
from nnx.data.files import Path
from nnx.data.image_files import MAX_PIXELS, read_image
from nnx.errors import ArgumentError, DataError
from nnx.functional.checks import as_integer, counted
from nnx.types import Array, Tree

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


class ImageFolder(Source):
    """Images by class: each folder in ``folder`` is a class, and all images in and below it belong to it.

    Only the names are read at first. An image is decoded when it is asked for, so a :class:`DataLoader` with workers
    decodes several at once. A sample is ``(image, label)``; the image is float32 in [0, 1].

    Parameters
    ----------
    folder : str or path
    size : int or (height, width), optional
        To which images are resized, whatever their proportions are; an int makes squares. By default they keep their
        size, and those of a batch must have the same.
    channels : {3, 1}
        Red, green and blue, or brightness.
    max_pixels : int
        A larger image is refused before it is decoded.

    Attributes
    ----------
    classes : tuple of str
        The names of the folders in order; label ``i`` is ``classes[i]``.
    paths : list of str
        The files: by class, then by name.
    labels : list of int
    skipped : list of str
        Files that are not among the samples, since they do not end as images do. Names with a dot in front are ignored.

    Raises
    ------
    DataError
        If the folder cannot be read or has no folders in it, or one of them has no images. When a sample is read: if
        its file is no image, is damaged, or has no or too many pixels, with its path.
    ArgumentError
        If size or channels are out of range.
    MissingExtraError
        When a sample is read, if Pillow is not installed.

    Notes
    -----
    Images are turned upright as their EXIF data say. What is transparent is put on white.

    Examples
    --------
    >>> from PIL import Image
    >>> for name, color in (("cat", "gray"), ("dog", "white")):
    ...     os.makedirs(f"pets/{name}")
    ...     Image.new("RGB", (40, 30), color).save(f"pets/{name}/0.png")
    >>> pets = ImageFolder("pets", size=(8, 12))
    >>> pets
    ImageFolder('pets', 2 images of 2 classes)
    >>> image, label = pets[1]
    >>> image.shape, pets.classes[label]
    ((3, 8, 12), 'dog')
    """

    def __init__(
        self,
        folder: Path,
        size: int | tuple[int, int] | None = None,
        channels: int = 3,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        if channels not in (1, 3):
            raise ArgumentError(f"expected channels to be 3 (colors) or 1 (brightness), got {channels!r}")
        self.folder = os.fspath(folder)
        self.size = None if size is None else _as_size(size)
        self.channels = channels
        self.max_pixels = as_integer(max_pixels, "max_pixels", least=1)
        self.paths: list[str] = []
        self.labels: list[int] = []
        self.skipped: list[str] = []
        names = _folders(self.folder)
        self.classes = tuple(names)
        for label, name in enumerate(names):
            self._find(os.path.join(self.folder, name), label)

    def __len__(self) -> int:
        return len(self.paths)

    def sample(self, row: int) -> tuple[Array, int]:
        """Decode an image, and return it with its label."""
        return read_image(self.paths[row], self.channels, self.size, self.max_pixels), self.labels[row]

    def batch(self, rows: Any) -> Tree:
        """Decode images of one size: (batch, channels, height, width), and labels: int32, (batch,)."""
        samples = self.samples(rows)
        shapes = [image.shape for image, _ in samples]
        for shape, row in zip(shapes, rows.tolist(), strict=True):
            if shape != shapes[0]:
                raise DataError(
                    f"{self.paths[row]}: expected {shapes[0][1]} x {shapes[0][2]} pixels, as {self.paths[rows[0]]} "
                    f"has, got {shape[1]} x {shape[2]}; pass size=(height, width) to make all images alike"
                )
        return collate(samples, rows)

    def __repr__(self) -> str:
        return f"ImageFolder({self.folder!r}, {counted(len(self), 'image')} of {len(self.classes)} classes)"

    def _find(self, folder: str, label: int) -> None:
        before = len(self.paths)
        for parent, folders, files in os.walk(folder):
            folders.sort()
            for name in sorted(name for name in files if not name.startswith(".")):
                path = os.path.join(parent, name)
                if os.path.splitext(name)[1].lower() in SUFFIXES:
                    self.paths.append(path)
                    self.labels.append(label)
                else:
                    self.skipped.append(path)
        if len(self.paths) == before:
            raise DataError(f"{folder}: expected images ({', '.join(SUFFIXES)}), got none; take the folder out")


def _folders(folder: str) -> list[str]:
    try:
        entries = sorted(pathlib.Path(folder).iterdir()) if folder else None
    except OSError as error:
        raise DataError(f"{folder}: expected a folder, got {error.strerror}; check the path") from error
    if entries is None:
        raise DataError("expected the path of a folder, got ''")
    names = [entry.name for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    if not names:
        raise DataError(f"{folder}: expected a folder for each class in it, got none; sort the images into folders")
    return names


def _as_size(size: int | tuple[int, int]) -> tuple[int, int]:
    height, width = size if isinstance(size, (tuple, list)) and len(size) == 2 else (size, size)
    return as_integer(height, "size", least=1), as_integer(width, "size", least=1)

"""The readers that are fuzzed: for each some good inputs, and what is done with an input."""

import gzip
import io
import json
import struct
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import nnx
from nnx.cli.configuration import read_configuration
from nnx.cli.framing import Framing, find_ink
from nnx.cli.predict import read_gray
from nnx.cli.runs import read_run
from nnx.data import ArrayFile, load_mnist, load_npz, read_csv, read_idx, read_image, write_idx
from nnx.errors import DataError
from nnx.io import load_checkpoint, load_weights, save_checkpoint, save_weights
from nnx.io.layout import _checksum, _Entry
from nnx.training import History

FOLDER = Path(tempfile.mkdtemp(prefix="nnx-fuzz-"))
PATH = FOLDER / "input"


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes
    ----------
    seeds : function
        Returns good inputs. The first byte of an input says how the others are wrapped.
    read : function
        Reads an input; may raise errors of nnx only.
    tokens : tuple of bytes
        What the format is made of.
    """

    seeds: Callable[[], list[bytes]]
    read: Callable[[bytes], object]
    tokens: tuple[bytes, ...] = ()


def saved(write: Callable[[Path], object]) -> bytes:
    """Return the content of the file that a function writes."""
    write(PATH)
    return PATH.read_bytes()


def given(data: bytes) -> Path:
    """Return the path of a file with this content."""
    PATH.write_bytes(data)
    return PATH


STATE = {"model": {"w": np.ones((2, 2), np.float32)}, "b": np.array([True]), "n": [1, np.inf, 2 + 1j, 2**70, (None,)]}


def checkpoint_seeds() -> list[bytes]:
    whole = saved(lambda path: save_checkpoint(path, STATE, {"note": "x"}))
    weights = saved(lambda path: save_weights(path, nnx.Linear(1, 2, rng=0)))
    start = whole[8 : 8 + struct.unpack("<Q", whole[:8])[0]]
    text = json.loads(start)["__metadata__"]["nnx"].encode()
    old = json.dumps({"format": 2, "nnx": "0", "layers": {}, "metadata": {}, "dtypes": {}})
    table = {"__metadata__": {"nnx": old}, "x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    return [b"0" + whole, b"0" + weights, b"1" + start, b"1" + json.dumps(table).encode(), b"2" + text]


def read_checkpoint(data: bytes) -> None:
    kind, data = data[:1], data[1:]
    if kind == b"1":  # the table, with the right length
        data = struct.pack("<Q", len(data)) + data + bytes(8)
    elif kind == b"2":  # the header, with the right checksum
        text = data.decode("utf-8", "replace")
        entries = [_Entry(0, 8, "model.w", "F32", (2,)), _Entry(8, 9, "b", "BOOL", (1,))]
        metadata = {"nnx": text, "sha256": _checksum(text, entries, (bytes(8), b"\1"))}
        table = {e.name: {"dtype": e.code, "shape": e.shape, "data_offsets": [e.begin, e.end]} for e in entries}
        start = json.dumps({"__metadata__": metadata, **table}).encode()
        data = struct.pack("<Q", len(start)) + start + bytes(8) + b"\1"
    load = load_weights if len(data) % 2 else load_checkpoint
    load(given(data))


def idx_seeds() -> list[bytes]:
    images = saved(lambda path: write_idx(path, np.arange(12, dtype=np.uint8).reshape(3, 2, 2)))
    floats = saved(lambda path: write_idx(path, np.ones(3)))
    return [b"0" + images, b"0" + floats, b"0" + gzip.compress(images, mtime=0), b"1" + images, b"2" + images]


def read_idx_input(data: bytes) -> None:
    kind, data = data[:1], data[1:]
    if kind == b"2":  # a data set in files of this format
        (FOLDER / "t10k-images-idx3-ubyte").write_bytes(data)
        write_idx(FOLDER / "t10k-labels-idx1-ubyte", np.array([1, 2, 3], np.uint8))
        load_mnist(FOLDER, download=False, split="test")
    else:
        read_idx(given(gzip.compress(data, 1, mtime=0) if kind == b"1" else data), max_bytes=2**24)


def array_seeds() -> list[bytes]:
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, np.arange(6.0).reshape(2, 3))
    np.savez_compressed(npz, x=np.ones((2, 3)), y=np.array([1, 2]))
    return [b"0" + npy.getvalue(), b"1" + npz.getvalue(), b"2" + npy.getvalue()]


def read_arrays(data: bytes) -> None:
    kind, data = data[:1], data[1:]
    if kind == b"1":
        load_npz(given(data), max_bytes=2**24)
    elif kind == b"2":  # one member of an archive
        with zipfile.ZipFile(PATH, "w") as archive:
            archive.writestr("x.npy", data)
        load_npz(PATH, max_bytes=2**24)
    else:
        array = ArrayFile(given(data))
        array[:2]


def read_table(data: bytes) -> None:
    kind, path = data[:1], given(data[1:])
    if kind == b"1":
        read_csv(path, target=-1, classes=("a", "b"), missing=0.0, max_bytes=2**24)
    else:
        read_csv(path, header=kind == b"2", max_bytes=2**24)


def image_seeds() -> list[bytes]:
    from PIL import Image

    pixels = np.arange(12 * 8 * 3, dtype=np.uint8).reshape(12, 8, 3)
    color, found = Image.fromarray(pixels), []
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "ICO", "PCX", "SGI"):
        stream = io.BytesIO()
        color.save(stream, kind)
        found.append(stream.getvalue())
    deep = Image.fromarray(np.arange(96, dtype=np.uint16).reshape(12, 8))
    for image in (*(color.convert(mode) for mode in ("1", "L", "LA", "P", "RGBA")), deep):
        stream = io.BytesIO()
        image.save(stream, "PNG")
        found.append(stream.getvalue())
    return found


def read_picture(data: bytes) -> None:
    path = given(data)
    read_image(path, channels=1 + 2 * (len(data) % 2), size=(4, 5), max_pixels=2**18)
    ink, _ = find_ink(read_gray(path), path)
    Framing().apply(ink, 8)


def configurations() -> list[dict]:
    layers, rng = nnx.layers, nnx.generator(0)
    model = nnx.Model([nnx.Linear(3, 4, rng=rng), nnx.ReLU(), nnx.Linear(4, 3, rng=rng)])
    model[2].weight = nnx.Tied(model[0], "weight", transpose=True)
    found = [
        model,
        nnx.Model([layers.Conv2d(1, 2, 3, rng=rng), layers.BatchNorm2d(2), layers.MaxPool2d(2), layers.Flatten()]),
        layers.LSTM(2, 3, rng=rng),
        layers.MultiHeadAttention(4, 2, rng=rng),
        layers.Embedding(3, 2, rng=rng),
        nnx.Linear(2, 2, initializer=nnx.initializers.Constant(1.0)),
        nnx.Lambda(nnx.functional.relu),
        nnx.Dropout(0.5),
        nnx.CrossEntropy(weight=np.ones(3)),
        nnx.metrics.Accuracy(),
        nnx.schedules.Cosine(0.1, 10),
    ]
    return [nnx.layers.config.config_of(one) for one in found]


def config_seeds() -> list[bytes]:
    return [json.dumps(config).encode() for config in configurations()]


def read_config(data: bytes) -> None:
    try:
        config = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError("no JSON") from error
    nnx.from_config(config)


RUN = FOLDER / "run"


def run_seeds() -> list[bytes]:
    RUN.mkdir()
    model = nnx.Model([nnx.Linear(4, 3, rng=0)])
    save_weights(RUN / "model.safetensors", model)
    configuration = {"model": model.config(), "data": "digits", "epochs": 3, "backend": "numpy", "device": "cpu"}
    run = {"format": 2, "configuration": configuration, "pixels": 4, "classes": 3, "fill": 1.0, "center": 0.5}
    run |= {"standard": {"mean": 0.0, "std": 1.0}, "fingerprint": "x", "outcome": {}, "versions": {}}
    options = {"data": "digits", "epochs": 3, "batch_size": 2, "seed": 0, "dtype": "float32", "loss": "mse"}
    options |= {"learning_rate": 0.1, "backend": "numpy", "device": "cpu"}
    old = {**run, "format": 1, "options": options, "sizes": [4, 3]}
    return [b"0" + json.dumps(run).encode(), b"0" + json.dumps(old).encode(), b"1" + json.dumps(configuration).encode()]


def read_run_input(data: bytes) -> None:
    kind, data = data[:1], data[1:]
    (RUN / "config.json").write_bytes(data)
    if kind == b"1":
        configuration = read_configuration(RUN / "config.json")
        configuration.make_loss()
        configuration.make_optimizer(configuration.make_model())
    else:
        read_run(RUN)


_JSON = (b'{"type":', b'"type"', b'"items"', b'{"type": "float", "value": "inf"}', b'{"type":"tuple","items":[1]}')
_TREE = (b'{"$array":"w"}', b'{"$float":"7ff0000000000000"}', b'{"$int":"0x1"}', b'"$tuple"', b'"F64"', b'"BF16"')
TARGETS = {
    "checkpoint": Target(checkpoint_seeds, read_checkpoint, _TREE),
    "idx": Target(idx_seeds, read_idx_input, (b"\0\0\x08\x01", b"\0\0\x0e\x02", b"\x1f\x8b\x08")),
    "arrays": Target(array_seeds, read_arrays, (b"'descr'", b"'<f8'", b"'|O'", b"True", b"(2, 3)", b"PK\x01\x02")),
    "table": Target(lambda: [b"0" + b"1,2\n3,4\n", b"1" + b"x,y\n1.5,a\n?,b\n", b"2" + b'"a","b"\n1,2\n'], read_table),
    "history": Target(
        lambda: [b"epoch,loss\n1,0.5\n2,\n", b"epoch,loss,accuracy\n1,nan,1e3\n"], lambda d: History.read_csv(given(d))
    ),
    "image": Target(image_seeds, read_picture, (b"IHDR", b"IDAT", b"Exif\0\0", b"\xff\xda", b"II*\0", b"\x0d\x0a")),
    "config": Target(config_seeds, read_config, _JSON),
    "run": Target(run_seeds, read_run_input, (*_JSON, b'"format"', b'"sizes"', b'"standard"')),
}

import hashlib
import os
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from nnx.data import load_mnist, mnist, write_idx
from nnx.errors import ArgumentError, DataError, MissingExtraError

OFFICIAL_TEST_PAIR = Path(__file__).parents[3] / "shared" / "data" / "mnist10k"
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def write_pair(folder, images_name, labels_name, samples=3):
    images = np.arange(samples * 6, dtype=np.uint8).reshape(samples, 2, 3)
    write_idx(folder / images_name, images)
    write_idx(folder / labels_name, np.arange(samples, dtype=np.uint8))
    return images


@pytest.fixture
def four_files(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    write_pair(folder, TRAIN_IMAGES, TRAIN_LABELS + ".gz", samples=4)
    write_pair(folder, TEST_IMAGES + ".gz", TEST_LABELS, samples=3)
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NNX_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mnist"


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Two fake mirrors of small files with fitting sums; those named in ``down`` refuse."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    write_pair(folder, TRAIN_IMAGES + ".gz", TRAIN_LABELS + ".gz", samples=4)
    write_pair(folder, TEST_IMAGES + ".gz", TEST_LABELS + ".gz", samples=3)

    def with_sum(file):
        return file._replace(sha256=hashlib.sha256((folder / f"{file.name}.gz").read_bytes()).hexdigest())

    files = {part: tuple(with_sum(file) for file in pair) for part, pair in mnist._FILES.items()}
    monkeypatch.setattr(mnist, "_FILES", files)
    fake = types.SimpleNamespace(down=set(), asked=[])

    def retrieve(url, known_hash, fname, path, progressbar):
        fake.asked.append(url)
        host = url.split("/")[2]
        if host in fake.down:
            raise ConnectionError(f"no way to {host}\nand more")
        content = (folder / fname).read_bytes()
        if known_hash != f"sha256:{hashlib.sha256(content).hexdigest()}":
            raise ValueError("SHA256 hash does not match")
        Path(path).mkdir(parents=True, exist_ok=True)
        (Path(path) / fname).write_bytes(content)
        return str(Path(path) / fname)

    fake.folder = folder
    monkeypatch.setitem(sys.modules, "pooch", types.SimpleNamespace(retrieve=retrieve))
    return fake


@pytest.fixture
def no_network(monkeypatch):
    def retrieve(*args, **keywords):
        raise AssertionError("a download was tried")

    monkeypatch.setitem(sys.modules, "pooch", types.SimpleNamespace(retrieve=retrieve))


@pytest.mark.usefixtures("no_network")
class TestOwnDirectory:
    def test_both_pairs_plain_and_compressed(self, four_files):
        x_train, y_train, x_test, y_test = load_mnist(four_files)
        assert (x_train.shape, x_train.dtype) == ((4, 6), np.float32)
        assert (y_train.tolist(), y_train.dtype) == ([0, 1, 2, 3], np.int32)
        assert (x_test.shape, y_test.shape) == ((3, 6), (3,))
        np.testing.assert_array_equal(x_train, np.arange(24, dtype=np.float32).reshape(4, 6) / np.float32(255))

    @pytest.mark.parametrize(("split", "samples"), [("train", 4), ("test", 3)])
    def test_one_split(self, four_files, split, samples):
        x, y = load_mnist(str(four_files), split=split)
        assert (x.shape, y.shape) == ((samples, 6), (samples,))

    def test_unknown_split(self, four_files):
        with pytest.raises(ArgumentError, match='expected split to be "both", "train" or "test", got \'all\''):
            load_mnist(four_files, split="all")

    @pytest.mark.parametrize("download", [False, True])
    def test_only_the_test_pair(self, tmp_path, download):
        write_pair(tmp_path, TEST_IMAGES, TEST_LABELS)
        assert len(load_mnist(tmp_path, download=download, split="test")) == 2
        message = rf'expected {TRAIN_IMAGES}, {TRAIN_LABELS}, plain or \.gz, got no such files; .*split="test"'
        with pytest.raises(DataError, match=message):
            load_mnist(tmp_path, download=download)

    def test_part_of_a_pair(self, tmp_path):
        write_pair(tmp_path, TEST_IMAGES, TEST_LABELS)
        (tmp_path / TEST_LABELS).unlink()
        with pytest.raises(DataError, match=rf"expected {TEST_LABELS}, plain or \.gz, got no such files; add them$"):
            load_mnist(tmp_path, split="test")

    def test_nothing_there(self, tmp_path):
        names = ", ".join((TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS))
        message = rf"{tmp_path.name}: expected {names}, .* add them, or pass download=True"
        with pytest.raises(DataError, match=message):
            load_mnist(tmp_path, download=False)

    def test_labels_do_not_fit_images(self, tmp_path):
        write_pair(tmp_path, TEST_IMAGES, TEST_LABELS)
        write_idx(tmp_path / TEST_LABELS, np.zeros(5, np.uint8))
        message = rf"{TEST_LABELS}: expected 3 labels, one for each image of {TEST_IMAGES}, got 5; use two files"
        with pytest.raises(DataError, match=message):
            load_mnist(tmp_path, split="test")

    def test_swapped_files(self, tmp_path):
        write_pair(tmp_path, TEST_LABELS, TEST_IMAGES)
        message = rf"{TEST_IMAGES}: expected magic number 2051 \(3 axes of uint8\), got 1 axis of uint8; check"
        with pytest.raises(DataError, match=message):
            load_mnist(tmp_path, split="test")

    def test_another_dtype(self, tmp_path):
        write_pair(tmp_path, TEST_IMAGES, TEST_LABELS)
        write_idx(tmp_path / TEST_LABELS, np.zeros(3, np.int32))
        with pytest.raises(DataError, match=r"expected magic number 2049 \(1 axis of uint8\), got 1 axis of int32"):
            load_mnist(tmp_path, split="test")

    def test_no_images_is_no_error(self, tmp_path):
        write_pair(tmp_path, TEST_IMAGES, TEST_LABELS, samples=0)
        assert load_mnist(tmp_path, split="test")[0].shape == (0, 6)

    def test_official_test_images(self):
        if not OFFICIAL_TEST_PAIR.is_dir():
            pytest.skip("the official MNIST test files are not beside this checkout")
        x, y = load_mnist(OFFICIAL_TEST_PAIR, split="test")
        assert (x.shape, x.dtype, x.min(), x.max()) == ((10_000, 784), np.float32, 0, 1)
        assert np.bincount(y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


class TestDownload:
    def test_fills_the_cache_once(self, cache, mirror):
        assert [array.shape for array in load_mnist()] == [(4, 6), (4,), (3, 6), (3,)]
        assert len(mirror.asked) == 4
        assert len(list(cache.iterdir())) == 4
        load_mnist()
        load_mnist(download=False)
        assert len(mirror.asked) == 4

    def test_fetches_no_more_than_the_split(self, cache, mirror):
        assert len(load_mnist(split="test")) == 2
        assert [url.rpartition("/")[2] for url in mirror.asked] == [f"{TEST_IMAGES}.gz", f"{TEST_LABELS}.gz"]

    def test_fills_an_empty_directory(self, tmp_path, mirror):
        load_mnist(tmp_path / "new")
        assert len(list((tmp_path / "new").iterdir())) == 4

    def test_second_mirror_when_the_first_fails(self, cache, mirror):
        mirror.down = {"ossci-datasets.s3.amazonaws.com"}
        load_mnist(split="test")
        assert [url.split("/")[2] for url in mirror.asked[:2]] == [
            "ossci-datasets.s3.amazonaws.com",
            "storage.googleapis.com",
        ]

    def test_both_mirrors_fail(self, cache, mirror):
        mirror.down = {"ossci-datasets.s3.amazonaws.com", "storage.googleapis.com"}
        message = (
            rf"^expected to download {TRAIN_IMAGES}\.gz, got "
            r"ossci-datasets\.s3\.amazonaws\.com: no way to ossci-datasets\.s3\.amazonaws\.com; "
            r"storage\.googleapis\.com: no way to storage\.googleapis\.com; "
            r"check the network, or put the file into .*mnist by hand$"
        )
        with pytest.raises(DataError, match=message) as caught:
            load_mnist()
        assert isinstance(caught.value.__cause__, ConnectionError)

    def test_download_of_wrong_content(self, cache, mirror):
        (mirror.folder / f"{TRAIN_IMAGES}.gz").write_bytes(b"changed on the way")
        with pytest.raises(DataError, match=r"amazonaws\.com: SHA256 hash does not match; storage"):
            load_mnist()

    def test_damaged_cache_is_fetched_again(self, cache, mirror):
        load_mnist(split="test")
        (cache / f"{TEST_LABELS}.gz").write_bytes(b"damaged")
        assert load_mnist(split="test")[1].tolist() == [0, 1, 2]
        assert len(mirror.asked) == 3

    def test_damaged_cache_without_download(self, cache, mirror):
        load_mnist(split="test")
        (cache / f"{TEST_LABELS}.gz").write_bytes(b"damaged")
        with pytest.raises(DataError, match=rf"{TEST_LABELS}\.gz: expected SHA-256 \w{{64}}, got \w{{64}}; delete"):
            load_mnist(download=False, split="test")

    def test_unreadable_cache(self, cache, mirror, monkeypatch):
        load_mnist(split="test")

        def refuse(*args):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
        with pytest.raises(DataError, match=r"expected a readable file, got Permission denied; check its permissions"):
            load_mnist(download=False, split="test")

    def test_empty_cache_without_download(self, cache):
        with pytest.raises(DataError, match=rf"mnist: expected {TEST_IMAGES}, {TEST_LABELS}, .* pass download=True"):
            load_mnist(download=False, split="test")

    def test_pooch_is_not_installed(self, cache, monkeypatch):
        monkeypatch.setitem(sys.modules, "pooch", None)
        message = rf"expected the package pooch to download {TRAIN_IMAGES}, .*pip install 'nnx-array\[cli\]'"
        with pytest.raises(MissingExtraError, match=message):
            load_mnist()

    def test_official_sums(self, cache, no_network):
        if not OFFICIAL_TEST_PAIR.is_dir():
            pytest.skip("the official MNIST test files are not beside this checkout")
        shutil.copytree(OFFICIAL_TEST_PAIR, cache)
        assert load_mnist(split="test")[0].shape == (10_000, 784)


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "chosen/nnx"),
        ("linux", None, "home/.cache/nnx"),
        ("darwin", None, "home/Library/Caches/nnx"),
        ("win32", "LOCALAPPDATA", "chosen/nnx"),
        ("win32", None, "home/AppData/Local/nnx"),
    ],
)
def test_cache_of_each_platform(platform, variable, expected, tmp_path, monkeypatch):
    for name in ("NNX_DATA", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, os.fspath(tmp_path / "chosen"))
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    assert mnist._cache() == tmp_path / expected


def test_directory_without_a_name():
    with pytest.raises(DataError, match="expected the path of a directory, got ''; pass None for the one in the cache"):
        load_mnist("")

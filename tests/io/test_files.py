import errno
import os
import stat
import subprocess
import sys

import pytest

from nnx.errors import ArgumentError
from nnx.io import replacing


def test_the_file_is_replaced_when_the_block_ends(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_alone(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write_half():
        with replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


def test_a_folder_that_is_missing_raises(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "missing" / "file.txt") as temporary:
        temporary.write_text("new")


@pytest.mark.skipif(os.name != "posix", reason="rights of files as POSIX has them")
def test_the_file_has_the_rights_of_any_new_file(tmp_path):
    with replacing(tmp_path / "file.txt") as temporary:
        temporary.touch()
    (tmp_path / "plain.txt").touch()
    rights = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file.txt", "plain.txt")]
    assert rights[0] == rights[1]


def test_a_killed_process_leaves_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    code = (
        "import os, sys; from nnx.io import replacing\n"
        "with replacing(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('new'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert path.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2
    with replacing(tmp_path / "another.txt") as temporary:
        temporary.write_text("new")
    assert sorted(os.listdir(tmp_path)) == ["another.txt", "file.txt"]


def test_temporary_files_of_the_living_and_of_others_stay(tmp_path):
    (tmp_path / ".file.txt.0123abcd.tmp").touch()
    (tmp_path / ".nnx-tmp").touch()
    with replacing(tmp_path / "file.txt") as temporary:
        with replacing(tmp_path / "another.txt") as other:
            other.write_text("new")
        temporary.write_text("new")
    assert sorted(os.listdir(tmp_path)) == [".file.txt.0123abcd.tmp", ".nnx-tmp", "another.txt", "file.txt"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file.txt")
    with replacing(tmp_path / "link") as temporary:
        assert temporary.parent == tmp_path / "folder"
        temporary.write_text("new")
    assert (tmp_path / "folder" / "file.txt").read_text() == "new"
    assert (tmp_path / "link").is_symlink()


@pytest.mark.skipif(os.name != "posix", reason="named pipes and devices as POSIX has them")
def test_only_files_are_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path, "a folder"), (tmp_path / "pipe", "a named pipe"), ("/dev/null", "a device")):
        with pytest.raises(ArgumentError, match=f"expected the path of a file, got {kind}"), replacing(path):
            pass
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.parametrize(
    ("name", "number", "advice"),
    [
        ("write", errno.ENOSPC, "No space left on device; free some space, or choose another folder: .*file.txt"),
        ("fsync", errno.EDQUOT, "free some space, or choose another folder"),
        ("open", errno.EROFS, "Read-only file system; choose a folder that you may write to"),
        ("open", errno.EACCES, "Permission denied; choose a folder that you may write to"),
        ("replace", errno.EIO, "Input/output error"),
    ],
)
def test_what_the_system_refuses_leaves_the_old_file(tmp_path, monkeypatch, name, number, advice):
    path = tmp_path / "file.txt"
    path.write_text("old")

    def refuse(*args, **options):
        raise OSError(number, os.strerror(number))

    def write():
        with replacing(path) as temporary, open(temporary, "wb", buffering=0) as file:
            os.write(file.fileno(), b"half")

    monkeypatch.setattr(os, name, refuse)
    with pytest.raises(OSError, match=advice) as caught:
        write()
    monkeypatch.undo()
    assert caught.value.errno == number
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits on files as Linux has them")
def test_a_limit_on_the_size_of_files(tmp_path):
    """The system's own error in the middle of writing, as of a disk that is full."""
    code = (
        "import resource, signal, sys; import numpy as np; from nnx.io import load_checkpoint, save_checkpoint\n"
        "save_checkpoint(sys.argv[1], {'x': 1})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    save_checkpoint(sys.argv[1], {'x': np.ones(10**6)})\n"
        "except OSError as error:\n    print(error, load_checkpoint(sys.argv[1])[0])"
    )
    path = tmp_path / "run.safetensors"
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    advice = "free some space, or choose another folder"
    assert result.stdout == f"[Errno 27] File too large; {advice}: '{path}' {{'x': 1}}\n"
    assert os.listdir(tmp_path) == ["run.safetensors"]


def test_a_path_that_is_too_long_or_leads_through_a_file(tmp_path):
    (tmp_path / "file").touch()
    for path, advice in ((tmp_path / ("x" * 300), "choose a shorter name"), (tmp_path / "file" / "x", "folders are")):
        with pytest.raises(OSError, match=advice), replacing(path):
            pass
    with replacing(tmp_path / ("ü" * 127)) as temporary:  # as long as a name may be
        temporary.write_text("new")

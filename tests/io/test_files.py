import os
import stat
import subprocess
import sys

import pytest

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

import os
import time
import tracemalloc

import numpy as np
import pytest

import nnx
from nnx.errors import ArgumentError, CheckpointError
from nnx.io import CheckpointFolder, CheckpointWarning, checkpoint_folder, save_weights
from nnx.io.checkpoints import is_whole


@pytest.fixture
def folder(tmp_path):
    return CheckpointFolder(tmp_path / "run" / "checkpoints")


def fill(folder, *steps):
    for step in steps:
        folder.save(step, {"step": step, "x": np.full(3, step)}, {"note": str(step)})


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(0, time.time_ns() + 10**9))  # the clock of files has ticks, in which two writes look like one


def test_the_newest_is_loaded_and_the_oldest_are_removed(folder):
    fill(folder, 9, 10, 100)  # which as text would come in another order
    assert folder.steps() == [10, 100]
    state, header = folder.load()
    assert state["step"] == 100
    assert (header["step"], header["metadata"], header["damaged"]) == (100, {"note": "100"}, [])
    assert sorted(os.listdir(folder.path)) == ["checkpoint-10.safetensors", "checkpoint-100.safetensors"]


def test_a_damaged_one_is_passed_over_and_said_so(folder):
    fill(folder, 1, 2)
    damage(folder.path_of(2))
    with pytest.warns(CheckpointWarning, match=r"checkpoint-2.* checksum.*; going on from step 1$") as caught:
        state, header = folder.load()
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert (state["step"], header["step"]) == (1, 1)
    assert len(header["damaged"]) == 1
    assert "checkpoint-2" in header["damaged"][0]


def test_a_damaged_one_of_a_later_step_gives_way(folder):
    folder.keep = 1
    fill(folder, 5)
    damage(folder.path_of(5))
    fill(folder, 3)
    assert folder.steps() == [3]
    assert folder.load()[0]["step"] == 3


def test_a_whole_one_of_a_later_step_stays(folder):
    fill(folder, 5)
    with pytest.raises(ArgumentError, match="expected a step after 5, which has a checkpoint, got 3; go on from that"):
        fill(folder, 3)
    assert folder.steps() == [5]


def test_a_failed_save_leaves_the_last_one(folder, monkeypatch):
    folder.keep = 1
    fill(folder, 1)
    monkeypatch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        fill(folder, 2)
    monkeypatch.undo()
    assert os.listdir(folder.path) == ["checkpoint-1.safetensors"]
    assert folder.load()[0]["step"] == 1


def test_damaged_ones_do_not_count(folder):
    folder.keep = 3
    fill(folder, 1, 2, 3)
    damage(folder.path_of(2))
    damage(folder.path_of(3))
    fill(folder, 4, 5)
    assert folder.steps() == [1, 2, 3, 4, 5]
    fill(folder, 6)  # now three newer ones are whole
    assert folder.steps() == [4, 5, 6]


def test_damaged_ones_of_another_process_do_not_count(folder):
    fill(folder, 1, 2)
    damage(folder.path_of(2))
    again = CheckpointFolder(folder.path)
    again.keep = 2
    fill(again, 3)
    assert again.steps() == [1, 2, 3]
    fill(again, 4)
    assert again.steps() == [3, 4]


def test_only_what_is_not_known_is_read_and_once(folder, monkeypatch):
    folder.keep = 4
    fill(folder, 1, 2, 3)
    again = CheckpointFolder(folder.path, keep=4)
    again.load()
    seen = []
    monkeypatch.setattr(checkpoint_folder, "is_whole", lambda path: seen.append(path) or is_whole(path))
    fill(folder, 4)
    assert seen == []
    fill(again, 5, 6, 7, 8, 9)
    assert seen == [folder.path_of(step) for step in (4, 2)]


def test_what_cannot_be_read_here_is_neither_counted_nor_removed_as_damaged(folder):
    fill(folder, 1, 2)
    save_weights(folder.path_of(2), nnx.Linear(1, 1, rng=0))
    with pytest.raises(CheckpointError, match="expected a checkpoint, got weights alone"):
        fill(folder, 1)
    fill(folder, 3)
    assert folder.steps() == [1, 2, 3]
    folder.path_of(5).mkdir()
    with pytest.raises(CheckpointError, match="expected a readable file of weights, got: a folder and no file"):
        folder.expect_newest(4)


def test_verifying_takes_no_memory_for_the_arrays(folder):
    folder.save(1, {"x": np.zeros(2**21)})
    tracemalloc.start()
    assert is_whole(folder.path_of(1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22
    damage(folder.path_of(1))
    assert not is_whole(folder.path_of(1))


def test_the_same_step_is_replaced(folder):
    fill(folder, 1, 1)
    assert folder.steps() == [1]


def test_files_of_others_are_left_alone(folder):
    folder.path.mkdir(parents=True)
    names = ["checkpoint-01.safetensors", "checkpoint-7.safetensors.old", "checkpoint-x.safetensors", ".hidden.tmp"]
    for name in names:
        (folder.path / name).touch()
    fill(folder, 1, 2, 3)
    assert folder.steps() == [2, 3]
    assert set(names) <= set(os.listdir(folder.path))


def test_a_checkpoint_that_another_process_removes_meanwhile_is_not_missed(folder, monkeypatch):
    fill(folder, 1)
    other = CheckpointFolder(folder.path, keep=1)
    listed = folder.steps

    def steps():
        found = listed()
        if found == [1]:
            fill(other, 2)
        return found

    monkeypatch.setattr(folder, "steps", steps)
    state, header = folder.load()
    assert (state["step"], header["damaged"]) == (2, [])


def test_no_checkpoint_at_all(folder):
    with pytest.raises(CheckpointError, match=r"checkpoints: expected a checkpoint that is whole, got none; save one"):
        folder.load()
    fill(folder, 1, 2)
    damage(folder.path_of(1))
    damage(folder.path_of(2))
    with pytest.raises(CheckpointError, match=r"is whole, got .*checkpoint-2.*; .*checkpoint-1"):
        folder.load()


def test_a_path_that_is_no_folder(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", "nul\0l"):
        with pytest.raises(CheckpointError, match="expected a folder of checkpoints, got: "):
            CheckpointFolder(path).steps()


def test_a_folder_that_cannot_be_made(folder, monkeypatch):
    def refuse(path, mode=0o777):
        raise OSError(30, os.strerror(30), path)

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(OSError, match="Read-only file system; choose a folder that you may write to: "):
        fill(folder, 1)


def test_arguments(folder):
    with pytest.raises(ArgumentError, match="keep"):
        CheckpointFolder("x", keep=0)
    with pytest.raises(ArgumentError, match="step"):
        folder.save(-1, {})

"""Measure what docs/reliability.md promises of files: ``python tests/reliability/files.py``.

Kills a process again and again while it saves checkpoints, flips each bit of a checkpoint, cuts it at each byte, and
reads headers that take as much memory as they can. Prints a line for each; the exit code is 1 if a promise was broken.
"""

import argparse
import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import nnx
from nnx.errors import CheckpointError
from nnx.io import CheckpointFolder, load_checkpoint, save_checkpoint
from nnx.io.layout import MOST_HEADER_BYTES

SAVES = """
import sys, numpy as np
from nnx.io import CheckpointFolder
folder, x = CheckpointFolder(sys.argv[1]), np.arange(200_000.0)
first = folder.steps()[-1] + 1 if folder.steps() else 0
for step in range(first, first + 100_000):
    folder.save(step, {"step": step, "x": x + step})
    print(step, flush=True)
"""


def kill_saves(kills: int, seed: int) -> bool:
    """Kill a process that saves; return whether the last checkpoint that it reported, or the next, is always read."""
    rng, unfinished, good = random.Random(seed), 0, 0
    with tempfile.TemporaryDirectory() as path:
        folder = CheckpointFolder(path)
        for _ in range(kills):
            process = subprocess.Popen([sys.executable, "-c", SAVES, path], stdout=subprocess.PIPE, text=True)
            first = process.stdout.readline()  # it is saving from now on
            time.sleep(rng.uniform(0, 0.02))
            process.send_signal(signal.SIGKILL)
            reported = int((first + process.communicate()[0]).split()[-1])
            unfinished += any(name.endswith(".nnx-tmp") for name in os.listdir(path))
            state, header = folder.load()
            whole = np.array_equal(state["x"], np.arange(200_000.0) + state["step"])
            good += whole and not header["damaged"] and header["step"] in (reported, reported + 1)
            save_checkpoint(Path(path, "other.safetensors"), {})
            good -= any(name.endswith(".nnx-tmp") for name in os.listdir(path))
    print(f"{kills} kills: {good} left a whole checkpoint, the last or the one under way; {unfinished} during a write")
    return good == kills


def damage() -> bool:
    """Flip each bit of a checkpoint and cut it at each byte; return whether all was found, or changed nothing."""
    model = nnx.Model([nnx.Linear(3, 4, rng=0), nnx.ReLU(), nnx.Linear(4, 2, rng=0)])
    trainer = nnx.Trainer(model, nnx.MSE(), nnx.Adam(model))
    trainer.fit((np.ones((4, 3), np.float32), np.ones((4, 2), np.float32)), epochs=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "run.safetensors")
        save_checkpoint(path, trainer.state_dict(), {"config": model.config()})
        whole, expected = path.read_bytes(), repr(load_checkpoint(path))
        outcomes = {"found": 0, "harmless": 0, "missed": 0}
        for bit in range(8 * len(whole)):
            path.write_bytes(whole[: bit // 8] + bytes([whole[bit // 8] ^ 1 << bit % 8]) + whole[bit // 8 + 1 :])
            outcomes[_outcome(path, expected)] += 1
        cuts = 0
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            cuts += _outcome(path, expected) == "found"
    print(f"{8 * len(whole)} flipped bits of a checkpoint of {len(whole)} bytes: {outcomes}")
    print(f"{len(whole)} cuts: {cuts} found")
    return not outcomes["missed"] and cuts == len(whole)


def _outcome(path: Path, expected: str) -> str:
    try:
        return "harmless" if repr(load_checkpoint(path)) == expected else "missed"
    except CheckpointError:
        return "found"


HEADERS = {
    "empty lists": ("[]", 3),
    "mappings": ('{"":0}', 7),
    "numbers": ("1e1", 4),
}
READ = """
import resource, sys
from nnx.io import load_checkpoint
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    load_checkpoint(sys.argv[1])
except ValueError:
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def memory() -> bool:
    """Read headers of the largest size; return whether all stay below a gigabyte."""
    most = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "header")
        for item, length in HEADERS.values():
            text = '{"x":[' + ",".join([item] * ((MOST_HEADER_BYTES - 100) // length)) + "]}"
            path.write_bytes(struct.pack("<Q", len(text)) + text.encode())
            result = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True, check=True)
            most = max(most, int(result.stdout))
        claim = json.dumps({"x": {"dtype": "U8", "shape": [2**40], "data_offsets": [0, 2**40]}}).encode()
        path.write_bytes(struct.pack("<Q", len(claim)) + claim)
        result = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True, check=True)
    claimed = int(result.stdout)
    print(f"headers of {MOST_HEADER_BYTES >> 20} MiB take up to {most} MiB; a claim of 2**40 bytes takes {claimed} MiB")
    return most < 1024 and claimed < 10


def main() -> int:
    """Measure everything; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", help="kills, damage, memory; all by default")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    measures = {"kills": lambda: kill_saves(options.kills, options.seed), "damage": damage, "memory": memory}
    held = [measures[name]() for name in options.what or measures]
    return not all(held)


if __name__ == "__main__":
    sys.exit(main())

"""Peak memory and speed of an epoch of training over a file that is larger than what the process may hold.

A file of the chosen size is made in a temporary folder: rows of 1,024 float32 numbers. A small model is trained on all
of them for one epoch, in the order of the file and in shuffled order, through ``nnx.data.ArrayFile``, and for
comparison through a mapping (``numpy.load(..., mmap_mode="r")``). The peak is by how much the resident memory of the
process rises at most above what it was after a first step on a few rows. Each epoch runs in a process of its own. Linux
only: it is the kernel that keeps the peak.

Run: ``python benchmarks/larger_than_memory.py --gib 4``. ``--folder`` says where the file goes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from peak import resident

import nnx

FEATURES = 1024
BATCH = 256
CASES = [("file", "sequential"), ("file", "shuffled"), ("map", "sequential"), ("map", "shuffled")]


def make_file(path, gib):
    """Write rows of numbers, and return how many."""
    rows = max(int(gib * 2**30) // (4 * FEATURES), 1)
    header = np.lib.format.header_data_from_array_1_0(np.empty((0, FEATURES), np.float32))
    piece = np.random.default_rng(0).normal(size=(4096, FEATURES)).astype(np.float32)
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {**header, "shape": (rows, FEATURES)})
        for start in range(0, rows, len(piece)):
            part = piece[: rows - start]
            part[:, 0] = np.arange(start, start + len(part))  # so that it can be seen which rows were read
            part[:, 0] %= 2**20
            part.tofile(file)
    return rows


def train(path, reader, order, workers):
    """Train for an epoch, and print what was measured."""
    x = nnx.data.ArrayFile(path) if reader == "file" else np.load(path, mmap_mode="r")
    y = np.arange(len(x), dtype=np.int32) % 10
    model = nnx.Model([nnx.Linear(FEATURES, 16, rng=0), nnx.ReLU(), nnx.Linear(16, 10, rng=1)])
    step = nnx.training.make_step(nnx.CrossEntropy(), nnx.SGD(model, 1e-6))
    data = nnx.data.as_dataset((x, y))
    step(model, data[:BATCH])
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    start, seen, checksum = time.perf_counter(), 0, 0
    for batch in nnx.data.DataLoader(data, BATCH, shuffle=order == "shuffled", workers=workers):
        step(model, batch)
        seen += len(batch[1])
        checksum += int(batch[0][:, 0].sum(dtype=np.float64))
    seconds = time.perf_counter() - start
    assert checksum == int((np.arange(len(x)) % 2**20).sum()), "some rows were not read, or not once"
    rise = resident("VmHWM") - before
    print(json.dumps({"samples": seen, "rise_mib": rise / 2**20, "samples_per_s": seen / seconds}))


def main():
    """Print a row for each way of reading."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gib", type=float, default=4)
    parser.add_argument("--folder", help="where the file is made; by default the system's folder for temporary files")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--reader", choices=["file", "map"], help="only this one")
    parser.add_argument("--train", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(*options.train, options.workers)
        return
    print(f"{'reader':8} {'order':12} {'samples':>9} {'file MiB':>9} {'peak MiB':>9} {'samples/s':>10}")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "x.npy"
        make_file(path, options.gib)
        for reader, order in CASES:
            if options.reader in (None, reader):
                command = [sys.executable, __file__, "--workers", str(options.workers), "--train", path, reader, order]
                found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                size, rise, speed = path.stat().st_size / 2**20, found["rise_mib"], found["samples_per_s"]
                print(f"{reader:8} {order:12} {found['samples']:9} {size:9.0f} {rise:9.1f} {speed:10.0f}", flush=True)


if __name__ == "__main__":
    main()

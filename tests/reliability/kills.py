"""Kill training runs at random moments, resume them, and compare what they end with.

``python tests/reliability/kills.py --kills 100`` starts ``nnx train`` again and again, sends SIGKILL at a random moment
of it, and goes on with ``nnx train --resume``, until each run has ended. It then compares the weights, bit by bit, and
the history and the plots, byte by byte, with those of a run that nobody has killed, and looks for files that were left.
"""

import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from nnx.io import load_weights

MODELS = {
    "perceptron": ["--epochs", "40"],
    "perceptron, Adam, float64": ["--optimizer", "adam", "--dtype", "float64", "--hidden", "50,50", "--epochs", "25"],
    "lenet, with dropout": ["--model", "lenet", "--optimizer", "adamw", "--epochs", "3", "--batch-size", "64"],
}
FILES = ["checkpoints", "config.json", "confusion.png", "curves.png", "history.csv", "model.safetensors"]
SHOWN = ("history.csv", "curves.png", "confusion.png")


@dataclass
class Tally:
    """What happened to the runs of a model."""

    kills: int = 0
    runs: int = 0
    before: int = 0  # kills before a run had begun, which is then started again
    problems: list[str] = field(default_factory=list)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "nnx.cli", "train", "--quiet", *arguments]


def run_to_the_end(arguments: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command(*arguments), check=True)
    return time.perf_counter() - start


def killed(arguments: list[str], seconds: float) -> tuple[bool, str]:
    """Run a command and kill it after some seconds; return whether it was killed, and what it said otherwise."""
    process = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, text=True)
    try:
        _, said = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True, ""
    return process.returncode == -signal.SIGKILL, said if process.returncode else ""


def compare(found: Path, expected: Path) -> list[str]:
    """Return how a run differs from another."""
    problems = []
    ours, theirs = (load_weights(folder / "model.safetensors")[0] for folder in (found, expected))
    if ours.keys() != theirs.keys() or any(not np.array_equal(ours[name], theirs[name]) for name in theirs):
        problems.append("other weights")
    problems += [f"another {name}" for name in SHOWN if (found / name).read_bytes() != (expected / name).read_bytes()]
    files = sorted(path.name for path in found.iterdir())
    left = [path.name for path in found.rglob(".*")]
    if files != FILES or left:
        problems.append(f"files {files}, hidden {left}")
    return problems


def has_begun(run: Path, old: Path) -> bool:
    """Whether there is a new run, and not only the one that it is to replace."""
    begun = run / "checkpoints" / "begun.json"
    return begun.exists() and begun.read_bytes() != (old / "checkpoints" / "begun.json").read_bytes()


def try_model(name: str, kills: int, rng: random.Random, place: Path) -> Tally:
    tally, arguments = Tally(), MODELS[name]
    expected, old = place / "expected", place / "old"
    seconds = run_to_the_end([*arguments, "--out", str(expected)])
    run_to_the_end(["--epochs", "1", "--seed", "7", "--out", str(old)])
    while tally.kills < kills:
        run, tally.runs = place / f"run-{tally.runs}", tally.runs + 1
        start = [*arguments, "--out", str(run)]
        if rng.random() < 0.5:  # over a finished run, which must stay whole until the new one is
            shutil.copytree(old, run)
            start.append("--overwrite")
        step, ended = start, False
        while not ended:
            # Not killed any more once there were enough, so that the last run comes to its end.
            limit = rng.uniform(0.0, 1.1 * seconds) if tally.kills < kills else 60.0 + 10.0 * seconds
            was_killed, said = killed(step, limit)
            tally.kills += was_killed
            ended = not was_killed
            if said:
                tally.problems.append(said.strip())
            if was_killed and not has_begun(run, old):
                tally.before += 1
            if (run / "model.safetensors").exists():
                load_weights(run / "model.safetensors")  # the old one or the new one, and whole
            step = ["--resume", str(run)] if has_begun(run, old) else start
        tally.problems += compare(run, expected)
        shutil.rmtree(run)
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, failed = random.Random(options.seed), False
    print("| model | runs | kills | before the run had begun | problems |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as place:
        for number, name in enumerate(MODELS):
            share = options.kills * (number + 1) // len(MODELS) - options.kills * number // len(MODELS)
            folder = Path(place, str(number))
            folder.mkdir()
            tally = try_model(name, share, rng, folder)
            problems = "; ".join(tally.problems) or "none"
            print(f"| {name} | {tally.runs} | {tally.kills} | {tally.before} | {problems} |", flush=True)
            failed |= bool(tally.problems)
    sys.exit(failed)


if __name__ == "__main__":
    main()

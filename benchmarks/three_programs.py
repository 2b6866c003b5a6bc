"""The three programs of the pages "Coming from ...": nnx against PyTorch, scikit-learn and Keras on JAX, in turns.

The code is that of the pages, whole: a model is made, trained and saved. Only early stopping is put off, and
scikit-learn is given the batches and the epochs of the others, so that all do as much work. Libraries that are not
installed are left out. On one core, with one thread: ``python benchmarks/three_programs.py``.
"""

import argparse
import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
import warnings
from importlib.util import find_spec
from pathlib import Path

import processor

ROOT = Path(__file__).parents[1]
LIBRARIES = {  # by module: the page, and what a block of the library contains
    "torch": ("coming-from-pytorch.md", "import torch\n"),
    "sklearn": ("coming-from-scikit-learn.md", "from sklearn"),
    "keras": ("coming-from-keras.md", "import keras\n"),
}
AS_MUCH_WORK = {
    "patience=3": "patience=1000",
    "waited == 3": "waited == 1000",
    "n_iter_no_change=3": "n_iter_no_change=1000",
    "max_iter=100": "max_iter=20",
    "max_iter=200": "max_iter=20, batch_size=32",
    "tol=1e-2": "tol=0.0",
}
PROGRAMS = ("A classifier", "A regression", "Images")
INCOMPARABLE = {("sklearn", "Images")}  # it has no convolutions


def sources_of(module, program, epochs):
    """Return what a page needs before a program, the library's program, and that of nnx."""
    from pages import blocks_of

    page, sign = LIBRARIES[module]
    before, theirs, ours = [], "", ""
    for heading, source in blocks_of(ROOT / "docs" / page):
        for old, new in AS_MUCH_WORK.items():
            source = source.replace(old, new)
        for old in ("epochs=20", "range(20)", "max_iter=20"):
            source = source.replace(old, old.replace("20", str(epochs)))
        if sign in source:
            theirs = source if heading.startswith(program) else theirs
        elif "nnx.Trainer" in source:
            ours = source if heading.startswith(program) else ours
        else:
            before.append(source)
    if not theirs or not ours:
        raise SystemExit(f"docs/{page}: expected both programs below {program!r}")
    return before, theirs, ours


def as_function(source, page, names):
    """Return a function that runs a program, in an empty folder, with names of its own."""
    from pages import run

    def program():
        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.chdir(folder),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            run(source, page, dict(names))

    return program


def compare(module, program, options):
    """Print a line."""
    from pages import run
    from timing import interleaved

    page, names = ROOT / "docs" / LIBRARIES[module][0], {}
    before, theirs, ours = sources_of(module, program, options.epochs)
    for source in before:
        run(source, page, names)
    functions = {"nnx": as_function(ours, page, names), module: as_function(theirs, page, names)}
    clock = {"cpu": time.process_time, "wall": time.perf_counter}[options.clock]
    times = interleaved(functions, rounds=options.rounds, budget=options.budget, shortest=0.0, clock=clock)
    ratio = statistics.median(a / b for a, b in zip(times["nnx"], times[module], strict=True))
    own, base = (1e3 * statistics.median(times[name]) for name in functions)
    print(f"{program:14} {module:8} {base:9.0f} {own:8.0f} {ratio:11.2f} {len(times['nnx']):7}", flush=True)


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=21, help="at most so many (%(default)s)")
    parser.add_argument("--budget", type=float, default=15.0, help="seconds for the rounds of a line (%(default)s)")
    parser.add_argument("--clock", choices=("cpu", "wall"), default="cpu")
    parser.add_argument("--epochs", type=int, default=20, help="of the first two programs (%(default)s)")
    parser.add_argument("--only", default="", help="only programs whose name has this in it")
    parser.add_argument("--peers", default=",".join(LIBRARIES), help="default all: %(default)s")
    options = parser.parse_args()
    processor.pin()
    os.environ.setdefault("KERAS_BACKEND", "jax")
    warnings.simplefilter("ignore")  # scikit-learn tells that it has not converged
    sys.path.append(str(ROOT / "tests" / "helpers"))  # where pages.py is

    from nnx.backend import keep_freed_memory

    keep_freed_memory()
    text = "".join((ROOT / "docs" / page).read_text("utf-8") for page, _ in LIBRARIES.values())
    if gone := [old for old in AS_MUCH_WORK if old not in text]:
        raise SystemExit(f"the pages have no {gone[0]} any more; change AS_MUCH_WORK")
    print(f"{'program':14} {'library':8} {'theirs ms':>9} {'nnx ms':>8} {'nnx/theirs':>11} {'rounds':>7}")
    for program in filter(lambda name: options.only in name, PROGRAMS):
        for module in filter(find_spec, options.peers.split(",")):
            if (module, program) not in INCOMPARABLE:
                compare(module, program, options)


if __name__ == "__main__":
    main()

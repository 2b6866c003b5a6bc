"""Read many damaged inputs: ``python tests/fuzz/fuzz.py TARGET --inputs 100000 --seed 0``, with a target or ``all``.

An input may be read, or be refused by an error of nnx in one line. Anything else is a failure: it is printed with its
traceback, its bytes are kept, and the exit code is 1. New inputs are made from old ones, preferably from those that
ended in a new place: with ``--atheris`` (``pip install atheris``) a line of nnx that no input had reached, otherwise a
new path through the calls to the error. The same seed gives the same inputs.
"""

import argparse
import resource
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any, NoReturn

from mutation import Mutator

_MOST_CORPUS = 5000


class Run:
    """Reads inputs and counts what came of them."""

    def __init__(self, name: str, memory: int) -> None:
        from targets import TARGETS

        from nnx.errors import NnxError

        self.name, self.target, self._own = name, TARGETS[name], NnxError
        self.seeds = self.target.seeds()
        self.inputs = self.read = self.failures = 0
        self.slowest = 0.0
        self.ends: set[Any] = set()
        self._start, self._before = time.perf_counter(), _peak()
        _limit_memory(memory)

    def one(self, data: bytes) -> bool:
        """Read an input; return whether it ended in a new place."""
        self.inputs += 1
        start = time.perf_counter()
        try:
            self.target.read(data)
            self.read += 1
            end: Any = "read"
        except self._own as error:
            end = _place(error)
            if "\n" in str(error):
                self._fail(data, "an error of more than one line")
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            end = _place(error)
            self._fail(data, traceback.format_exc()) if end not in self.ends else None
        self.slowest = max(self.slowest, time.perf_counter() - start)
        is_new = end not in self.ends
        self.ends.add(end)
        return is_new

    def _fail(self, data: bytes, reason: str) -> None:
        self.failures += 1
        path = Path(f"failure-{self.name}-{self.failures}")
        path.write_bytes(data)
        print(f"{reason}\n{path}: {data[:300]!r}", file=sys.stderr, flush=True)

    def report(self) -> None:
        """Print one line."""
        seconds = time.perf_counter() - self._start
        print(
            f"{self.name}: {self.inputs} inputs, {self.read} read, {len(self.ends)} ends, {self.failures} failures, "
            f"{seconds:.0f} s, slowest {self.slowest:.2f} s, {_peak() - self._before:.0f} MiB above the start",
            flush=True,
        )


def _place(error: BaseException) -> Any:
    """Return the lines of the calls to an error and to its cause."""
    lines = []
    chain: BaseException | None = error
    while chain is not None:
        lines += [(frame.f_code.co_name, line) for frame, line in traceback.walk_tb(chain.__traceback__)][-6:]
        chain = chain.__cause__
    return type(error).__name__, tuple(lines)


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _limit_memory(megabytes: int) -> None:
    """Let the process grow by so much from now on."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + megabytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def run_alone(run: Run, inputs: int, seed: int) -> None:
    """Make the inputs here."""
    mutator = Mutator(seed, run.target.tokens)
    corpus = list(run.seeds)
    for data in run.seeds:
        run.one(data)
    while run.inputs < inputs:
        data = mutator.mutate(mutator.rng.choice(corpus), mutator.rng.choice(corpus))
        if run.one(data) and len(corpus) < _MOST_CORPUS:
            corpus.append(data)


def run_atheris(run: Run, inputs: int, seed: int) -> NoReturn:
    """Let atheris make the inputs, whose corpus grows with each that reaches new lines."""
    import atheris

    mutator = Mutator(seed, run.target.tokens)
    folder = Path(f"corpus-{run.name}")
    folder.mkdir(exist_ok=True)
    for i, data in enumerate(run.seeds):
        (folder / f"seed-{i}").write_bytes(data)

    def mutate(data: bytes, most: int, number: int) -> bytes:
        mutator.rng.seed(number)
        if number % 3 == 0:
            return atheris.Mutate(data, most)
        return mutator.mutate(data, mutator.rng.choice(run.seeds))[:most]

    def one(data: bytes) -> None:
        run.one(data)
        if run.inputs == inputs:
            run.report()

    options = [f"-runs={inputs}", f"-seed={seed + 1}", "-max_len=131072", "-rss_limit_mb=0", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(folder)], one, custom_mutator=mutate)
    atheris.Fuzz()
    raise AssertionError("atheris ends the process itself")


def main() -> int:
    """Do what the command line says; return 1 if there were failures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", type=int, default=1024, help="MiB that reading may take")
    parser.add_argument("--atheris", action="store_true")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.atheris:
        import atheris

        with atheris.instrument_imports(include=["nnx"]):
            import targets
    else:
        import targets
    names = list(targets.TARGETS) if options.target == "all" else [options.target]
    failures = 0
    try:
        for name in names:
            run = Run(name, options.memory)
            (run_atheris if options.atheris else run_alone)(run, options.inputs, options.seed)
            run.report()
            failures += run.failures
    finally:
        shutil.rmtree(targets.FOLDER, ignore_errors=True)
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())

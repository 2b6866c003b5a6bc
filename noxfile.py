"""The one door: lint, types, tests on each array library, examples, docs, package.

``nox`` runs what a change must pass, ``nox -s full`` the whole matrix, ``nox -l`` lists the sessions, and
``nox -s tests -- -k linear`` hands arguments on to pytest. The last lines say which columns of the matrix, a Python
and what it was tested on, were not run and why.

======================  ================================================================================================
``NNX_TORCH``           what pip installs as PyTorch, default ``torch==2.13.0``; on Linux that may be a CUDA build of
                        several gigabytes, where a file or address of a build for CPUs will do
``NNX_REQUIRE``         kinds of column without which the run fails, besides ``tests``: ``reference``, ``jax``
======================  ================================================================================================
"""

import atexit
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = True

TORCH = os.environ.get("NNX_TORCH") or "torch==2.13.0"
PYPROJECT = nox.project.load_toml("pyproject.toml")
SUPPORTED = nox.project.python_versions(PYPROJECT)
KINDS = {
    "tests": "NumPy with Numba, read-only NumPy, array-api-strict",
    "reference": "torch, and PyTorch as reference",
    "jax": "JAX",
}
REQUIRED = ["tests", *os.environ.get("NNX_REQUIRE", "").replace(",", " ").split()]
NOT_TO_BE_HAD = ("No matching distribution found", "ResolutionImpossible")  # pip's words for "none for this Python"

QUICK_XLA = (
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true --xla_cpu_use_fusion_emitters=false"
)
"""For tests that compile tens of thousands of programs and run most of them once: two thirds of the time."""
EVERY_ROW = "--every-row"
LAST_DIGITS = "tests/autodiff/test_rules_range.py"
"""Asks for more digits of tanh than these flags leave, so that it runs without them."""

OUTCOMES: dict[str, str] = {}
"""What became of each column so far, by the name of its session: "passed", "failed", or why it was not run."""


def start(version: str) -> subprocess.CompletedProcess[str] | None:
    """Start an interpreter, and return how it ended, or None if there is none."""
    launcher = shutil.which("py") if sys.platform == "win32" else None
    program = shutil.which(f"python{version}")
    if program is None and launcher is None:
        return None
    command = [program] if program else [launcher, f"-{version}"]
    return subprocess.run([*command, "-c", ""], capture_output=True, text=True, check=False)


def why_absent(version: str, starting: Callable[[str], subprocess.CompletedProcess[str] | None] = start) -> str | None:
    """Say why an interpreter cannot be used, or return None if it can.

    A version manager may have put a program there that does not start.
    """
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return None
    ended = starting(version)
    if ended is None:
        return f"no program python{version} was found"
    said = next(iter(ended.stderr.splitlines()), f"exit code {ended.returncode}")
    return f"python{version} does not start: {said}" if ended.returncode else None


def choose(pythons: Sequence[str]) -> dict[str, str]:
    """Return the columns that a change must pass: each kind on one Python, each Python with one kind if they suffice.

    PyTorch's wheels are the last to come for a new Python, so it is given the oldest.
    """
    return {"tests": pythons[-1], "reference": pythons[0], "jax": pythons[len(pythons) // 2]}


def describe(
    absent: Mapping[str, str], pythons: Iterable[str], outcomes: Mapping[str, str], required: Iterable[str]
) -> tuple[list[str], list[str]]:
    """Return the lines about the matrix, and the required kinds of which no column was run.

    Parameters
    ----------
    absent
        Why a supported Python cannot be used, by version.
    pythons
        The versions that can.
    outcomes
        As :data:`OUTCOMES`.
    required
        Kinds of column, as in :data:`KINDS`.
    """
    columns = {f"{kind}-{version}": kind for version in pythons for kind in KINDS}
    ran = [name for name in columns if outcomes.get(name) in ("passed", "failed")]
    left_out = {name: outcomes.get(name, "not chosen; nox -s full runs it") for name in columns if name not in ran}
    lines = ["The matrix, run:", *(f"  {name} ({KINDS[columns[name]]}): {outcomes[name]}" for name in ran)]
    if not ran:
        lines.append("  nothing")
    lines.append("The matrix, not run:")
    lines += [f"  Python {version}: {why}" for version, why in absent.items()]
    lines += [f"  {name} ({KINDS[columns[name]]}): {why}" for name, why in left_out.items()]
    lines.append("  CuPy: no session installs it; run pytest --backend cupy where there is a CUDA device")
    return lines, [kind for kind in required if kind not in {columns[name] for name in ran}]


ABSENT = {version: why for version in SUPPORTED if (why := why_absent(version))}
PYTHONS = [version for version in SUPPORTED if version not in ABSENT]
if not PYTHONS:
    raise SystemExit("nox: no supported Python starts, so nothing can be run: " + "; ".join(ABSENT.values()))
OLDEST, NEWEST = PYTHONS[0], PYTHONS[-1]
CHECKS = ["lint", "docs", "package"]
nox.options.sessions = [
    *("lint", *(f"{kind}-{version}" for kind, version in choose(PYTHONS).items())),
    *(f"examples-{NEWEST}", "docs", "package", "report"),
]


def install(session: nox.Session, *groups: str, extras: str = "cli") -> None:
    """Install the project with an extra, and dependency groups of its own."""
    session.install(f".[{extras}]", *nox.project.dependency_groups(PYPROJECT, *groups))


def install_library(session: nox.Session, requirement: str) -> None:
    """Install an array library; where there is none for this Python, the column is not run, and the report says so."""
    said = session.run("python", "-m", "pip", "install", requirement, silent=True, success_codes=[0, 1]) or ""
    if any(words in said for words in NOT_TO_BE_HAD):
        OUTCOMES[session.name] = f"pip finds no {requirement} for this Python"
        session.skip(OUTCOMES[session.name])
    if "Successfully installed" not in said and "already satisfied" not in said:
        session.error(said)


def pytest(session: nox.Session, *arguments: str, xla_flags: str = "") -> None:
    """Run pytest on all cores; ``-- -n 0`` takes one process, for a debugger."""
    # One thread a worker: BLAS, torch and XLA would start one for each core in every worker.
    env = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    if xla_flags:  # before those of the user, as XLA takes the last value that a flag is given
        env["XLA_FLAGS"] = " ".join(filter(None, (xla_flags, os.environ.get("XLA_FLAGS"))))
    # A worker with JAX takes up to 4 GB, so a machine with many cores gets no worker for each.
    session.run("pytest", "--numprocesses=auto", "--maxprocesses=8", *arguments, *session.posargs, env=env)


def run_column(
    session: nox.Session, *arguments: str, library: str | None = None, group: str = "tests", extras: str = "cli"
) -> None:
    """Run one column of the matrix, and keep how it ended for the report."""
    OUTCOMES[session.name] = "failed"
    install(session, group, extras=extras)
    if library:
        install_library(session, library)
    common = ("--ignore=tests/examples", *arguments)
    if library == "jax" and set(session.posargs) <= {EVERY_ROW}:
        pytest(session, *common, LAST_DIGITS)
        pytest(session, *common, f"--ignore={LAST_DIGITS}", xla_flags=QUICK_XLA)
    else:
        pytest(session, *common)
    OUTCOMES[session.name] = "passed"


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Test on NumPy, with and without Numba's kernels, on read-only NumPy and array-api-strict."""
    run_column(session, extras="cli,fast")


@nox.session(python=PYTHONS)
def reference(session: nox.Session) -> None:
    """Test on torch arrays, and compare every function, layer and loss with PyTorch's."""
    run_column(session, "--backend=torch", library=TORCH, group="reference")


@nox.session(python=PYTHONS)
def jax(session: nox.Session) -> None:
    """Test on JAX arrays: the first row of each record of the battery, with ``-- --every-row`` all of them.

    With other arguments, all is compiled as a user's program would be.
    """
    run_column(session, "-m", "backend", "--backend=jax", library="jax")


@nox.session(python=PYTHONS)
def examples(session: nox.Session) -> None:
    """Run every example at a small setting, and check what it claims."""
    install(session, "tests")
    pytest(session, "tests/examples")


@nox.session(python=NEWEST)
def docs(session: nox.Session) -> None:
    """Build the pages, and run every code block and docstring example."""
    install(session, "tests", "docs")
    pytest(session, "tests/test_docs.py", "tests/test_doctests.py")
    session.run("mkdocs", "build", "--strict", "--quiet", "--site-dir", session.create_tmp() + "/site")


@nox.session(python=OLDEST)
def conformance(session: nox.Session) -> None:
    """Run the array API test suite, from a checkout of it, on namespaces in which every array is traced."""
    if not session.posargs:
        session.error("give the path of a checkout of data-apis/array-api-tests; see tests/conformance/README.md")
    install(session, "tests")
    session.install("-r", f"{session.posargs[0]}/requirements.txt")
    session.run("python", "tests/conformance/run_suite.py", *session.posargs)


@nox.session(python=PYTHONS[len(PYTHONS) // 2])  # new enough for advect, old enough for wheels of PyTorch
def bench(session: nox.Session) -> None:
    """Time nnx beside its peers, on one core; those that pip does not find for this Python are left out."""
    install(session, extras="cli,fast")
    for requirement in (TORCH, "jax", "scikit-learn", "autograd", "advect", "threadpoolctl"):
        session.run("python", "-m", "pip", "install", "--quiet", requirement, success_codes=[0, 1])
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(python=OLDEST)
def lint(session: nox.Session) -> None:
    """Check style, format and types."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session(python=OLDEST)
def package(session: nox.Session) -> None:
    """Build the wheel, install it alone, and run the command from outside the checkout."""
    outside = Path(session.create_tmp())
    session.run("pip", "wheel", ".", "--no-deps", "--quiet", "--wheel-dir", str(outside / "wheel"))
    (wheel,) = sorted((outside / "wheel").glob("*.whl"))[-1:]
    session.install(f"nnx-array[cli] @ {wheel.resolve().as_uri()}")
    session.chdir(outside)
    session.run("nnx", "backends")
    session.run("nnx", "train", "--epochs", "5", "--out", "run", "--overwrite")
    session.run("nnx", "evaluate", "run")


@nox.session(python=False)
def full(session: nox.Session) -> None:
    """Run every column of the matrix, the examples on every Python, and all else that a change must pass."""
    for name in CHECKS:
        session.notify(name)
    for kind in (*KINDS, "examples"):
        for version in PYTHONS:
            session.notify(f"{kind}-{version}", [EVERY_ROW] if kind == "jax" else [])
    session.notify("report")


@nox.session(python=False)
def report(session: nox.Session) -> None:
    """Say which columns of the matrix were not run and why; fail if a kind that is required was not run at all."""
    lines, missing = describe(ABSENT, PYTHONS, OUTCOMES, REQUIRED)
    atexit.register(print, *lines, sep="\n", file=sys.stderr)  # after nox's own summary, where it is read
    if missing:
        session.error(f"no column of these kinds was run: {', '.join(missing)}")

"""The one door: lint, types, tests on each array library, examples, docs, package.

``nox`` runs what a contributor needs, ``nox -l`` lists the sessions, and ``nox -s tests -- -k linear`` hands arguments
on to pytest.
"""

import shutil
import subprocess
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False
nox.options.sessions = ["lint", "tests", "reference", "jax", "examples", "docs", "package"]

REFERENCE_PYTHON = "3.11"
TORCH = "torch==2.13.0"
PYPROJECT = nox.project.load_toml("pyproject.toml")


def works(version: str) -> bool:
    """Tell whether an interpreter starts: a version manager may have put a program there that does not."""
    program = shutil.which(f"python{version}")
    return program is not None and subprocess.run([program, "-c", ""], capture_output=True, check=False).returncode == 0


def install(session: nox.Session, *groups: str, extras: str = "cli") -> None:
    """Install the project with an extra, and dependency groups of its own."""
    session.install(f".[{extras}]", *nox.project.dependency_groups(PYPROJECT, *groups))


@nox.session(python=[version for version in ("3.11", "3.12", "3.13") if works(version)])
def tests(session: nox.Session) -> None:
    """Test on NumPy, read-only NumPy and array-api-strict, and on CuPy where it finds a CUDA device."""
    install(session, "tests")
    session.run("pytest", "--ignore=tests/examples", *session.posargs)


@nox.session(python=REFERENCE_PYTHON)
def reference(session: nox.Session) -> None:
    """Test on torch arrays, and compare every layer and loss with PyTorch's."""
    install(session, "tests")
    session.install(TORCH)
    session.run("pytest", "--ignore=tests/examples", "--backend=torch", *session.posargs)


@nox.session(python=REFERENCE_PYTHON)
def jax(session: nox.Session) -> None:
    """Test on JAX arrays."""
    install(session, "tests")
    session.install("jax")
    session.run("pytest", "-m", "backend", "--backend=jax", *session.posargs)


@nox.session(python=REFERENCE_PYTHON)
def examples(session: nox.Session) -> None:
    """Run every example at a small setting, and check what it claims."""
    install(session, "tests")
    session.run("pytest", "tests/examples", *session.posargs)


@nox.session(python=REFERENCE_PYTHON)
def docs(session: nox.Session) -> None:
    """Build the pages, and run every code block and docstring example."""
    install(session, "tests", "docs")
    session.run("pytest", "tests/test_docs.py", "tests/test_doctests.py", *session.posargs)
    session.run("mkdocs", "build", "--strict", "--quiet", "--site-dir", session.create_tmp() + "/site")


@nox.session(python=REFERENCE_PYTHON)
def conformance(session: nox.Session) -> None:
    """Run the array API test suite, from a checkout of it, on namespaces in which every array is traced."""
    if not session.posargs:
        session.error("give the path of a checkout of data-apis/array-api-tests; see tests/conformance/README.md")
    install(session, "tests")
    session.install("-r", f"{session.posargs[0]}/requirements.txt")
    session.run("python", "tests/conformance/run_suite.py", *session.posargs)


@nox.session(python=REFERENCE_PYTHON)
def lint(session: nox.Session) -> None:
    """Check style, format and types."""
    install(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")


@nox.session(python=REFERENCE_PYTHON)
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

"""The logic of the noxfile: which Pythons are used, which columns are chosen, and what the end of the output says."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

nox = pytest.importorskip("nox", reason="nox is not installed")
ROOT = Path(__file__).parents[1]
OWN = ".".join(map(str, sys.version_info[:2]))


def load(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("nox.registry._REGISTRY", {})
    spec = importlib.util.spec_from_file_location("noxfile", ROOT / "noxfile.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def noxfile(monkeypatch):
    for name in ("NNX_REQUIRE", "NNX_TORCH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(nox.options, "sessions", None)
    monkeypatch.setattr("subprocess.run", lambda *args, **kwargs: ended(0))  # every Python that is found starts
    return load(ROOT, monkeypatch)


def ended(code, stderr=""):
    return subprocess.CompletedProcess([], code, "", stderr)


def test_an_interpreter_is_there_if_it_starts(noxfile):
    assert noxfile.why_absent("3.99", lambda version: ended(0)) is None
    assert noxfile.why_absent("3.99", lambda version: None) == "no program python3.99 was found"
    broken = ended(127, "manager: python3.99: command not found\nit exists in 3.99.1\n")
    said = "python3.99 does not start: manager: python3.99: command not found"
    assert noxfile.why_absent("3.99", lambda version: broken) == said
    assert noxfile.why_absent("3.99", lambda version: ended(3)) == "python3.99 does not start: exit code 3"


def test_the_python_that_runs_nox_is_always_there(noxfile):
    assert noxfile.why_absent(OWN, lambda version: None) is None


def test_the_program_of_a_version_is_started(noxfile, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert noxfile.start("3.99") is None
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    monkeypatch.setattr("subprocess.run", lambda command, **options: command)
    assert noxfile.start("3.99")[0] in ("/bin/python3.99", "/bin/py")


@pytest.mark.parametrize("pythons", [["3.11"], ["3.11", "3.13"], ["3.11", "3.12", "3.13"]])
def test_each_kind_and_each_python_is_chosen(noxfile, pythons):
    chosen = noxfile.choose(pythons)
    assert set(chosen) == set(noxfile.KINDS)
    assert set(chosen.values()) == set(pythons)
    assert chosen["reference"] == "3.11"


def test_a_bare_nox_runs_every_kind_once_and_ends_with_the_report():
    ended = run_nox(ROOT, "-l")
    assert ended.returncode == 0
    names = [line.split()[1] for line in ended.stdout.splitlines() if line.startswith("* ")]
    kinds = [name.partition("-")[0] for name in names]
    assert sorted(kinds) == sorted(["lint", "tests", "reference", "jax", "examples", "docs", "package", "report"])
    assert "\n- full -> " in ended.stdout


def run_nox(folder, *arguments):
    command = [sys.executable, "-m", "nox", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_end_says_what_was_not_run_and_why(noxfile):
    outcomes = {"tests-3.13": "passed", "jax-3.13": "failed", "reference-3.13": "pip finds no torch"}
    lines, missing = noxfile.describe({"3.11": "no program"}, ["3.12", "3.13"], outcomes, ["tests", "reference"])
    ran, left_out = "\n".join(lines).split("The matrix, not run:\n")
    assert ran == (
        "The matrix, run:\n  tests-3.13 (NumPy with Numba, read-only NumPy, array-api-strict): passed\n"
        "  jax-3.13 (JAX): failed\n"
    )
    assert "  Python 3.11: no program\n" in left_out
    assert "  reference-3.13 (torch, and PyTorch as reference): pip finds no torch\n" in left_out
    assert "  jax-3.12 (JAX): not chosen; nox -s full runs it\n" in left_out
    assert "tests-3.13" not in left_out
    assert missing == ["reference"]


def test_with_every_column_run_only_cupy_is_missing(noxfile):
    outcomes = {f"{kind}-3.12": "passed" for kind in noxfile.KINDS}
    lines, missing = noxfile.describe({}, ["3.12"], outcomes, noxfile.KINDS)
    assert lines[-2] == "The matrix, not run:"
    assert "CuPy" in lines[-1]
    assert missing == []


def test_nothing_run_is_an_error(tmp_path, monkeypatch):
    monkeypatch.delenv("NNX_REQUIRE", raising=False)
    shutil.copy(ROOT / "noxfile.py", tmp_path)
    write_pyproject(tmp_path, OWN)
    ended = run_nox(tmp_path, "-s", "report")
    assert ended.returncode == 1
    assert "no column of these kinds was run: tests" in ended.stderr
    assert ended.stderr.rstrip().splitlines()[-1].startswith("  CuPy: ")
    assert "The matrix, run:\n  nothing\n" in ended.stderr


def test_no_supported_python_is_an_error(tmp_path, monkeypatch):
    write_pyproject(tmp_path, "3.99")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(SystemExit, match=r"no supported Python starts.*no program python3\.99 was found"):
        load(tmp_path, monkeypatch)


def write_pyproject(folder, version):
    line = f'[project]\nclassifiers = ["Programming Language :: Python :: {version}"]\n'
    (folder / "pyproject.toml").write_text(line, "utf-8")


class Session:
    """A session of nox in which pip says what it is told to say."""

    def __init__(self, said):
        self.name, self.said = "reference-3.13", said

    def run(self, *command, **options):
        assert options["success_codes"] == [0, 1]
        return self.said

    def skip(self, why):
        raise LookupError(why)

    def error(self, said):
        raise RuntimeError(said)


def test_a_library_without_a_wheel_for_this_python_leaves_its_column_out(noxfile):
    for words in noxfile.NOT_TO_BE_HAD:
        with pytest.raises(LookupError, match=r"^pip finds no torch==2\.13\.0 for this Python$"):
            noxfile.install_library(Session(f"ERROR: {words} for torch"), noxfile.TORCH)
        assert noxfile.OUTCOMES["reference-3.13"].startswith("pip finds no torch")
    noxfile.install_library(Session("Successfully installed jax-1.0"), "jax")
    with pytest.raises(RuntimeError, match="disk is full"):
        noxfile.install_library(Session("ERROR: disk is full"), "jax")


def test_the_environment_names_the_requirement_and_what_is_required(monkeypatch, noxfile):
    monkeypatch.setenv("NNX_TORCH", "torch==9")
    monkeypatch.setenv("NNX_REQUIRE", "reference, jax")
    module = load(ROOT, monkeypatch)
    assert module.REQUIRED == ["tests", "reference", "jax"]
    assert module.TORCH == "torch==9"
    with pytest.raises(LookupError, match=r"^pip finds no torch==9 for this Python$"):
        module.install_library(Session("No matching distribution found"), module.TORCH)


class Column:
    """A session of nox that keeps the arguments and the environment of each pytest."""

    name = "jax-3.12"

    def __init__(self, *posargs):
        self.posargs, self.ran = posargs, []

    def run(self, program, *arguments, env):
        assert program == "pytest"
        self.ran.append((arguments, env))


@pytest.fixture
def flags_of_jax(noxfile, monkeypatch):
    monkeypatch.setattr(noxfile, "install", lambda *args, **kwargs: None)
    monkeypatch.setattr(noxfile, "install_library", lambda *args: None)

    def run(*posargs):
        column = Column(*posargs)
        noxfile.run_column(column, library="jax")
        assert all(arguments[len(arguments) - len(posargs) :] == posargs for arguments, _ in column.ran)
        return [env.get("XLA_FLAGS") for _, env in column.ran]

    return run


def test_jax_compiles_quickly_but_for_arguments_of_ones_own(noxfile, monkeypatch, flags_of_jax):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    assert flags_of_jax() == flags_of_jax("--every-row") == [None, noxfile.QUICK_XLA]
    assert flags_of_jax("-k", "linear") == flags_of_jax("--every-row", "-x") == [None]


def test_flags_for_xla_from_the_environment_stay(noxfile, monkeypatch, flags_of_jax):
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=here")
    assert flags_of_jax() == [None, f"{noxfile.QUICK_XLA} --xla_dump_to=here"]  # None: as in the environment
    assert flags_of_jax("-x") == [None]

"""The command as a whole: help, versions, the table of backends, and errors of every kind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import nnx
from nnx.backend import BACKENDS


def test_help_and_version(nnx_command):
    for arguments in ([], ["--help"], ["-h"]):
        out = nnx_command(*arguments).ok()
        assert all(name in out for name in ("train", "evaluate", "predict", "backends"))
        assert "  nnx predict runs/digits-1 image.png" in out
    assert nnx_command("--version").ok() == f"nnx {nnx.__version__}\n"
    out = nnx_command("train", "--help").ok()
    for option in ("data", "loss", "hidden", "epochs", "batch-size", "learning-rate", "optimizer", "seed", "backend"):
        assert f"--{option}" in out
    for option in ("device", "dtype", "out", "overwrite", "quiet"):
        assert f"--{option}" in out


def test_help_imports_nothing_heavy(nnx_command):
    code = (
        "import sys; from nnx.cli.__main__ import run; run(['train', '--help'])\n"
        "heavy = {'matplotlib', 'PIL', 'pooch', 'torch', 'jax', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    nnx_command.run(code=code).ok()


def test_wrong_commands(nnx_command):
    assert "No such command 'fly'; see nnx --help" in nnx_command("fly").failed(code=2)
    assert "Missing argument 'RUN'; see nnx evaluate --help" in nnx_command("evaluate").failed(code=2)


def test_backends(nnx_command):
    lines = {line.split()[0]: line for line in nnx_command("backends").ok().splitlines()}
    assert set(lines) == {"backend", *BACKENDS}
    assert "cpu" in lines["numpy"]
    assert "--backend numpy" in lines["numpy"]


def test_backends_that_are_missing_or_broken(nnx_command, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert BACKENDS["cupy"].install in nnx_command("backends").ok()

    def broken():
        raise RuntimeError("driver and library do not fit")

    backend = BACKENDS["numpy"]
    monkeypatch.setitem(BACKENDS, "numpy", type(backend)("numpy", "numpy", "numpy", "", broken))
    assert "its import fails: RuntimeError: driver and library do not fit" in nnx_command("backends").ok()
    monkeypatch.setitem(BACKENDS, "numpy", type(backend)("numpy", "numpy", "numpy", "", dict))
    assert "no CUDA device was found" in nnx_command("backends").ok()


def test_an_environment_that_names_no_backend(nnx_command, monkeypatch):
    monkeypatch.setenv("NNX_BACKEND", "abacus")
    assert "NNX_BACKEND=abacus: unknown backend 'abacus'" in nnx_command("train").failed()


@pytest.mark.parametrize("package", ["click", "rich"])
def test_without_what_the_command_needs(nnx_command, package):
    code = f"import sys; sys.modules[{package!r}] = None; sys.argv = ['nnx', 'backends']\n"
    result = nnx_command.run(code=code + "from nnx.cli.__main__ import main; main()")
    assert f"the command needs {package}; install it with: pip install 'nnx-array[cli]'" in result.failed()


def test_without_what_draws_the_curves(nnx_command):
    code = "import sys; sys.modules['matplotlib'] = None; sys.argv = ['nnx', 'train']\n"
    result = nnx_command.run(code=code + "from nnx.cli.__main__ import main; main()")
    assert "expected matplotlib, with which the run is saved; install it with: pip install" in result.failed()


def test_an_error_that_nobody_expected_is_one_line_and_can_be_traced(nnx_command, monkeypatch):
    def broken(*args, **kwargs):
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr("nnx.cli.jobs.load_samples", broken)
    assert "ZeroDivisionError: division by zero; set NNX_TRACEBACK=1" in nnx_command("train").failed()
    monkeypatch.setenv("NNX_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        nnx_command("train")


def test_a_reader_that_leaves_early_loses_no_run(nnx_command):
    process = nnx_command.start("train", "--epochs", "20", "--out", "run")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) != 0
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    assert len(nnx_command.figures("run")) == 20


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_an_output_that_is_full_loses_no_run(nnx_command):
    with open("/dev/full", "w") as full:
        arguments = [sys.executable, "-m", "nnx.cli", "train", "--epochs", "2", "--out", "run"]
        result = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1
    message = "nnx: error: the standard output could not be written: No space left on device; the run is saved\n"
    assert result.stderr == message
    assert len(nnx_command.figures("run")) == 2


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
@pytest.mark.parametrize("seconds", [0.04, 0.08, 0.15])
def test_ctrl_c_during_the_start_leaves_no_traceback(seconds, tmp_path):
    """It is pressed once the entry point has begun; before that, Python itself may show a traceback."""
    module = Path(__file__).parents[2] / "nnx_command.py"
    if not module.exists():
        pytest.skip("there is no checkout")
    code = (
        "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"main = runpy.run_path({str(module)!r})['main']; sys.argv = ['nnx', 'train', '--out', 'run']\n"
        "print('begun', flush=True); main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert "Traceback" not in said
    assert process.returncode == 130
    assert "nnx: interrupted" in said


def test_the_installed_command_is_this_one():
    metadata = pytest.importorskip("importlib.metadata")
    scripts = [point for point in metadata.entry_points(group="console_scripts") if point.name == "nnx"]
    if not scripts:
        pytest.skip("nnx is not installed, only importable")
    assert scripts[0].value == "nnx_command:main"
    subprocess.run([sys.executable, "-m", "nnx.cli", "--version"], check=True, capture_output=True)

"""The entry point, ``nnx`` or ``python -m nnx.cli``, where every error becomes one line."""

import importlib.util
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from nnx.cli import FAILED, INTERRUPTED, MISUSED, OK


def main() -> None:
    """Run the command with the arguments of the process, and exit with its exit code."""
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a path may have letters that the locale does not have
    warnings.filterwarnings("ignore", "Image size .* exceeds limit")  # of Pillow: nnx has a limit of its own
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code; it raises no exception.

    Parameters
    ----------
    arguments : sequence of str
        Such as ``["train", "--epochs", "5"]``.

    Returns
    -------
    int
        0 after success, 1 after an error, 2 if the arguments are wrong, 130 after Ctrl-C.

    Examples
    --------
    >>> run(["--version"])
    nnx 0.1.0
    0
    """
    try:
        return _run(arguments)
    except BrokenPipeError:  # the reader of `nnx ... | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # otherwise Python's flush at exit fails
        return FAILED
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except Exception as error:  # the last resort, so that a user never sees a traceback
        if os.environ.get("NNX_TRACEBACK"):
            raise
        return _fail(_describe(error), FAILED)


def _run(arguments: Sequence[str]) -> int:
    for package in ("click", "rich"):
        if importlib.util.find_spec(package) is None:
            return _fail(f"the command needs {package}; install it with: pip install 'nnx-array[cli]'", FAILED)
    import click

    from nnx.cli import tools  # noqa: F401  adds its commands
    from nnx.cli.commands import nnx

    try:
        code: Any = nnx.main(list(arguments), prog_name="nnx", standalone_mode=False)
        sys.stdout.flush()
    except click.UsageError as error:
        help_of = error.ctx.command_path if error.ctx else "nnx"
        return _fail(f"{error.format_message().rstrip('.')}; see {help_of} --help", MISUSED)
    except click.ClickException as error:
        return _fail(error.format_message(), FAILED)
    except click.Abort:
        return _fail("interrupted", INTERRUPTED)
    return code if isinstance(code, int) else OK


def _describe(error: Exception) -> str:
    from nnx.errors import NnxError

    if isinstance(error, (NnxError, ImportError)):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    if isinstance(error, MemoryError):
        return f"out of memory ({error}); use less data, a smaller model or a smaller batch size"
    if isinstance(error, UnicodeEncodeError):
        what = f"{error.object!a}: expected characters of the encoding {error.encoding}, got others"
        return f"{what}; set PYTHONUTF8=1 or a locale with UTF-8"
    return f"{type(error).__name__}: {error}; set NNX_TRACEBACK=1 to see where it comes from"


def _fail(message: str, code: int) -> int:
    print("nnx: error:" if code != INTERRUPTED else "nnx:", " ".join(message.split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    main()

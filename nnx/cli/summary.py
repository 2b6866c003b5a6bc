"""``nnx summary``: the layers of the model of a configuration or a run."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from nnx.backend import use_backend
from nnx.cli import OK
from nnx.cli.architectures import resolved
from nnx.cli.configuration import read_configuration
from nnx.cli.run_folder import WEIGHTS
from nnx.cli.runs import read_run
from nnx.cli.samples import load_samples
from nnx.errors import ArgumentError


def summary(path: Path, settings: Sequence[str], allow: Mapping[str, Callable[..., Any]], console: Console) -> int:
    """Print the table of :meth:`nnx.Module.summary` for one sample; return the exit code.

    Raises
    ------
    ArgumentError
        If it is no configuration, or no model can be made of it.
    CheckpointError
        If it is a directory without a run.
    """
    with use_backend("numpy"):
        if path.is_dir() or (path / WEIGHTS).exists():
            if settings:
                raise ArgumentError(f"{path}: --set goes with a configuration, and this is a run")
            run, model = read_run(path, allow)
            values = run.pixels
        else:
            configuration = read_configuration(path, settings, allow)
            samples = load_samples(configuration.data, configuration.data_options, quiet=True)
            config = resolved(configuration.model, samples.shape, samples.outputs, configuration.dtype)
            model = type(configuration)(**{**vars(configuration), "model": config}).make_model()
            values = samples.pairs[0][0].shape[1]
        console.print(model.eval().summary((1, values)), markup=False)
    return OK

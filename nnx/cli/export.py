"""``nnx export``: the weights of a run for other programs."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from nnx.backend import to_numpy, use_backend
from nnx.cli import OK
from nnx.cli.runs import read_run
from nnx.errors import ArgumentError, MissingExtraError
from nnx.functional.checks import counted
from nnx.io import replacing, save_weights, to_torch_state_dict


def export(folder: Path, out: Path, *, torch: bool, console: Console) -> int:
    """Write the weights of a run to a file, ``.safetensors`` or ``.npz``; return the exit code.

    Parameters
    ----------
    folder, out : path
    torch : bool
        Whether with the names and layouts that PyTorch's modules have, which needs PyTorch.
    console : Console

    Raises
    ------
    CheckpointError
        If the run cannot be read.
    ArgumentError
        If the file is to have another format.
    """
    if out.suffix not in (".safetensors", ".npz"):
        raise ArgumentError(f"{out}: expected a file that ends with .safetensors or .npz")
    with use_backend("numpy"):
        run, model = read_run(folder)
        state = to_torch_state_dict(model) if torch else model.state_dict()
        values: dict[str, Any] = {name: np.asarray(to_numpy(value)) for name, value in state.items()}
        if out.suffix == ".npz":
            with replacing(out) as temporary, open(temporary, "wb") as file:
                np.savez(file, **values)
        elif torch:
            _write_safetensors(out, values)
        else:
            save_weights(out, model, {"run": run.content()})
    count = sum(value.size for value in values.values())
    console.print(
        f"{counted(count, 'number')} in {counted(len(values), 'array')} written to [bold]{escape(str(out))}[/]"
    )
    return OK


def _write_safetensors(out: Path, values: dict[str, object]) -> None:
    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise MissingExtraError("expected safetensors to write a file for PyTorch: pip install safetensors") from error
    with replacing(out) as temporary:
        temporary.write_bytes(save({name: np.ascontiguousarray(value) for name, value in values.items()}))

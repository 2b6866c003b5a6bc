"""What the options of ``nnx train`` ask for, as a configuration."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from nnx.cli import LOSSES
from nnx.cli.backends import choose_device
from nnx.cli.configuration import Configuration, read_configuration
from nnx.cli.settings import changed
from nnx.cli.train import resume

OPTIMIZERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}
RATES = {"sgd": 0.1, "adam": 0.001, "adamw": 0.001}
# Options that a --config file replaces; the other options take precedence over the file.
_IN_THE_FILE = ("loss", "model", "hidden", "learning_rate", "optimizer", "momentum", "dtype")


def _chosen(backend: str | None, device: str | None, configuration: Configuration) -> Configuration:
    """Return a configuration with a backend and a device: those given, else its own, else the default."""
    if backend is None:  # otherwise the device of the configuration belongs to another backend
        backend, device = configuration.backend, device or configuration.device
    backend, device = choose_device(backend, device)
    return replace(configuration, backend=backend, device=device)


def go_on(
    run: Path, given: set[str], options: dict[str, Any], settings: tuple[str, ...], allow: Any, console: Any
) -> int:
    """Go on with a run; what is given replaces what its configuration says."""
    if clash := sorted(given & {*_IN_THE_FILE, "data", "seed", "batch_size"}):
        raise click.UsageError(f"--resume and --{clash[0].replace('_', '-')} exclude each other: the run says that")
    if "epochs" in given:
        settings = (*settings, f"epochs={options['epochs']}")

    def adapt(configuration: Configuration) -> Configuration:
        return _chosen(options["backend"], options["device"], configuration.changed(settings))

    return resume(run, adapt, allow, console)


def _from_options(options: dict[str, Any], given: set[str]) -> dict[str, Any]:
    """Return the configuration for the options of ``nnx train``, as data."""
    name = options["optimizer"]
    if name != "sgd" and "momentum" in given:
        raise click.UsageError("--momentum is for sgd: leave it out, or choose --optimizer sgd")
    if options["model"] == "lenet" and "hidden" in given:
        raise click.UsageError("--hidden is for the perceptron: leave it out, or choose --model perceptron")
    optimizer = {"type": OPTIMIZERS[name], "learning_rate": options["learning_rate"] or RATES[name]}
    hidden = {"hidden": list(options["hidden"])} if options["model"] == "perceptron" else {}
    loss = {"loss": {"type": LOSSES[options["loss"]]}} if options["loss"] else {}
    return {
        "model": {"preset": options["model"], **hidden},
        **loss,
        "optimizer": optimizer | ({"momentum": options["momentum"]} if name == "sgd" else {}),
        **{name: options[name] for name in ("data", "epochs", "batch_size", "seed", "dtype")},
    }


def chosen_configuration(
    path: Path | None, given: set[str], options: dict[str, Any], settings: tuple[str, ...], allow: Any
) -> Configuration:
    """Return the configuration in a file or of the options; those that were given take precedence."""
    if path is None:
        content = changed(_from_options(options, given), settings)
        return _chosen(options["backend"], options["device"], Configuration.parse(content, "--set", allow))
    if clash := [name for name in _IN_THE_FILE if name in given]:
        names = ", ".join("--" + name.replace("_", "-") for name in clash)
        raise click.UsageError(f"a file and {names} exclude each other: the file says that")
    own = [f"{name}={json.dumps(options[name])}" for name in sorted(given - {"backend", "device"})]
    return _chosen(options["backend"], options["device"], read_configuration(path, (*own, *settings), allow))

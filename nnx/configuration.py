"""Build a module, a loss, an optimizer, a schedule, a metric, a transform or an initializer from its configuration."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from nnx import data, initializers, layers, losses, metrics, optimizers, schedules
from nnx.layers.config import build, type_name
from nnx.layers.remembering import Configured

__all__ = ["from_config"]


def from_config(
    config: Mapping[str, Any], *, allow: Iterable[Callable[..., Any]] = (), rng: Any = None, **given: Any
) -> Any:
    """Build what ``config()`` described, with new initial values; load weights with ``load_state_dict``.

    Names in a configuration are looked up among the classes of nnx, the functions of ``nnx.functional``, and what is
    allowed here. Nothing is imported, so a file from elsewhere cannot run code.

    Parameters
    ----------
    config : mapping
        As :meth:`nnx.Module.config` returned it, also after a round trip through JSON.
    allow : classes and functions, optional
        Others that may be built or used: your own layers, losses or dataclasses, and the functions of
        :class:`nnx.Lambda`.
    rng : NumPy Generator, optional
        Passed to every constructor that takes one.
    **given
        Arguments of the outermost constructor that are not part of a configuration, such as the ``model`` of an
        optimizer.

    Raises
    ------
    ArgumentError
        If the configuration names a class or function that is neither one of nnx nor allowed, or is not a
        configuration.

    Examples
    --------
    >>> import nnx
    >>> model = nnx.Model([nnx.Linear(3, 4), nnx.ReLU()])
    >>> nnx.from_config(model.config())
    Sequential(
      (0): Linear(in_features=3, out_features=4)
      (1): ReLU()
    )
    """
    return build(config, _known(), allow, rng, given)


def _known() -> dict[str, type]:
    rooms = (layers, losses, optimizers, metrics)
    named = {name: getattr(room, name) for room in rooms for name in room.__all__}
    found = {name: kind for name, kind in named.items() if isinstance(kind, type) and issubclass(kind, Configured)}
    plain = vars(initializers) | {name: getattr(data, name) for name in data.__all__}
    kinds = {name: kind for name, kind in plain.items() if hasattr(kind, "__dataclass_fields__")}
    found |= {name: kind for name, kind in kinds.items() if not name.startswith("_")}
    return found | {type_name(kind): kind for kind in (getattr(schedules, name) for name in schedules.__all__)}

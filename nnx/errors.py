"""The exceptions of nnx: one family, each also a subclass of the built-in exception that fits.

A message says what was expected, what came and what to do. Where it happened is added once for each module
that the error passes on its way out, so that it ends as a dotted path: ``Linear '2': expected ...``.
"""


class NnxError(Exception):
    """Base class of every error that nnx raises on purpose.

    Attributes
    ----------
    layer : str or None
        Class name of the module in which the error was raised.
    module_path : tuple of str
        Names that lead from the outermost module to that one.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
        self.layer: str | None = None
        self.module_path: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.layer is None:
            return self.message
        where = f"{self.layer} '{'.'.join(self.module_path)}'" if self.module_path else self.layer
        return f"{where}: {self.message}"


class ShapeError(NnxError, ValueError):
    """An array has the wrong shape or number of axes."""


class DTypeError(NnxError, TypeError):
    """An array has a dtype that the operation cannot use, or two dtypes met."""


class DeviceError(NnxError, ValueError):
    """Arrays of two devices met, or a device does not exist."""


class BackendError(NnxError, RuntimeError):
    """Arrays of two libraries met, or a library is missing or cannot work here."""


class ArgumentError(NnxError, ValueError):
    """An argument that is not an array has a value outside its range."""


class UsageError(NnxError, RuntimeError):
    """Calls came in an order that cannot work, such as ``backward`` before a forward pass."""


class TraceError(NnxError, TypeError):
    """A traced array met something through which no derivative can be followed."""


class MissingRuleError(NnxError, AttributeError, NotImplementedError):
    """A function has no derivative rule, or is not known to the traced namespace.

    It is an ``AttributeError`` too, so that ``hasattr(xp, name)`` answers instead of raising.
    """


class NonFiniteError(NnxError, ArithmeticError):
    """A value that must be finite is NaN or infinite."""


class CheckpointError(NnxError, ValueError):
    """Saved weights or a saved run do not fit what they are loaded into, or cannot be read."""


class MissingExtraError(NnxError, ImportError):
    """A package that an optional part of nnx needs is not installed."""


class DataError(NnxError, ValueError):
    """A data file or a data set is not what it should be."""

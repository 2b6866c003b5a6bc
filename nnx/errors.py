"""The exceptions of nnx: one family, each also a subclass of the built-in exception that fits.

A message says what was expected, what came instead, and what to do. Each module that the error passes on its way out
adds its name, so that the message ends up with a dotted path in front: ``Linear '2': expected ...``.
"""


class NnxError(Exception):
    """Base class of every error that nnx raises itself.

    Attributes
    ----------
    layer : str or None
        Class name of the module in which the error was raised.
    module_path : tuple of str
        The names from the outermost module to that one.
    """

    def __init__(self, message: str) -> None:
        message = " ".join(message.splitlines())  # it may quote a file or the error of another library
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
    """An array has a dtype that the operation cannot use, or the dtypes of two arrays differ."""


class DeviceError(NnxError, ValueError):
    """Arrays are on different devices, or a device does not exist."""


class BackendError(NnxError, RuntimeError):
    """Arrays belong to different libraries, or a library is missing or cannot work here."""


class ArgumentError(NnxError, ValueError):
    """An argument that is not an array has a value outside its range."""


class UsageError(NnxError, RuntimeError):
    """Calls came in an order that cannot work, such as ``backward`` before a forward pass."""


class TraceError(NnxError, TypeError):
    """A traced array was used in a way that would lose its derivative."""


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
    """A data file or data set is malformed."""

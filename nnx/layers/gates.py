"""Activation layers that multiply by a gate."""

from nnx import functional
from nnx.layers.module import Module
from nnx.types import Array


class GELU(Module):
    r"""Gaussian error linear unit: :math:`x\,\Phi(x)`; see :func:`nnx.functional.gelu`.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        ``"tanh"`` is quicker.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.GELU()(np.asarray([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """

    def __init__(self, approximate: str = "none") -> None:
        self.approximate = approximate

    def forward(self, x: Array) -> Array:
        """Map an array of any shape to one of the same shape."""
        return functional.gelu(x, approximate=self.approximate)


class SiLU(Module):
    r"""Sigmoid linear unit, also called swish: :math:`x\,\sigma(x)`; see :func:`nnx.functional.silu`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.SiLU()(np.asarray([0.0, 1000.0]))
    array([   0., 1000.])
    """

    forward = staticmethod(functional.silu)


class Mish(Module):
    r"""Mish: :math:`x \tanh(\log(1 + e^x))`; see :func:`nnx.functional.mish`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Mish()(np.asarray([-1.0, 0.0, 1.0])).round(4)
    array([-0.3034,  0.    ,  0.8651])
    """

    forward = staticmethod(functional.mish)


class Hardswish(Module):
    r"""Piecewise quadratic swish: :math:`x \min(\max(x / 6 + 1 / 2, 0), 1)`; see :func:`nnx.functional.hardswish`.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.Hardswish()(np.asarray([-1.5, 1.5, 4.0]))
    array([-0.375,  1.125,  4.   ])
    """

    forward = staticmethod(functional.hardswish)


class GLU(Module):
    r"""Gated linear unit: :math:`a\,\sigma(b)` of the halves of an axis; see :func:`nnx.functional.glu`.

    The output is half as long along it.

    Parameters
    ----------
    axis : int
        The axis that is split, of even length.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.GLU()(np.asarray([[3.0, 4.0, 0.0, 1000.0]]))
    array([[1.5, 4. ]])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        """Map (..., 2 * features) to (..., features), or the same along another axis."""
        return functional.glu(x, axis=self.axis)


class SwiGLU(Module):
    r"""Gated linear unit with swish: :math:`a\,\sigma(a)\,b` of the halves; see :func:`nnx.functional.swiglu`.

    It has no parameters, and splits its input: put a :class:`nnx.Linear` with twice as many features before it.

    Parameters
    ----------
    axis : int
        The axis that is split, of even length.

    Examples
    --------
    >>> import numpy as np, nnx
    >>> nnx.SwiGLU()(np.asarray([[0.0, 1000.0, 3.0, 4.0]]))
    array([[   0., 4000.]])
    """

    def __init__(self, axis: int = -1) -> None:
        self.axis = axis

    def forward(self, x: Array) -> Array:
        """Map (..., 2 * features) to (..., features), or the same along another axis."""
        return functional.swiglu(x, axis=self.axis)

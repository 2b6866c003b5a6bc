"""Layers one after another."""

from collections.abc import Iterable
from typing import Any, Self

from nnx.errors import ArgumentError
from nnx.layers.collecting import ListOfModules, expect_modules
from nnx.layers.location import locate
from nnx.layers.module import Module


class Sequential(ListOfModules):
    r"""Layers one after another: :math:`y = f_n(\dots f_2(f_1(x)))`. ``nnx.Model`` is the same class.

    Parameters
    ----------
    layers : iterable of Module
        Their paths are ``"0"``, ``"1"``, ...

    Notes
    -----
    It is a list of its layers: ``append``, ``insert``, ``extend``, assignment and ``del`` change it. A slice, and the
    sum with other layers, are models that share the layers, whose paths there start again at ``"0"``.

    Raises
    ------
    ArgumentError
        If a layer is not a module.

    Examples
    --------
    >>> import nnx
    >>> nnx.Model([nnx.Linear(784, 50), nnx.ReLU(), nnx.Linear(50, 10)])
    Sequential(
      (0): Linear(in_features=784, out_features=50)
      (1): ReLU()
      (2): Linear(in_features=50, out_features=10)
    )
    >>> len((nnx.Model([nnx.ReLU(), nnx.Softmax()]) + [nnx.ReLU()])[1:])
    2
    """

    _numbered = "layers"
    _returns_input_gradient = False

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """Refuse layers as separate arguments, which is how PyTorch takes them."""
        is_own = cls.__init__ is Sequential.__init__  # a subclass may take what it likes
        if is_own and (len(args) > 1 or (args and not hasattr(args[0], "__iter__"))):
            raise ArgumentError(f"expected one list of layers, got {len(args)} arguments; write Model([first, second])")
        return super().__new__(cls)

    def __init__(self, layers: Iterable[Module]) -> None:
        self.layers = expect_modules(layers)

    def forward(self, x: Any) -> Any:
        """Call the layers in order, each on the output of the one before."""
        is_quick = self._watcher is None
        for layer in self.layers:
            try:
                # Without __call__, unless a layer has its own: one Python call less per layer. Inside the call of this
                # model __call__ would do nothing more than forward.
                x = layer.forward(x) if is_quick and type(layer).__call__ is _CALL and layer.is_settled else layer(x)
            except Exception as error:
                locate(error, layer, (x,))
                raise
        return x


Model = Sequential
_CALL = Module.__call__

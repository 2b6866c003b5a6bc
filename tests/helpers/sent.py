"""What tests send to other processes: they import it by name."""

import numpy as np

import nnx

X = np.asarray([1.0, 2.0], np.float32)


@nnx.primitive
def cube(x):
    return x**3


@nnx.grad
def slope(x):
    return x**2


class Activated(nnx.Module):
    def __init__(self, activation):
        self.activation = activation

    def forward(self, x):
        return self.activation(x)


class HoldingError(Exception):
    def __init__(self, *args):
        super().__init__(*args)
        self.held = args[1:]


class Failing(nnx.Module):
    def __init__(self):
        self.weight = nnx.Parameter(np.ones(2, np.float32))

    def forward(self, x):
        raise HoldingError("the real message", x * self.weight, [self.weight], self)


TRANSFORMS = {
    "grad": lambda: nnx.grad(lambda model: model(X))(Failing()),
    "jvp": lambda: nnx.jvp(lambda model: model(X), (Failing(),), ({"weight": np.ones(2, "float32")},)),
    "twice": lambda: nnx.grad(lambda x: nnx.grad(lambda m: m(x))(Failing())["weight"][0])(X),
    "call": lambda: Failing()(X),
    "remat": lambda: nnx.grad(nnx.remat(lambda model: model(X)))(Failing()),
}


def fail(name):
    TRANSFORMS[name]()


def misfit(x):
    nnx.Model([nnx.Linear(3, 2)])(x)


def total(x):
    return nnx.namespace(x).sum(x)

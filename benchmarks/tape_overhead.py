"""What a node of the tape costs on top of its array work: forward, backward, and its share of the module copy.

A model of many tiny layers is differentiated, and the same array work is done by hand in plain NumPy. The
difference, divided by the number of layers, is the overhead of one node. Run: ``python benchmarks/tape_overhead.py``.
"""

import statistics
import timeit

import numpy as np

import nnx

LAYERS = 200
BUDGET = 8.0  # microseconds per node


class Scale(nnx.Module):
    """One multiplication with one parameter: the smallest layer that is trained."""

    def __init__(self) -> None:
        self.factor = nnx.Parameter(np.asarray(1.01))

    def forward(self, x):
        """Map an array to one of the same shape."""
        return x * self.factor


def layers_by_hand(factors, x):
    """Do forward and backward of the model of Scale layers, and nothing else."""
    inputs = []
    for factor in factors:
        inputs.append(x)
        x = x * factor
    cotangent = np.ones_like(x)
    gradients = []
    for factor, kept in zip(reversed(factors), reversed(inputs), strict=True):
        gradients.append(cotangent * kept)
        cotangent = cotangent * factor
    return gradients


def linear_by_hand(parameters, x):
    """Do forward and backward of the model of Linear layers, and nothing else."""
    inputs = []
    for weight, bias in parameters:
        inputs.append(x)
        x = x @ weight + bias
    g = np.full_like(x, 1.0)
    gradients = []
    for (weight, _), kept in zip(reversed(parameters), reversed(inputs), strict=True):
        gradients.append((kept.T @ g, np.sum(g, axis=0)))
        g = g @ weight.T
    return gradients


def chain_by_hand(x):
    """Do forward and backward of a chain of multiplications by a constant."""
    for _ in range(LAYERS):
        x = x * 1.01
    for _ in range(LAYERS):
        x = x * 1.01
    return x


def chain(x):
    """Multiply by a constant many times."""
    for _ in range(LAYERS):
        x = x * 1.01
    return x


def total_of(y):
    """Return the sum of all elements."""
    return nnx.namespace(y).sum(y)


def microseconds(function):
    """Return the shortest time of a call in microseconds, which other load disturbs least."""
    return min(timeit.repeat(function, number=3, repeat=15)) / 3 * 1e6


def main() -> None:
    """Print the overhead of a node, for three kinds of node."""
    rng = nnx.generator(0)
    scales = nnx.Sequential([Scale() for _ in range(LAYERS)])
    linears = nnx.Sequential([nnx.Linear(2, 2, rng=rng) for _ in range(LAYERS)])
    x, row = np.asarray(1.0), np.ones((1, 2), np.float32)
    factors = list(scales.parameters().values())
    pairs = [(layer.weight, layer.bias) for layer in linears]
    total = nnx.grad(lambda model, x: model(x))
    through_linear = nnx.grad(lambda model, x: total_of(model(x)))
    cases = {
        "x * constant": (lambda: nnx.vjp(chain, x)[1](x), lambda: chain_by_hand(x)),
        "Scale (a module, one parameter)": (lambda: total(scales, x), lambda: layers_by_hand(factors, x)),
        "Linear 2 to 2 (two parameters)": (lambda: through_linear(linears, row), lambda: linear_by_hand(pairs, row)),
    }
    print(f"{'node':34}{'nnx us':>9}{'array us':>10}{'overhead us':>13}   budget {BUDGET} us")
    for name, (traced, by_hand) in cases.items():
        rounds = [(microseconds(traced), microseconds(by_hand)) for _ in range(5)]
        ours, bare = (statistics.median(column) / LAYERS for column in zip(*rounds, strict=True))
        print(f"{name:34}{ours:9.2f}{bare:10.2f}{ours - bare:13.2f}")


if __name__ == "__main__":
    main()

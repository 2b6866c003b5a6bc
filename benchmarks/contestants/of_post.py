"""A network as the blog post computes it that nnx began with: objects that keep what their ``backward`` needs.

Written anew from its description. Of its choices those stay that cost time: targets are one-hot, cross-entropy
computes the softmax twice, the gradient of a weight is the sum of an outer product for each example, and nothing is in
place. Its loss is a sum over the batch; here the rate is divided by the batch to take the same steps, and its numbers
are float32.

Source: M. Heinzer, "Creating a Neural Network from scratch - Part I", 2020.
"""

import numpy as np

from benchmarks.workload import Step


class Dense:
    """A linear map that keeps its input and its gradients."""

    def __init__(self, weight, bias):
        self.weight, self.bias = weight.copy(), bias.copy()

    def forward(self, x):
        """Map (batch, in) to (batch, out)."""
        self.x = x
        return x.dot(self.weight) + self.bias

    def backward(self, g):
        """Keep the gradients of the parameters, and return that of the input."""
        self.of_weight = np.sum(self.x[:, :, None] * g[:, None, :], axis=0)
        self.of_bias = np.sum(g, axis=0)
        return g.dot(self.weight.T)

    def update(self, rate):
        """Descend."""
        self.weight -= rate * self.of_weight
        self.bias -= rate * self.of_bias


class Rectifier:
    """A ReLU that keeps its output."""

    def forward(self, x):
        """Map an array to one of its shape."""
        self.y = np.maximum(x, 0)
        return self.y

    def backward(self, g):
        """Overwrite a gradient where the output is zero."""
        g[self.y == 0] = 0
        return g

    def update(self, rate):
        """Do nothing."""


def _softmax(x):
    powers = np.exp(x - np.max(x, axis=1)[:, None])
    return powers / np.sum(powers, axis=1)[:, None]


def training_step(parameters: dict[str, np.ndarray], x: np.ndarray, target: np.ndarray, rate: float) -> Step:
    """Return a step of gradient descent."""
    arrays = list(parameters.values())
    layers = []
    for weight, bias in zip(arrays[::2], arrays[1::2], strict=True):
        layers += [Dense(weight, bias), Rectifier()]
    layers.pop()
    one_hot = np.eye(arrays[-1].size, dtype=np.float32)[target]

    def step():
        y = x
        for layer in layers:
            y = layer.forward(y)
        value = -np.sum(np.log(_softmax(y)[one_hot > 0]))
        g = _softmax(y)
        g[one_hot.astype(bool)] -= 1
        for layer in reversed(layers):
            g = layer.backward(g)
        for layer in layers:
            layer.update(rate / len(x))
        return value / len(x)

    return step

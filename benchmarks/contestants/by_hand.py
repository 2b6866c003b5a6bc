"""An MLP in NumPy as an expert writes it: ReLU, cross-entropy, all passes in a straight line, parameters in place."""

import numpy as np

from benchmarks.workload import Rule, Step


def loss_and_gradients(weights, biases, x, target):
    """Return the mean cross-entropy, and its gradients with respect to weights and biases, of a network with ReLU."""
    inputs = [x]
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        hidden = inputs[-1] @ weight
        hidden += bias
        inputs.append(np.maximum(hidden, 0, out=hidden))
    logits = inputs[-1] @ weights[-1]
    logits += biases[-1]
    logits -= logits.max(axis=1, keepdims=True)
    rows = np.arange(len(target))
    chosen = logits[rows, target]
    powers = np.exp(logits, out=logits)
    total = powers.sum(axis=1, keepdims=True)
    loss = np.mean(np.log(total[:, 0]) - chosen)
    g = np.divide(powers, total, out=powers)
    g[rows, target] -= 1
    g /= len(target)
    of_weights, of_biases = [], []
    for number in reversed(range(len(weights))):
        of_weights.insert(0, inputs[number].T @ g)
        of_biases.insert(0, g.sum(axis=0))
        if number:
            g = g @ weights[number].T
            g *= inputs[number] > 0
    return loss, of_weights, of_biases


def sgd(arrays, gradients, rule: Rule):
    """Update arrays in place."""
    for array, gradient in zip(arrays, gradients, strict=True):
        gradient *= rule.rate
        array -= gradient


class Adam:
    """Adam, whose arrays of state and of work are made in the first step."""

    def __init__(self, rule: Rule):
        self.rule, self.count = rule, 0

    def __call__(self, arrays, gradients):
        """Update arrays in place."""
        if not self.count:
            self.first, self.second, self.work = ([np.zeros_like(array) for array in arrays] for _ in range(3))
        self.count += 1
        rate, root = self.rule.rate / (1 - 0.9**self.count), (1 - 0.999**self.count) ** 0.5
        for w, g, m, v, work in zip(arrays, gradients, self.first, self.second, self.work, strict=True):
            m *= 0.9
            m += np.multiply(g, 0.1, out=work)
            v *= 0.999
            g *= g
            v += np.multiply(g, 0.001, out=work)
            np.sqrt(v, out=work)
            work /= root
            work += 1e-8
            np.divide(m, work, out=work)
            work *= rate
            w -= work


def training_step(parameters: dict[str, np.ndarray], x: np.ndarray, target: np.ndarray, rule: Rule) -> Step:
    """Return a step of training, of the parameters of nnx's model in their order: weight, bias, weight, bias."""
    arrays = [array.copy() for array in parameters.values()]
    weights, biases = arrays[::2], arrays[1::2]
    ordered = [*weights, *biases]
    adam = Adam(rule)

    def step():
        value, of_weights, of_biases = loss_and_gradients(weights, biases, x, target)
        if rule.name == "Adam":
            adam(ordered, [*of_weights, *of_biases])
        else:
            sgd(ordered, [*of_weights, *of_biases], rule)
        return value

    return step

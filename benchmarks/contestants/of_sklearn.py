"""scikit-learn's ``MLPClassifier``: a call of ``partial_fit`` on one batch is one step."""

import numpy as np

from benchmarks.workload import Rule, Step


def training_step(parameters: dict[str, np.ndarray], x: np.ndarray, target: np.ndarray, rule: Rule) -> Step:
    """Return a step of training that starts from the given weights and biases.

    Its Adam adds epsilon before the correction of the second moment and not after it, which is a difference below the
    tolerance.
    """
    from sklearn.neural_network import MLPClassifier

    arrays = [array.copy() for array in parameters.values()]
    weights, biases = arrays[::2], arrays[1::2]
    model = MLPClassifier(
        [weight.shape[1] for weight in weights[:-1]],
        solver=rule.name.lower(),
        alpha=0.0,
        batch_size=len(target),
        learning_rate_init=rule.rate,
        momentum=0.0,
        nesterovs_momentum=False,
    )
    classes = np.arange(weights[-1].shape[1])
    model.partial_fit(x, target, classes=classes)  # makes its arrays and its optimizer, which are then set back
    _set(model, weights, biases)

    def step():
        model.partial_fit(x, target)
        return np.float32(model.loss_)

    return step


def _set(model, weights, biases):
    for there, here in zip([*model.coefs_, *model.intercepts_], [*weights, *biases], strict=True):
        there[...] = here
    for name in ("ms", "vs"):
        for array in getattr(model._optimizer, name, ()):
            array[...] = 0
    if hasattr(model._optimizer, "t"):
        model._optimizer.t = 0

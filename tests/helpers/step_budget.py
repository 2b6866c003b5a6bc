"""What steps cost in Python calls inside nnx and in arrays that NumPy makes, beside the budget in step_budget.json.

Unlike a time, these numbers do not depend on the machine. ``python tests/helpers/step_budget.py`` writes what the steps
cost today into the file: run it where a change makes steps cheaper, and where they are to cost more, which the commit
then says in its message. Without Numba the numbers of the compiled tier stay as they are.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from allocations import allocations

import nnx

FILE = Path(__file__).with_suffix(".json")
ROOT = os.path.dirname(nnx.__file__) + os.sep
TIERS = ("native", "compiled")
_COMPREHENSIONS = {"<listcomp>", "<dictcomp>", "<setcomp>"}  # calls up to Python 3.11
Step = Callable[[], Any]


def data(batch: int, inputs: int, outputs: int) -> tuple[Any, Any]:
    """Return a batch and its classes."""
    x = np.random.default_rng(0).standard_normal((batch, inputs)).astype(np.float32)
    return x, np.arange(batch) % outputs


def perceptron(*sizes: int) -> Any:
    """Return linear layers with ReLU between them."""
    layers: list[Any] = []
    for number, size in enumerate(sizes[1:]):
        layers += [nnx.Linear(sizes[number], size, rng=number), nnx.ReLU()]
    return nnx.Model(layers[:-1])


def inference() -> Step:
    """Return a call in evaluation mode."""
    model, (x, _) = perceptron(784, 50, 10).eval(), data(100, 784, 10)
    return lambda: model(x)


def words_of_the_post() -> Step:
    """Return a step in the style of the post."""
    model, (x, target) = perceptron(784, 50, 10), data(100, 784, 10)
    loss = nnx.CrossEntropy()

    def step() -> None:
        loss(model(x), target)
        model.backward(loss.gradient())
        model.update(0.1)

    return step


def _objective(model: Any, x: Any, target: Any) -> Any:
    return nnx.functional.cross_entropy(model(x), target)


def _train(model: Any, optimizer: Any, x: Any, target: Any) -> Any:
    value, gradients = nnx.value_and_grad(_objective)(model, x, target)
    optimizer.step(gradients)
    return value


def training(optimizer: Any, sizes: tuple[int, ...], batch: int, is_replayed: bool = False) -> Step:
    """Return a training step."""
    model = perceptron(*sizes)
    run = nnx.compile(_train) if is_replayed else _train
    return partial(run, model, optimizer(model, 0.01), *data(batch, sizes[0], sizes[-1]))


def hundred_layers(is_after_backward: bool) -> Step:
    """Return the gradients of a deep model, of which a call may have been kept."""
    model, (x, _) = nnx.Model([nnx.Linear(8, 8, rng=0) for _ in range(100)]), data(4, 8, 8)
    if is_after_backward:
        model.backward(model(x))
    return lambda: nnx.value_and_grad(lambda model: nnx.functional.mse(model(x), x))(model)


def optimizer_alone(is_update: bool) -> Step:
    """Return a step of an optimizer, or an update in the words of the post."""
    model = perceptron(2, 3, 2)
    gradients = {path: np.ones_like(array) for path, array in model.parameters().items()}
    vars(model)["_gradients"] = gradients
    optimizer = nnx.SGD(model, 0.1)
    return (lambda: model.update(0.1)) if is_update else (lambda: optimizer.step(gradients))


SMALL, POST = ((4, 16, 3), 8), ((784, 50, 10), 100)
STEPS: dict[str, Callable[[], Step]] = {
    "inference, 784-50-10": inference,
    "the words of the post, 784-50-10": words_of_the_post,
    "SGD, 784-50-10": partial(training, nnx.SGD, *POST),
    "SGD, 4-16-3": partial(training, nnx.SGD, *SMALL),
    "SGD, 4-16-3, replayed": partial(training, nnx.SGD, *SMALL, is_replayed=True),
    "Adam, 4-16-3": partial(training, nnx.Adam, *SMALL),
    "Adam, 4-16-3, replayed": partial(training, nnx.Adam, *SMALL, is_replayed=True),
    "a hundred layers": partial(hundred_layers, False),
    "a hundred layers after a backward pass": partial(hundred_layers, True),
    "SGD alone": partial(optimizer_alone, False),
    "an update alone": partial(optimizer_alone, True),
}


def calls(function: Step) -> int:
    """Return how many Python functions of nnx a call enters; loops that Numba compiled report themselves, and are not.

    Comprehensions are not counted either, since they are calls in some versions of Python only.
    """
    loops = {
        id(loop.py_func.__code__)  # whose hash changes when it runs, up to Python 3.11
        for name, module in list(sys.modules.items())
        if name.startswith("nnx.kernels.numba")
        for loop in vars(module).values()
        if hasattr(loop, "py_func")
    }
    count = 0

    def profile(frame: Any, event: str, _: Any) -> None:
        nonlocal count
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(ROOT):
            count += id(code) not in loops and code.co_name not in _COMPREHENSIONS

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def cost(name: str, tier: str) -> dict[str, int]:
    """Return what a step costs with the kernels of a tier."""
    with nnx.use_kernels(tier):
        step = STEPS[name]()
        for _ in range(3):  # the first ones fill caches, and a replayed step is recorded and checked
            step()
        return {"calls": calls(step), "arrays": allocations(step)}


def has_tier(tier: str) -> bool:
    """Return whether kernels of a tier can run here: Numba may be missing, or left out by NNX_KERNELS."""
    nnx.kernels.load("numpy")
    return tier != "compiled" or "nnx.kernels.numba" in sys.modules


def budget() -> dict[str, dict[str, dict[str, int]]]:
    """Return the budget: for each step, for each tier, how many calls and arrays."""
    return json.loads(FILE.read_text("utf-8"))


if __name__ == "__main__":
    stored = budget() if FILE.exists() else {}
    found = {
        name: {tier: cost(name, tier) if has_tier(tier) else stored[name][tier] for tier in TIERS} for name in STEPS
    }
    lines = [f"  {json.dumps(name)}: {json.dumps(of_tiers)}" for name, of_tiers in found.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")

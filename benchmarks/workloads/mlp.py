"""Networks of linear maps and ReLU, from tiny to large: a step of training, and inference of a single example."""

import itertools
from functools import partial

import numpy as np

import nnx
from benchmarks.contestants import by_hand, floor, of_nnx, of_post, of_sklearn, of_torch, usual
from benchmarks.workload import Makers, Rule, Target, Task, Workload

SGD, ADAM = Rule("SGD", 0.01), Rule("Adam", 1e-4)


def model_of(widths: tuple[int, ...]) -> nnx.Module:
    """Return the network with its initial weights."""
    rng = nnx.generator(0)
    layers = []
    for features_in, features_out in itertools.pairwise(widths):
        layers += [nnx.Linear(features_in, features_out, rng=rng), nnx.ReLU()]
    return nnx.Model(layers[:-1])


def module_of(widths: tuple[int, ...]):
    """Return PyTorch's."""
    from torch import nn

    layers = []
    for features_in, features_out in itertools.pairwise(widths):
        layers += [nn.Linear(features_in, features_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def logits_of_jax(weights, buffers, x):
    """Return JAX's logits."""
    import jax

    numbers = sorted({int(path.partition(".")[0]) for path in weights})
    for number in numbers:
        x = x @ weights[f"{number}.weight"] + weights[f"{number}.bias"]
        x = x if number == numbers[-1] else jax.nn.relu(x)
    return x, buffers


def batch_of(widths: tuple[int, ...], batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return normal numbers and random classes."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((batch, widths[0]), dtype=np.float32), rng.integers(0, widths[-1], batch)


def products_of(widths: tuple[int, ...], batch: int) -> tuple[floor.Product, ...]:
    """Return the products of a step."""
    pairs = itertools.pairwise(widths)
    layers = [floor.linear_products(batch, *pair, first=number == 0) for number, pair in enumerate(pairs)]
    return tuple(product for layer in layers for product in layer)


def training(rule: Rule, widths: tuple[int, ...], batch: int) -> Makers:
    """Return the makers of a step of training."""
    x, target = batch_of(widths, batch)
    task = Task(
        model=partial(model_of, widths),
        of_torch=partial(module_of, widths),
        of_jax=logits_of_jax,
        x=x,
        target=target,
        rule=rule,
        products=products_of(widths, batch),
    )
    makers = {
        **usual.training(task),
        "sklearn": partial(of_sklearn.training_step, task.weights, x, target, rule),
        "by hand": partial(by_hand.training_step, task.weights, x, target, rule),
    }
    if rule.name == "SGD":
        makers["post"] = partial(of_post.training_step, task.weights, x, target, rule.rate)
    return makers


def inference(widths: tuple[int, ...], batch: int) -> Makers:
    """Return the makers of a forward pass that keeps nothing for a backward one."""
    x, target = batch_of(widths, batch)
    task = Task(partial(model_of, widths), partial(module_of, widths), logits_of_jax, x, target, SGD)

    def of_nnx_step(prepare):
        model = task.model().eval()
        forward = prepare(lambda model, x: model(x))
        return lambda: forward(model, x)

    def torch_step():
        torch = of_torch.torch_in_one_thread()
        module, x = of_torch.module_of(task).eval(), of_torch.tensor(task.x)

        def step():
            with torch.inference_mode():
                return module(x)

        return step

    def jax_step():
        import jax
        import jax.numpy as jnp

        forward = jax.jit(lambda weights, x: logits_of_jax(weights, {}, x)[0])
        weights, x = jax.tree.map(jnp.array, task.weights), jnp.asarray(task.x)
        return lambda: forward(weights, x).block_until_ready()

    def hand_step():
        arrays = list(task.weights.values())

        def step():
            y = x
            for weight, bias in zip(arrays[:-2:2], arrays[1:-2:2], strict=True):
                y = y @ weight
                y += bias
                np.maximum(y, 0, out=y)
            return y @ arrays[-2] + arrays[-1]

        return step

    forward_only = [floor.Product(batch, *pair, 1, 1) for pair in itertools.pairwise(widths)]
    return {
        **of_nnx.contestants(of_nnx_step),
        "torch": torch_step,
        "jax": jax_step,
        "by hand": hand_step,
        "floor": partial(floor.floor_step, forward_only),
    }


def sized(*widths: int, batch: int) -> dict:
    """Return the sizes of a network."""
    return {"widths": widths, "batch": batch}


def _against(ours: str, torch: float, jax: float, **others: float) -> Target:
    return Target(ours, {"torch": torch, "jax": jax, **{name.replace("_", " "): at for name, at in others.items()}})


QUICK = sized(6, 5, 3, batch=4)
POST = sized(784, 50, 10, batch=100)
WORKLOADS = (
    Workload(
        "4-16-3, batch 8, SGD",
        partial(training, SGD),
        sized(4, 16, 3, batch=8),
        QUICK,
        (_against("replayed", 0.10, 0.3, by_hand=0.5),),
    ),
    Workload(
        "64-50-10, batch 16, SGD",
        partial(training, SGD),
        sized(64, 50, 10, batch=16),
        QUICK,
        (_against("replayed", 0.12, 0.35, by_hand=0.6),),
    ),
    Workload(
        "784-50-10, batch 100, SGD",
        partial(training, SGD),
        POST,
        QUICK,
        (_against("replayed", 0.45, 0.65, by_hand=0.85), _against("eager", 0.6, 0.95, by_hand=1.1)),
    ),
    Workload(
        "784-50-10, inference of one example",
        inference,
        sized(784, 50, 10, batch=1),
        sized(6, 5, 3, batch=1),
        (_against("eager", 0.2, 0.5), _against("replayed", 0.1, 0.25)),
        is_training=False,
    ),
    Workload(
        "784-512-512-10, batch 128, Adam",
        partial(training, ADAM),
        sized(784, 512, 512, 10, batch=128),
        QUICK,
        (_against("best", 0.8, 0.9, floor=1.25),),
    ),
    Workload(
        "784-1024-1024-1024-10, batch 1024, Adam",
        partial(training, ADAM),
        sized(784, 1024, 1024, 1024, 10, batch=1024),
        QUICK,
        (_against("best", 1.0, 0.95, floor=1.1),),
    ),
)

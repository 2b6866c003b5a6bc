"""Two networks for images: a LeNet, whose layers have few channels, and a ResNet, whose layers have many."""

from functools import partial
from typing import Any

import numpy as np

import nnx
from benchmarks.contestants.floor import linear_products
from benchmarks.contestants.usual import training
from benchmarks.workload import Makers, Rule, Target, Task, Workload

ADAM = Rule("Adam", 1e-4)
CLASSES = 10


def convolution_products(images: int, size: int, channels_in: int, channels_out: int, *, first: bool = False) -> list:
    """Return the products of a convolution by 3 x 3 to an image of size x size, as products with columns."""
    return linear_products(images * size * size, 9 * channels_in, channels_out, first=first)


def lenet_layers(library: Any, size: int, width: int, hidden: int, **options: Any) -> list:
    """Return the layers; their names are the same in both libraries."""
    pool = nnx.MaxPool2d if library is nnx else library.MaxPool2d
    return [
        library.Conv2d(1, width, 3, padding=1, **options),
        library.ReLU(),
        pool(2),
        library.Conv2d(width, 2 * width, 3, padding=1, **options),
        library.ReLU(),
        pool(2),
        library.Flatten(),
        library.Linear(2 * width * (size // 4) ** 2, hidden, **options),
        library.ReLU(),
        library.Linear(hidden, CLASSES, **options),
    ]


def lenet_of_torch(size: int, width: int, hidden: int):
    """Return PyTorch's."""
    from torch import nn

    return nn.Sequential(*lenet_layers(nn, size, width, hidden))


def convolve_of_jax(x, weight, bias=None):
    """Convolve images with channels last, which XLA is best at; the weight has nnx's layout."""
    import jax

    y = jax.lax.conv_general_dilated(x, weight, (1, 1), "SAME", dimension_numbers=("NHWC", "OIHW", "NHWC"))
    return y if bias is None else y + bias


def lenet_of_jax(weights, buffers, x):
    """Return JAX's logits."""
    import jax

    x = x.transpose(0, 2, 3, 1)
    for number in (0, 3):
        x = jax.nn.relu(convolve_of_jax(x, weights[f"{number}.weight"], weights[f"{number}.bias"]))
        x = jax.lax.reduce_window(x, -np.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
    x = jax.nn.relu(x @ weights["7.weight"] + weights["7.bias"])
    return x @ weights["9.weight"] + weights["9.bias"], buffers


def lenet(batch: int, size: int, width: int, hidden: int) -> Makers:
    """Return the makers of a step of the LeNet."""
    products = [
        *convolution_products(batch, size, 1, width, first=True),
        *convolution_products(batch, size // 2, width, 2 * width),
        *linear_products(batch, 2 * width * (size // 4) ** 2, hidden),
        *linear_products(batch, hidden, CLASSES),
    ]
    return training(
        Task(
            model=lambda: nnx.Model(lenet_layers(nnx, size, width, hidden, rng=nnx.generator(0))),
            of_torch=partial(lenet_of_torch, size, width, hidden),
            of_jax=lenet_of_jax,
            **images((batch, 1, size, size)),
            rule=ADAM,
            products=tuple(products),
        )
    )


class Block(nnx.Module):
    """Two convolutions with normalization, added to the input."""

    def __init__(self, channels: int, rng: np.random.Generator):
        self.first = nnx.Conv2d(channels, channels, 3, padding=1, bias=False, rng=rng)
        self.first_norm = nnx.BatchNorm2d(channels)
        self.second = nnx.Conv2d(channels, channels, 3, padding=1, bias=False, rng=rng)
        self.second_norm = nnx.BatchNorm2d(channels)

    def forward(self, x):
        """Map images to images of the same shape."""
        y = nnx.functional.relu(self.first_norm(self.first(x)))
        return nnx.functional.relu(self.second_norm(self.second(y)) + x)


def resnet_of_nnx(channels: int, blocks: int) -> nnx.Module:
    """Return nnx's model."""
    rng = nnx.generator(0)
    stem = [nnx.Conv2d(3, channels, 3, padding=1, bias=False, rng=rng), nnx.BatchNorm2d(channels), nnx.ReLU()]
    head = [nnx.GlobalAvgPool(), nnx.Flatten(), nnx.Linear(channels, CLASSES, rng=rng)]
    return nnx.Model([*stem, *(Block(channels, rng) for _ in range(blocks)), *head])


def resnet_of_torch(channels: int, blocks: int):
    """Return PyTorch's."""
    import torch
    from torch import nn

    class BlockOfTorch(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            self.first_norm = nn.BatchNorm2d(channels)
            self.second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            self.second_norm = nn.BatchNorm2d(channels)

        def forward(self, x):
            y = torch.relu(self.first_norm(self.first(x)))
            return torch.relu(self.second_norm(self.second(y)) + x)

    stem = [nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)]
    return nn.Sequential(*stem, *(BlockOfTorch() for _ in range(blocks)), *head)


def resnet_of_jax(blocks: int, weights, buffers, x):
    """Return JAX's logits, and the running statistics after the batch."""
    import jax
    import jax.numpy as jnp

    after = dict(buffers)

    def normalize(path, x):
        mean, variance = jnp.mean(x, (0, 1, 2)), jnp.var(x, (0, 1, 2))
        count = x.size // x.shape[-1]
        for name, found in (("mean", mean), ("variance", variance * (count / (count - 1)))):
            after[f"{path}.running_{name}"] = 0.9 * buffers[f"{path}.running_{name}"] + 0.1 * found
        scale = weights[f"{path}.weight"] * jax.lax.rsqrt(variance + 1e-5)
        return (x - mean) * scale + weights[f"{path}.bias"]

    x = convolve_of_jax(x.transpose(0, 2, 3, 1), weights["0.weight"])
    x = jax.nn.relu(normalize("1", x))
    for number in range(3, 3 + blocks):
        y = jax.nn.relu(normalize(f"{number}.first_norm", convolve_of_jax(x, weights[f"{number}.first.weight"])))
        y = normalize(f"{number}.second_norm", convolve_of_jax(y, weights[f"{number}.second.weight"]))
        x = jax.nn.relu(y + x)
    number = 5 + blocks
    return jnp.mean(x, (1, 2)) @ weights[f"{number}.weight"] + weights[f"{number}.bias"], after


def resnet(batch: int, size: int, channels: int, blocks: int) -> Makers:
    """Return the makers of a step of the ResNet."""
    products = [
        *convolution_products(batch, size, 3, channels, first=True),
        *(2 * blocks * convolution_products(batch, size, channels, channels)),
        *linear_products(batch, channels, CLASSES),
    ]
    return training(
        Task(
            model=partial(resnet_of_nnx, channels, blocks),
            of_torch=partial(resnet_of_torch, channels, blocks),
            of_jax=partial(resnet_of_jax, blocks),
            **images((batch, 3, size, size)),
            rule=ADAM,
            products=tuple(products),
        )
    )


def images(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Return normal numbers as images, and random classes."""
    rng = np.random.default_rng(0)
    return {"x": rng.standard_normal(shape, dtype=np.float32), "target": rng.integers(0, CLASSES, shape[0])}


WORKLOADS = (
    Workload(
        "LeNet-style CNN, 28x28, batch 64, Adam",
        lenet,
        {"batch": 64, "size": 28, "width": 16, "hidden": 128},
        {"batch": 2, "size": 8, "width": 2, "hidden": 4},
        (Target("best", {"torch": 0.55, "jax": 0.5}),),
    ),
    Workload(
        "ResNet-style CNN, 32x32x64, batch 32, Adam",
        resnet,
        {"batch": 32, "size": 32, "channels": 64, "blocks": 2},
        {"batch": 2, "size": 4, "channels": 2, "blocks": 1},
        (Target("best", {"torch": 1.0, "jax": 1.0}),),
    ),
)

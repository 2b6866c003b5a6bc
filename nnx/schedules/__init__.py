"""Schedules of the learning rate: pure functions of the step, made of numbers and of each other."""

from nnx.schedules.base import Schedule
from nnx.schedules.composition import Join, WarmUp
from nnx.schedules.cycles import CosineRestarts, OneCycle
from nnx.schedules.decays import (
    Constant,
    Cosine,
    Exponential,
    InverseSquareRoot,
    Linear,
    MultiStep,
    Polynomial,
    Step,
)

__all__ = [
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Exponential",
    "InverseSquareRoot",
    "Join",
    "Linear",
    "MultiStep",
    "OneCycle",
    "Polynomial",
    "Schedule",
    "Step",
    "WarmUp",
]

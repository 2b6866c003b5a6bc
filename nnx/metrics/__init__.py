"""Metrics: how good a model's outputs are, over any number of batches."""

from nnx.metrics.averages import Mean
from nnx.metrics.base import Metric
from nnx.metrics.classification import Accuracy, ConfusionMatrix, TopKAccuracy
from nnx.metrics.of_one_batch import accuracy, confusion_matrix, count_correct

__all__ = [
    "Accuracy",
    "ConfusionMatrix",
    "Mean",
    "Metric",
    "TopKAccuracy",
    "accuracy",
    "confusion_matrix",
    "count_correct",
]

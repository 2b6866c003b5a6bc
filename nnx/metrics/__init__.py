"""Metrics: how good a model's outputs are, over any number of batches."""

from nnx.metrics.averages import Mean
from nnx.metrics.base import Metric
from nnx.metrics.classification import Accuracy, ConfusionMatrix, TopKAccuracy
from nnx.metrics.language import Perplexity
from nnx.metrics.of_one_batch import accuracy, confusion_matrix, count_correct
from nnx.metrics.per_class import F1, Precision, Recall
from nnx.metrics.ranking import AUC
from nnx.metrics.regression import R2, MeanAbsoluteError, MeanSquaredError

__all__ = [
    "AUC",
    "F1",
    "R2",
    "Accuracy",
    "ConfusionMatrix",
    "Mean",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "Perplexity",
    "Precision",
    "Recall",
    "TopKAccuracy",
    "accuracy",
    "confusion_matrix",
    "count_correct",
]

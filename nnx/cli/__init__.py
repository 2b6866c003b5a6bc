"""The command ``nnx``: train, evaluate and use a classifier of digits without writing code."""

OK, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: done, an error, wrong options, Ctrl-C."""

LOSSES = {"cross-entropy": "CrossEntropy", "mse": "MSE", "mses": "MSES"}
"""What the command calls a loss, and its class."""

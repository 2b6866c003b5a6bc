"""The command ``nnx``: train, evaluate and use a digit classifier without writing code."""

OK, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: done, an error, wrong options, Ctrl-C."""

LOSSES = {"cross-entropy": "CrossEntropy", "mse": "MSE", "mses": "MSES"}
"""The names of losses in the command, and their classes."""

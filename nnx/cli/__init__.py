"""The command ``nnx``: train, evaluate and use a classifier of digits without writing code."""

OK, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: done, an error, wrong options, Ctrl-C."""

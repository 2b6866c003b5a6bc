"""One benchmark of nnx beside its peers: ``python -m benchmarks``. The README says what it runs and what is fair.

The other programs of this folder each look at one thing, and are run by themselves.
"""

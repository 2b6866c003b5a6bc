"""The namespace of array-api-strict with every array traced: see :mod:`nnx.testing.everything_traced`."""

from nnx.testing.everything_traced import everything_traced

globals().update(everything_traced("array-api-strict", __name__))

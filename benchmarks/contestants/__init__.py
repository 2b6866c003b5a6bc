"""How each contestant builds a step from the one description of a workload; a file for each library.

A contestant is a function without arguments: it takes a step and returns what is compared, the loss or an output.
"""

"""Native bodies for JAX arrays: XLA's own implementations, compiled once for each shape, and differentiated by JAX."""

"""Arithmetic on boxes, maps and kernels that knows nothing of networks."""

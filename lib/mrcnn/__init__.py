"""Mask R-CNN in Keras 3, on TensorFlow, JAX or PyTorch."""

from mrcnn.backend_check import require_backend

require_backend()
del require_backend

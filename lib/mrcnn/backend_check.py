"""A helpful sentence when Keras is there but the library it computes with is not."""

import importlib.util
import json
import os
import sys
from pathlib import Path

# What each backend of Keras imports, and the extra of this package that installs it.
WHEELS = {
    "tensorflow": ("tensorflow", "cpu"),
    "jax": ("jax", "jax"),
    "torch": ("torch", "torch"),
}


def require_backend():
    """Check, without importing it, that the backend Keras will choose is installed.

    Raises:
        ImportError: names the missing package and the command that installs it.
    """
    if "keras" in sys.modules:
        return
    backend, chosen_by = _chosen_backend()
    if backend not in WHEELS or _is_installed(WHEELS[backend][0]):
        return
    package, extra = WHEELS[backend]
    others = [name for name, (module, _) in WHEELS.items() if _is_installed(module)]
    advice = f"Install one with: pip install 'siamese-mask-rcnn[{extra}]'"
    if backend == "tensorflow":
        advice += " (or [gpu] for NVIDIA cards)"
    if others:
        advice += f"; or set the environment variable KERAS_BACKEND={others[0]}, which is installed"
    raise ImportError(
        f"Keras computes with {package} here ({chosen_by}), but {package} is not installed. "
        f"{advice}."
    )


def keras_home():
    """Path of the folder that Keras keeps its settings and what it fetches in."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")


def _chosen_backend():
    """Keras' own order: the environment, then keras.json, then TensorFlow."""
    backend = os.environ.get("KERAS_BACKEND")
    if backend:
        return backend, "set by KERAS_BACKEND"
    path = keras_home() / "keras.json"
    try:
        backend = json.loads(path.read_text()).get("backend")
    except (OSError, ValueError):
        backend = None
    return (backend, f"set in {path}") if backend else ("tensorflow", "its default")


def _is_installed(module):
    """Whether the module can be found; a mere folder of that name does not count."""
    try:
        found = importlib.util.find_spec(module)
    except ValueError:  # an entry of sys.modules without a specification
        return False
    return found is not None and found.origin is not None

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
FLOATS = ["float16", "float32", "float64"]
LAYOUTS = ["channels_last", "channels_first"]


def require_backend():
    """Check, without importing it, that the backend Keras will choose is known and installed.

    Raises:
        ImportError: names the missing package and the command that installs it, or the setting of
            Keras that cannot be used.
    """
    if "keras" in sys.modules:
        return
    backend, chosen_by = _chosen_backend()
    if backend not in list(WHEELS):  # which may be unhashable
        raise ImportError(
            f"Keras is to compute with {backend!r} here ({chosen_by}), but this program computes "
            f"with one of {', '.join(WHEELS)}: choose by the environment variable KERAS_BACKEND."
        )
    if _is_installed(WHEELS[backend][0]):
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
    path = keras_home() / "keras.json"
    settings = _settings_of(path)
    backend = os.environ.get("KERAS_BACKEND")
    if backend:
        return backend, "set by KERAS_BACKEND"
    backend = settings.get("backend", "tensorflow")
    return backend, f"set in {path}" if "backend" in settings else "its default"


def _settings_of(path):
    """Keras' settings, {} where it would find none; of others it would say what helps nobody."""
    try:
        settings = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    fits = isinstance(settings, dict)
    fits = fits and settings.get("floatx", "float32") in FLOATS
    fits = fits and settings.get("image_data_format", "channels_last") in LAYOUTS
    fits = fits and type(settings.get("epsilon", 0.1)) is float
    if not fits:
        raise ImportError(
            f"{path} does not hold settings that Keras can use, an object such as "
            '{"floatx": "float32", "epsilon": 1e-07, "backend": "tensorflow", '
            '"image_data_format": "channels_last"}. Correct it, or delete it.'
        )
    return settings


def _is_installed(module):
    """Whether the module can be found; a mere folder of that name does not count."""
    try:
        found = importlib.util.find_spec(module)
    except ValueError:  # an entry of sys.modules without a specification
        return False
    return found is not None and found.origin is not None

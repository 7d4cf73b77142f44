"""Chance for programs that seed numpy's global generator, as those of Matterport's time do."""

import numpy as np


def global_generator():
    """A new `numpy.random.Generator`, seeded by numpy's global generator."""
    return np.random.default_rng(np.random.randint(2**31))  # noqa: NPY002

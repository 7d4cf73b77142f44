"""The paper's experiments, as the notebooks call them."""

from siamese_mrcnn.experiments.paper import SPLITS, setting

__all__ = ["SPLITS", "setting"]

"""Mask R-CNN as layers, one file a box of the paper's figure."""

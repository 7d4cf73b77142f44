"""COCO as a one-shot data set: splits, references, samples to train on, download."""

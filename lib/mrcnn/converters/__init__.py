"""Weights of other programs: Detectron's and pytorch-mask-rcnn's."""

"""Scenes of cut-outs pasted on photos, in COCO's own layout."""

"""Data of one's own, in whatever form, as a data set or as COCO's files."""

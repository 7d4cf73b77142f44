"""Pictures of images, boxes, masks and numbers."""

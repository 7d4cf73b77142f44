"""What programs written for Matterport's Mask R-CNN 2.1 call."""

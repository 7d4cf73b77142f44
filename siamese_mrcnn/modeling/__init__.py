"""The paper's figure: references encoded, matched and fed to Mask R-CNN."""

"""Pictures of one-shot results: the image searched, what was found, the reference in a corner."""

from siamese_mrcnn.figures.detections import (
    draw_inset,
    draw_panels,
    draw_result,
    picture_of,
    save_figure,
)

__all__ = ["draw_inset", "draw_panels", "draw_result", "picture_of", "save_figure"]

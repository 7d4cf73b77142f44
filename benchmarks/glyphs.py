"""Speed of drawing glyph scenes on one core: `python -m benchmarks.glyphs`."""

import argparse
import functools
import tempfile
import time
from pathlib import Path

import cv2

from siamese_mrcnn.synthetic.glyph_categories import choose_categories
from siamese_mrcnn.synthetic.glyph_scenes import glyph_field
from siamese_mrcnn.synthetic.glyphs import draw_indexed_scene
from siamese_mrcnn.synthetic.pieces import Piece, draw_piece

WARM_UP = 8  # scenes


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.glyphs", description=__doc__)
    parser.add_argument("--size", type=int, default=256, help="side of a scene, pixels")
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--categories", type=int, default=80)
    arguments = parser.parse_args()
    cv2.setNumThreads(0)

    start = time.perf_counter(), time.process_time()
    chosen = choose_categories(arguments.categories)
    _report(f"choice of {arguments.categories} categories", start)

    characters = "".join(category.character for category in chosen)
    recipe = {"train_images": 1, "image_size": arguments.size, "characters": characters, "seed": 0}
    start = time.perf_counter(), time.process_time()
    for character in characters:
        glyph_field(character)
    _report(f"fields of {len(characters)} glyphs", start)

    draw = functools.partial(draw_indexed_scene, recipe)
    with tempfile.TemporaryDirectory() as folder:
        draw_piece(Piece(Path(folder), recipe, draw, "train", 0, WARM_UP))
        piece = Piece(Path(folder), recipe, draw, "train", WARM_UP, WARM_UP + arguments.scenes)
        start = time.perf_counter(), time.process_time()
        draw_piece(piece)
        wall, cpu = _report(f"{arguments.scenes} scenes of {arguments.size} pixels", start)
    print(
        f"{arguments.scenes / wall:.1f} scenes a second ({arguments.scenes / cpu:.1f} of CPU time)"
    )


def _report(what, start):
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    print(f"{what:36} {wall:8.2f} s, CPU {cpu:8.2f} s")
    return wall, cpu


if __name__ == "__main__":
    main()

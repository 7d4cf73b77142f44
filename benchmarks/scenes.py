"""Speed of pasting scenes on one core: `python -m benchmarks.scenes`."""

import argparse
import functools
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from siamese_mrcnn.cut_paste.composition import Stock, draw_indexed_scene
from siamese_mrcnn.cut_paste.scenes import PREPARED, prepare, read_catalogue
from siamese_mrcnn.own_data.cutouts import find_cutouts, find_pictures
from siamese_mrcnn.synthetic.glyph_font import character_ink
from siamese_mrcnn.synthetic.glyph_textures import paint_background, sample_palette
from siamese_mrcnn.synthetic.pieces import Piece, draw_piece

WARM_UP = 8  # scenes
CHARACTERS, VIEWS, PHOTOS = "♠★✿⚗✈♛AB&", 5, 20  # of what is drawn where nothing is given
CUTOUT, PHOTO = 320, 640  # sides, pixels


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scenes", description=__doc__)
    parser.add_argument("--size", type=int, default=384, help="side of a scene, pixels")
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--cutouts", nargs="+", help="as of make-scenes (default: drawn ones)")
    parser.add_argument("--backgrounds", nargs="+", help="as of make-scenes (default: drawn ones)")
    arguments = parser.parse_args()
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), arguments)


def measure(folder, arguments):
    recipe = {"train_images": 1, "image_size": arguments.size, "seed": 0}
    cutouts = find_cutouts(arguments.cutouts or [draw_cutouts(folder / "cutouts")])[0]
    photos = find_pictures(arguments.backgrounds or [draw_photos(folder / "photos")])
    start = time.perf_counter(), time.process_time()
    prepare(folder, cutouts, photos, recipe, progress=False)
    report(f"{len(cutouts)} cut-outs, {len(photos)} backgrounds prepared", start)
    draw = functools.partial(
        draw_indexed_scene, Stock(folder / PREPARED, read_catalogue(folder)), recipe
    )
    draw_piece(Piece(folder, recipe, draw, "train", 0, WARM_UP))
    start = time.perf_counter(), time.process_time()
    draw_piece(Piece(folder, recipe, draw, "train", WARM_UP, WARM_UP + arguments.scenes))
    wall, cpu = report(f"{arguments.scenes} scenes of {arguments.size} pixels", start)
    print(
        f"{arguments.scenes / wall:.1f} scenes a second ({arguments.scenes / cpu:.1f} of CPU time)"
    )


def draw_cutouts(folder):
    """Patterns in the outlines of characters."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number, character in enumerate(CHARACTERS):
        ink = character_ink(character, CUTOUT).astype(np.uint8) * 255
        for view in range(VIEWS):
            paint = paint_background(rng, max(ink.shape), sample_palette(rng))
            pixels = np.dstack([paint[: ink.shape[0], : ink.shape[1]].astype(np.uint8), ink])
            padded = cv2.copyMakeBorder(pixels, 9, 9, 9, 9, cv2.BORDER_CONSTANT, value=0)
            cv2.imwrite(str(folder / f"{chr(97 + number)}__{view}.png"), padded)
    return folder


def draw_photos(folder):
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(PHOTOS):
        photo = paint_background(rng, PHOTO, sample_palette(rng))
        cv2.imwrite(str(folder / f"{number}.jpg"), photo.astype(np.uint8))
    return folder


def report(what, start):
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    print(f"{what:44} {wall:8.2f} s, CPU {cpu:8.2f} s")
    return wall, cpu


if __name__ == "__main__":
    main()

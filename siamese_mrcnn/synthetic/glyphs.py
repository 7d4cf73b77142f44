"""A one-shot benchmark of any size: cluttered scenes of symbols, in COCO's own layout."""

import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mrcnn.progress import progress_bar
from siamese_mrcnn.data.coco_writer import (
    DrawnFolderError,
    annotation_entry,
    check_counts,
    claimed,
    image_entry,
    write_json,
    write_picture,
)
from siamese_mrcnn.data.splits import NUM_SPLITS
from siamese_mrcnn.synthetic.glyph_categories import choose_categories
from siamese_mrcnn.synthetic.glyph_scenes import draw_glyph_scene

MARKER = "glyphs.json"  # says what the folder was drawn from
PIECES = ".pieces"  # folder of what is drawn already, until a portion is complete
SCENES_A_PIECE = 32
SIDES = (64, 4096)  # smallest and largest image, pixels
DECK = 1  # keeps the random numbers of the order of categories apart from those of scenes


@dataclass(frozen=True)
class Piece:
    """Some consecutive scenes of a portion, from `start` to below `stop`: a worker's task."""

    folder: Path
    recipe: dict
    portion: str
    start: int
    stop: int

    @property
    def file(self):
        return self.folder / PIECES / f"{self.portion}_{self.start:08d}.json"


def make_glyphs(
    folder,
    train_images=20000,
    val_images=2000,
    image_size=256,
    categories=80,
    seed=0,
    workers=None,
    progress=True,
):
    """Draw a data set of glyphs; the same arguments give the same files.

    Writes train2017/, val2017/ and annotations/instances_{train,val}2017.json, whose category ids
    are 1 to `categories`, so that the one-shot splits apply as they do to COCO: each leaves out
    every fourth category. A folder that already holds this very data set is left as it is; of a
    half-drawn one the missing scenes are drawn.

    Args:
        folder: where to draw; empty, missing, or drawn by this function with equal arguments.
        train_images, val_images: numbers of scenes.
        image_size: side of the square images, pixels.
        categories: their number; the choice depends on nothing else.
        seed: of everything that is drawn at random.
        workers: processes; as many as there are cores if None. They do not change the files.
        progress: whether to show a bar.

    Returns:
        pathlib.Path of the folder.

    Raises:
        DrawnFolderError: if the folder holds something else, or a number makes no sense.
        CategoriesError: if the font has not so many characters that differ.
    """
    folder = Path(folder)
    check_counts(train_images, val_images, image_size, SIDES, seed)
    if categories < NUM_SPLITS:
        raise DrawnFolderError(
            f"The data set needs at least {NUM_SPLITS} categories, one for each split to leave "
            f"out, not {categories}."
        )
    chosen = choose_categories(categories)
    recipe = {
        "drawn_by": "siamese_mrcnn.synthetic.glyphs",
        "train_images": int(train_images),
        "val_images": int(val_images),
        "image_size": int(image_size),
        "characters": "".join(category.character for category in chosen),
        "seed": int(seed),
    }
    with claimed(folder, MARKER, recipe):
        portions = [
            portion for portion in ("train", "val") if not _annotations(folder, portion).exists()
        ]
        pieces = {portion: _pieces(folder, recipe, portion) for portion in portions}
        _draw([*itertools.chain(*pieces.values())], workers or os.cpu_count() or 1, progress)
        for portion in portions:
            _join(pieces[portion], _annotations(folder, portion), chosen)
        with contextlib.suppress(FileNotFoundError):
            (folder / PIECES).rmdir()
    return folder


def _annotations(folder, portion):
    return folder / "annotations" / f"instances_{portion}2017.json"


def _pieces(folder, recipe, portion):
    count = recipe[f"{portion}_images"]
    return [
        Piece(folder, recipe, portion, start, min(start + SCENES_A_PIECE, count))
        for start in range(0, count, SCENES_A_PIECE)
    ]


def _draw(pieces, workers, progress):
    """Draw the pieces that are missing."""
    missing = [piece for piece in pieces if not piece.file.exists()]
    scenes = sum(piece.stop - piece.start for piece in pieces)
    done = scenes - sum(piece.stop - piece.start for piece in missing)
    with progress_bar("scenes", progress) as bar:
        task = bar.add_task("Drawing", total=scenes, completed=done)
        for piece in _drawn(missing, min(workers, len(missing))):
            bar.advance(task, piece.stop - piece.start)


def _drawn(pieces, workers):
    """The pieces, each when it is drawn."""
    if workers <= 1:
        yield from map(draw_piece, pieces)
        return
    context = multiprocessing.get_context("spawn")  # forking is not safe beside threads
    executor = ProcessPoolExecutor(workers, context, initializer=_begin_worker)
    try:
        for future in as_completed([executor.submit(draw_piece, piece) for piece in pieces]):
            yield future.result()
    except BrokenProcessPool as error:
        raise OSError(
            "A process that draws has ended: for want of memory, or because the script that calls "
            'this does so outside of `if __name__ == "__main__":`. What is drawn is kept: repeat '
            "the call, with fewer workers or so guarded, to draw the rest."
        ) from error
    finally:  # pieces in the making are completed, the others are not begun
        executor.shutdown(cancel_futures=True)


def _begin_worker():
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the parent process decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(0)  # the workers share the cores already


def _end_with_parent():
    """A killed parent cannot end its workers."""
    multiprocessing.parent_process().join()
    os._exit(1)


def draw_piece(piece):
    """Write the pictures of a piece, then its entries; gives the piece back."""
    images, annotations, recipe = [], [], piece.recipe
    first_id = 1 if piece.portion == "train" else recipe["train_images"] + 1
    for index in range(piece.start, piece.stop):
        picture, instances = _draw_scene(recipe, piece.portion, index)
        images.append(image_entry(first_id + index, picture))
        path = piece.folder / f"{piece.portion}2017" / images[-1]["file_name"]
        write_picture(path, picture)
        for position, mask in instances:
            # Numbers across pieces are known when all of them are drawn.
            annotations.append(annotation_entry(0, first_id + index, position + 1, False, mask))
    write_json(piece.file, {"images": images, "annotations": annotations})
    return piece


def _draw_scene(recipe, portion, index):
    """One scene; in as many scenes as there are categories, each comes first once."""
    characters = recipe["characters"]
    turn, place = divmod(index, len(characters))
    key = [recipe["seed"], portion == "val"]
    first = int(_order(*key, turn, len(characters))[place])
    rng = np.random.default_rng([*key, index])
    return draw_glyph_scene(rng, recipe["image_size"], characters, first)


def _order(seed, is_val, turn, categories):
    return np.random.default_rng([seed, is_val, turn, DECK]).permutation(categories)


def _join(pieces, annotation_file, chosen):
    """Write a portion's annotations, and remove its pieces."""
    images, annotations = [], []
    for piece in pieces:
        content = json.loads(piece.file.read_text(encoding="utf-8"))
        images += content["images"]
        annotations += content["annotations"]
    for number, annotation in enumerate(annotations):
        annotation["id"] = number + 1
    categories = [
        {"supercategory": category.kind, "id": number + 1, "name": category.name}
        for number, category in enumerate(chosen)
    ]
    write_json(
        annotation_file,
        {
            "info": pieces[0].recipe,
            "licenses": [],
            "images": images,
            "annotations": annotations,
            "categories": categories,
        },
    )
    for piece in pieces:
        piece.file.unlink()

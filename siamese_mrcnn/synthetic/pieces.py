"""Drawing many scenes in pieces: by several processes, to be gone on with, joined to COCO files."""

import contextlib
import itertools
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from mrcnn.progress import progress_bar
from siamese_mrcnn.data.coco_writer import (
    annotation_entry,
    image_entry,
    write_json,
    write_picture,
)

PIECES = ".pieces"  # folder of what is drawn already, until a portion is complete
PORTIONS = ("train", "val")
SCENES_A_PIECE = 32
DECK = 1  # keeps the random numbers of the order of categories apart from those of scenes


@dataclass(frozen=True)
class Instance:
    """What a scene shows of a thing: category as a position, bool [H, W], and more to write."""

    category: int
    mask: np.ndarray
    notes: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Scene:
    """A picture, uint8 [H, W, 3] RGB, its `Instance`s, and what else to write of the image."""

    picture: np.ndarray
    instances: list
    notes: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Piece:
    """Some consecutive scenes of a portion, from `start` to below `stop`: a worker's task."""

    folder: Path
    recipe: dict
    draw: Callable  # (portion, index) to `Scene`; workers must be able to import it
    portion: str
    start: int
    stop: int

    @property
    def file(self):
        return self.folder / PIECES / f"{self.portion}_{self.start:08d}.json"


def draw_portions(folder, recipe, draw, categories, workers=None, progress=True):
    """Draw the portions that are missing in a folder that is claimed, in COCO's own layout.

    Args:
        folder: pathlib.Path.
        recipe: with "train_images" and "val_images"; written as "info".
        draw: function (portion, index) that gives a `Scene` which depends on nothing else.
        categories: [(supercategory, name)]; their ids are 1, 2, ...
        workers: processes; as many as there are cores if None. They do not change the files.
        progress: whether to show a bar.

    Raises:
        OSError: a process has ended, or the disk is full.
    """
    portions = missing_portions(folder)
    pieces = {portion: _pieces(folder, recipe, draw, portion) for portion in portions}
    _draw([*itertools.chain(*pieces.values())], workers or os.cpu_count() or 1, progress)
    for portion in portions:
        _join(pieces[portion], _annotations(folder, portion), categories)
    with contextlib.suppress(FileNotFoundError):
        (folder / PIECES).rmdir()


def missing_portions(folder):
    """The portions whose annotations a folder lacks."""
    return [portion for portion in PORTIONS if not _annotations(folder, portion).exists()]


def category_in_turn(seed, portion, index, categories):
    """The category of a scene that comes first, as a position.

    In as many scenes as there are categories, each does so once.
    """
    turn, place = divmod(index, categories)
    key = [seed, portion == "val", turn, DECK]
    return int(np.random.default_rng(key).permutation(categories)[place])


def scene_generator(seed, portion, index):
    """The numpy Generator of a scene."""
    return np.random.default_rng([seed, portion == "val", index])


def draw_piece(piece):
    """Write the pictures of a piece, then its entries; gives the piece back."""
    images, annotations = [], []
    first_id = 1 if piece.portion == "train" else piece.recipe["train_images"] + 1
    for index in range(piece.start, piece.stop):
        scene = piece.draw(piece.portion, index)
        images.append(image_entry(first_id + index, scene.picture) | scene.notes)
        path = piece.folder / f"{piece.portion}2017" / images[-1]["file_name"]
        write_picture(path, scene.picture)
        for each in scene.instances:
            # Numbers across pieces are known when all of them are drawn.
            entry = annotation_entry(0, first_id + index, each.category + 1, False, each.mask)
            annotations.append(entry | each.notes)
    write_json(piece.file, {"images": images, "annotations": annotations})
    return piece


def _annotations(folder, portion):
    return folder / "annotations" / f"instances_{portion}2017.json"


def _pieces(folder, recipe, draw, portion):
    count = recipe[f"{portion}_images"]
    return [
        Piece(folder, recipe, draw, portion, start, min(start + SCENES_A_PIECE, count))
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


def _join(pieces, annotation_file, categories):
    """Write a portion's annotations, and remove its pieces."""
    images, annotations = [], []
    for piece in pieces:
        content = json.loads(piece.file.read_text(encoding="utf-8"))
        images += content["images"]
        annotations += content["annotations"]
    for number, annotation in enumerate(annotations):
        annotation["id"] = number + 1
    write_json(
        annotation_file,
        {
            "info": pieces[0].recipe,
            "licenses": [],
            "images": images,
            "annotations": annotations,
            "categories": [
                {"supercategory": kind, "id": number, "name": name}
                for number, (kind, name) in enumerate(categories, start=1)
            ],
        },
    )
    for piece in pieces:
        piece.file.unlink()

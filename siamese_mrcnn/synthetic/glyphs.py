"""A one-shot benchmark of any size: cluttered scenes of symbols, in COCO's own layout."""

import functools
from pathlib import Path

from siamese_mrcnn.data.coco_writer import DrawnFolderError, check_counts, claimed
from siamese_mrcnn.data.splits import NUM_SPLITS
from siamese_mrcnn.synthetic.glyph_categories import choose_categories
from siamese_mrcnn.synthetic.glyph_scenes import draw_glyph_scene
from siamese_mrcnn.synthetic.pieces import (
    Instance,
    Scene,
    category_in_turn,
    draw_portions,
    scene_generator,
)

MARKER = "glyphs.json"  # says what the folder was drawn from
SIDES = (64, 4096)  # smallest and largest image, pixels


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
        draw = functools.partial(draw_indexed_scene, recipe)
        names = [(category.kind, category.name) for category in chosen]
        draw_portions(folder, recipe, draw, names, workers, progress)
    return folder


def draw_indexed_scene(recipe, portion, index):
    """The scene of a number, as `pieces.Scene`."""
    characters, seed = recipe["characters"], recipe["seed"]
    first = category_in_turn(seed, portion, index, len(characters))
    rng = scene_generator(seed, portion, index)
    picture, instances = draw_glyph_scene(rng, recipe["image_size"], characters, first)
    return Scene(picture, [Instance(position, mask) for position, mask in instances])

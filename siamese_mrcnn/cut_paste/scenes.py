"""A data set of any size from cut-outs and photos, in COCO's own layout.

The idea is that of Dwibedi, Misra, Hebert: Cut, Paste and Learn, 2017.
"""

import functools
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mrcnn.images.picture_files import ImageError
from mrcnn.progress import track
from siamese_mrcnn.cut_paste.catalogue import (
    Catalogue,
    View,
    divide,
    divide_backgrounds,
    look_of,
    nearest,
)
from siamese_mrcnn.cut_paste.composition import (
    Stock,
    background_name,
    cutout_name,
    draw_indexed_scene,
)
from siamese_mrcnn.cut_paste.pyramids import write_background, write_pyramid
from siamese_mrcnn.cut_paste.seams import OPAQUE
from siamese_mrcnn.data.coco_writer import check_counts, claimed, write_json
from siamese_mrcnn.fingerprints import file_fingerprint, fingerprint
from siamese_mrcnn.own_data.cutouts import (
    CutoutError,
    find_cutouts,
    find_pictures,
    read_cutouts,
)
from siamese_mrcnn.own_data.image_files import some
from siamese_mrcnn.synthetic.pieces import (
    draw_portions,
    missing_portions,
)

MARKER = "scenes.json"  # says what the folder was drawn from
THINGS = "things.json"  # the catalogue: which thing and photo is for which portion
PREPARED = ".prepared"  # folder of cut-outs and photos at the sizes needed, until all is drawn
SIDES = (64, 4096)  # smallest and largest image, pixels
LEAST_CATEGORIES = 2
MOST_CUTOUTS = 400  # of a category; of more so many are drawn
CHOICE = 3  # keeps the random numbers of that draw apart from others
NAMED = 3  # of many cut-outs that cannot be used, how many are explained


class Made(NamedTuple):
    """What was drawn: the folder, and sentences on what it shows and what was left out."""

    folder: Path
    notes: tuple[str, ...]


def make_scenes(
    folder,
    cutouts,
    backgrounds=(),
    train_images=2000,
    val_images=200,
    image_size=384,
    seed=0,
    workers=None,
    progress=True,
    **options,
):
    """Draw a data set of scenes; the same arguments and pictures give the same files.

    Writes what `siamese_mrcnn.synthetic.glyphs.make_glyphs` writes, goes on as that does, and
    things.json: each cut-out, its thing and for which portion it serves. Annotations have the
    names of their "thing" and "cutout", images that of their "background".

    Args:
        folder: where to draw; empty, missing, or drawn by this function from the same.
        cutouts: paths, see `siamese_mrcnn.own_data.cutouts`.
        backgrounds: folders of photos or photos; without any, backgrounds are drawn.
        train_images, val_images: numbers of scenes.
        image_size: side of the square images, pixels.
        seed: of everything that is drawn at random, and of what is kept for validation.
        workers: processes; as many as there are cores if None. They do not change the files.
        progress: whether to show bars.
        options: how to read annotated cut-outs, as of `own_data.load.read_own_data`.

    Returns:
        `Made`.

    Raises:
        DrawnFolderError: the folder holds something else, or a number makes no sense.
        CutoutError: there are no cut-outs, or all are of one category.
        ValueError, OSError: cut-outs or backgrounds cannot be read.
    """
    folder = Path(folder)
    check_counts(train_images, val_images, image_size, SIDES, seed)
    found, notes = find_cutouts(cutouts, **options)
    _check_categories(found)
    found, more = _at_most(found, seed)
    photos = find_pictures(backgrounds)
    recipe = {
        "drawn_by": "siamese_mrcnn.cut_paste.scenes",
        "train_images": int(train_images),
        "val_images": int(val_images),
        "image_size": int(image_size),
        "seed": int(seed),
        "cutouts": fingerprint([_content_of(each) for each in found]),
        "backgrounds": fingerprint([[path.name, _content(path)] for path in photos]),
    }
    with claimed(folder, MARKER, recipe):
        if missing_portions(folder):
            if not ((folder / THINGS).exists() and (folder / PREPARED).exists()):
                prepare(folder, found, photos, recipe, notes + more, progress)
            catalogue = read_catalogue(folder)
            names = [("thing", name) for name in catalogue.categories]
            stock = Stock(folder / PREPARED, catalogue)
            draw = functools.partial(draw_indexed_scene, stock, recipe)
            draw_portions(folder, recipe, draw, names, workers, progress)
            shutil.rmtree(folder / PREPARED)
    return Made(folder, tuple(read_catalogue(folder).notes))


# --- preparing ----------------------------------------------------------------------------------


def prepare(folder, cutouts, photos, recipe, notes=(), progress=True):
    """Write cut-outs and photos at the sizes needed, then the catalogue.

    Args:
        folder: pathlib.Path, claimed.
        cutouts, photos: list of `Cutout`, list of paths.
        recipe: with "image_size" and "seed".
        notes: sentences to write with the catalogue's own.
        progress: whether to show bars.

    Raises:
        CutoutError: what can be used of the cut-outs is of one category at most.
    """
    place, side, seed = folder / PREPARED, recipe["image_size"], recipe["seed"]
    place.mkdir(parents=True, exist_ok=True)
    read, looks, broken = [], [], []
    pixels_of = track(read_cutouts(cutouts), "Cutting out", "cut-outs", len(cutouts), progress)
    for number, (cutout, pixels) in enumerate(pixels_of):
        if isinstance(pixels, Exception):
            broken.append(pixels)
            continue
        largest = write_pyramid(place / cutout_name(number), pixels, side)
        looks.append((cutout.category, look_of(largest)))
        area = int(np.count_nonzero(largest[..., 3] >= OPAQUE))
        read.append((cutout, number, area, max(largest.shape[:2])))
    try:
        _check_categories([cutout for cutout, *_ in read], broken)
    except CutoutError:  # so that the folder can be used when they are mended
        shutil.rmtree(place)
        (folder / MARKER).unlink(missing_ok=True)
        raise
    read.sort(key=lambda each: each[0].name)
    portions, said = divide([cutout for cutout, *_ in read], seed)
    views = [
        View(number, each.name, each.category, each.thing, area, longer, portions[each.name])
        for each, number, area, longer in read
    ]
    names, skipped = _prepare_photos(place, photos, side, progress)
    backgrounds, of_backgrounds = divide_backgrounds(len(names), seed)
    categories = sorted({view.category for view in views})
    things = len({view.thing for view in views})
    summary = f"{len(views)} cut-outs of {things} things of {len(categories)} categories."
    notes = [summary, said, of_backgrounds, *notes, *_unusable("cut-outs", broken)]
    notes += _unusable("backgrounds", skipped)
    near = nearest(looks, categories)
    catalogue = Catalogue(categories, views, near, names, backgrounds, notes)
    write_json(folder / THINGS, catalogue.to_json())


def _prepare_photos(place, photos, side, progress):
    """Write the backgrounds; gives their names, and errors of those that cannot be read."""
    names, broken = [], []
    for path in track(photos, "Shrinking", "backgrounds", shown=progress):
        try:
            write_background(place / background_name(len(names)), path, side)
        except ImageError as error:
            broken.append(error)
        else:
            names.append(path.name)
    return names, broken


def _unusable(what, errors):
    if not errors:
        return []
    said = " ".join(str(error) for error in errors[:NAMED])
    more = f" And {len(errors) - NAMED} more." if len(errors) > NAMED else ""
    return [f"{len(errors)} {what} cannot be used and are left out: {said}{more}"]


def _check_categories(cutouts, broken=()):
    """Refuse cut-outs from which nothing can be told apart."""
    names = sorted({each.category for each in cutouts})
    why = "".join(f" {sentence}" for sentence in _unusable("cut-outs", broken))
    if not names:
        raise CutoutError(f"No cut-out can be used.{why}")
    if len(names) < LEAST_CATEGORIES:
        raise CutoutError(
            f"Scenes need {LEAST_CATEGORIES} categories at least, but all cut-outs are of "
            f"{names[0]!r}. Add cut-outs of other things, so that telling them apart can be "
            f'learned. Folders, or names before "__", are categories.{why}'
        )


def _at_most(cutouts, seed):
    """Not more than `MOST_CUTOUTS` of each category, and a sentence if some are left."""
    rng, of_category = np.random.default_rng([seed, CHOICE]), {}
    for each in cutouts:
        of_category.setdefault(each.category, []).append(each)
    many = [name for name, members in of_category.items() if len(members) > MOST_CUTOUTS]
    for name in many:
        members = of_category[name]
        drawn = sorted(rng.choice(len(members), MOST_CUTOUTS, replace=False))
        of_category[name] = [members[place] for place in drawn]
    notes = [f"{MOST_CUTOUTS} cut-outs each were drawn of: {some(many)}."] if many else []
    kept = [each for members in of_category.values() for each in members]
    return sorted(kept, key=lambda each: each.name), notes


def _content_of(cutout):
    """All that the scenes depend on."""
    outline = cutout.outline
    if isinstance(outline, dict):
        outline = {"segmentation": outline["segmentation"], "shape": cutout.shape}
    elif outline is not None:
        outline = _content(outline)
    return [cutout.name, cutout.category, cutout.thing, _content(cutout.picture), outline]


@functools.lru_cache(maxsize=4)  # the instances of one photo may follow each other
def _content(path):
    try:
        return file_fingerprint(path)
    except OSError:  # told when it is read
        return None


def read_catalogue(folder):
    """The `Catalogue` that `prepare` wrote."""
    return Catalogue.from_json(json.loads((folder / THINGS).read_text(encoding="utf-8")))

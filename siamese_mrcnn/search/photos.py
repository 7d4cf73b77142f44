"""Searching photos for things: it goes on where it stopped, and ranks what it found."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mrcnn.files import atomic_path, written_whole
from mrcnn.harmless_text import for_csv
from mrcnn.images.image import read_image
from mrcnn.images.mask_pieces import encode_one
from mrcnn.images.picture_files import open_picture
from mrcnn.visualize import new_axes, show_image
from siamese_mrcnn.data.references import prepare_reference
from siamese_mrcnn.figures.detections import draw_result, save_figure
from siamese_mrcnn.figures.query_grids import justified_axes
from siamese_mrcnn.fingerprints import (
    array_fingerprint,
    file_fingerprint,
    fingerprint,
    model_fingerprint,
)
from siamese_mrcnn.search.things import encode
from siamese_mrcnn.tiles import tile_side

RANKING, BEST = "ranking.csv", "best.png"
COLUMNS = ("rank", "image", "found", "best_score", "drawing")
LABELS = "labels"  # one more, where things have names
PICTURED, PICTURES_IN_A_ROW = 12, 4  # of the best photos
DPI = 100
MOST_IN_CORNER = 4  # things whose references are drawn over a photo
LARGE = 2400, 150  # pixels of a drawing in which small things are seen, and how many an inch


@dataclass(frozen=True)
class Finding:
    """What a photo holds of the things: its drawing and the scores, best first."""

    photo: Path
    drawing: Path
    scores: tuple
    is_new: bool  # or it was found by an earlier call
    labels: tuple | None = None  # of the scores, where things have names

    @property
    def best_score(self):
        """0 where nothing was found."""
        return max(self.scores, default=0.0)

    @property
    def words(self):
        """What was found, in words."""
        return f"{len(self.scores)} found"

    @property
    def result(self):
        """The file to look at."""
        return self.drawing


class PhotoSearch:
    """Searches photos, one after the other, for what references show.

    Args:
        model: `SiameseMaskRCNN` in inference mode.
        things: list of `siamese_mrcnn.search.things.Thing`: one that has no name, or all have.
        negatives: the same of what must not be found.
        library: `ReferenceLibrary` that they are kept in, if they are.
        filled: False draws the outlines of masks alone.
        tiles: True or a side searches in tiles, too, see `siamese_mrcnn.tiles`.
    """

    def __init__(self, model, things, negatives=(), library=None, filled=True, tiles=None):
        self.model, self.things, self.negatives, self.filled = model, things, negatives, filled
        self.tiles = tile_side(tiles, model.config) if tiles else None
        self.has_names = bool(things[0].name)
        if self.has_names or negatives:
            self.vectors = encode(things, model, library)
            self.against = encode(negatives, model, library)
        else:
            prepared = [prepare_reference(crop, model.config) for crop in things[0].crops]
            self.vectors = model.encode_references(np.stack([prepared]))
        shown = [
            [each.name, each.shown, *map(array_fingerprint, each.crops)]
            for each in (*things, *negatives)
        ]
        self.asked = [model_fingerprint(model), len(negatives), shown, filled]
        if self.tiles:
            self.asked.append(["tiles", self.tiles])

    def find(self, photo, target):
        """Search a photo unless the same search left its results there: `Finding`.

        Args:
            photo: path.
            target: path of the results without ending; .png is the drawing, .json the data.

        Raises:
            mrcnn.images.image.ImageError: it is no picture.
            OSError: it cannot be read.
            mrcnn.files.UnwritableError: the results cannot be written.
        """
        with open_picture(photo):  # refuses pipes and devices, which never end
            pass
        drawing, data_path = Path(f"{target}.png"), Path(f"{target}.json")
        search = fingerprint([*self.asked, str(photo), file_fingerprint(photo)])
        data = _data_of(data_path, search) if drawing.is_file() else None
        is_new = data is None
        if is_new:
            data = {"search": search} | self._search(photo, drawing)
            with written_whole(data_path) as file:  # last, as it tells that the photo is done
                json.dump(data, file, indent=1)
        scores = tuple(each["score"] for each in data["detections"])
        labels = None
        if self.has_names:
            labels = tuple(each.get("label", "") for each in data["detections"])
        return Finding(Path(photo), drawing, scores, is_new, labels)

    def _search(self, photo, drawing):
        image = read_image(photo, upright=True)
        found = self.found_in(image, Path(photo).name)
        self.draw(image, found, drawing)
        return {
            "image": str(photo),
            "height": image.shape[0],
            "width": image.shape[1],
            **self.described(),
            "detections": entries(found),
        }

    def draw(self, image, found, path):
        """Write the picture of what was found in an image, a PNG file."""
        with atomic_path(path, suffix=".png") as temporary:
            crops, inset = self._in_corner()
            ax = _large_axes(image.shape) if self.tiles else None
            looks = {"inset": inset, "filled": self.filled}
            draw_result(image, crops, found, path=temporary, ax=ax, **looks)

    def described(self):
        """What is searched for, as JSON holds it."""
        return {
            "references": _shown(self.things),
            **({"not": _shown(self.negatives)} if self.negatives else {}),
            **({"tiles": self.tiles} if self.tiles else {}),
        }

    def _in_corner(self):
        """The references to draw over photos, and whether to: of several things, one of each."""
        if not self.has_names:
            return self.things[0].crops, True
        return [each.crops[0] for each in self.things], len(self.things) <= MOST_IN_CORNER

    def found_in(self, image, title=""):
        """`Detections` of an image uint8 [height, width, 3]; with `labels` if things have names.

        `title` is that of a bar which counts tiles; without, there is none.
        """
        if self.tiles:
            found = self.model.find_in_tiles(image, self._found, self.tiles, title)
        else:
            (query,) = self.model.encode_queries([image])
            found, _ = self._found(query)
        if not self.has_names:
            found.pop("labels", None)
        return found

    def _found(self, query):
        """`Detections` of an encoded image, and those of what must not be found."""
        if self.has_names or self.negatives:
            return self.model.detect_things_and_negatives(query, self.vectors, self.against)
        (found,) = self.model.detect_encoded([query], self.vectors)
        return found, []


def _large_axes(shape):
    """Axes to draw a large photo into, at its own size up to `LARGE`."""
    most, an_inch = LARGE
    scale = min(1, most / max(shape[:2])) / an_inch
    return new_axes(shape, (max(shape[1] * scale, 2), max(shape[0] * scale, 2)))


def _shown(things):
    return [name for each in things for name in each.shown]


def entries(found):
    """`Detections` as JSON holds them: a list."""
    masks, labels = found.get("masks"), found.get("labels")
    return [
        {
            **({} if labels is None else {"label": labels[index]}),
            "box": [int(side) for side in found["rois"][index]],
            "score": float(found["scores"][index]),
            "mask": None if masks is None else encode_one(masks, index),
        }
        for index in range(len(found["scores"]))
    ]


def _data_of(path, search):
    """The data that an earlier call wrote, if its search was the same."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        scores = [each["score"] for each in data["detections"]]
        same = data["search"] == search and all(type(each) is float for each in scores)
    except (FileNotFoundError, ValueError, LookupError, TypeError):  # none, or it was edited
        return None
    return data if same else None


def write_ranking(findings, folder):
    """Order photos by their best score: `RANKING`, and a picture of the best ones' drawings.

    Args:
        findings: list of `Finding`.
        folder: to write into; `BEST` only if anything was found.

    Returns:
        paths of the files written.
    """
    ranked = sorted(findings, key=lambda each: (-each.best_score, str(each.photo)))
    table = Path(folder) / RANKING
    with written_whole(table) as file:
        _write_table(ranked, file)
    picture = Path(folder) / BEST
    best = [each for each in ranked if each.scores][:PICTURED]
    if best:
        return [table, *save_figure(_draw(best), picture.with_suffix(""), ("png",), DPI)]
    picture.unlink(missing_ok=True)  # of an earlier call, which found something
    return [table]


def _write_table(ranked, file):
    has_labels = any(each.labels is not None for each in ranked)
    table = csv.writer(file)
    table.writerow((*COLUMNS, LABELS) if has_labels else COLUMNS)
    for rank, each in enumerate(ranked, start=1):
        best = f"{each.best_score:.4f}" if each.scores else ""
        cells = [rank, each.photo, len(each.scores), best, each.drawing]
        cells += ["; ".join(dict.fromkeys(each.labels))] if has_labels else []
        table.writerow(map(for_csv, cells))


def _draw(best):
    """The drawings of the best findings in one figure."""
    drawings = [read_image(each.drawing) for each in best]
    axes = justified_axes([drawing.shape for drawing in drawings], PICTURES_IN_A_ROW)
    for ax, drawing, each in zip(axes, drawings, best, strict=True):
        show_image(ax, drawing, f"{each.best_score:.2f}  {each.photo.name}")
    return axes[0].figure

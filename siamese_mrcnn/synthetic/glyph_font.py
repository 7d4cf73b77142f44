"""The characters of DejaVu Sans, which comes with matplotlib, as pictures of their ink.

Outlines are read as the font file has them and filled here: what FreeType draws differs a little
from version to version, and the choice of categories must not.
"""

import unicodedata
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.ft2font import FT2Font

try:
    from matplotlib.ft2font import LoadFlags
except ImportError:  # before matplotlib 3.10
    from matplotlib.ft2font import LOAD_NO_HINTING as NO_HINTING
else:
    NO_HINTING = LoadFlags.NO_HINTING

FONT_FILE = "fonts/ttf/DejaVuSans.ttf"
KINDS = {"L": "letter", "N": "number", "P": "punctuation", "S": "symbol"}  # by general category
MODIFIERS = ("Lm", "Sk")  # small raised or spacing marks
UNFIT = "░▒▓\u07f8"  # patterns, and a bar with a dot, which look like the clutter
POINTS_AN_INCH = 72  # a size of one point is one pixel
MOVE, LINE, CURVE = 1, 2, 3  # matplotlib's codes of the points of an outline
CURVE_STEPS = np.arange(1, 9)[:, None] / 8


def named_characters():
    """All letters, numbers, punctuation and symbols of the font, without variants of others.

    Returns:
        list of one-character strings, ascending.
    """
    characters = map(chr, sorted(_font().get_charmap()))
    return [character for character in characters if _is_candidate(character)]


def character_name(character):
    """The Unicode name in lower case, such as "black chess queen"; no two are the same."""
    return unicodedata.name(character).lower()


def character_kind(character):
    """One of the values of KINDS."""
    return KINDS[unicodedata.category(character)[0]]


def character_ink(character, side):
    """Draw a character as large as fits.

    Args:
        character: one of `named_characters`.
        side: pixels of the longer side of its ink.

    Returns:
        bool [height, width], the box around the ink; None if the character has no outline.
    """
    contours = _contours(character)
    if not contours:
        return None
    points = np.concatenate(contours)
    low, extent = points.min(axis=0), np.ptp(points, axis=0)
    if not extent.all():
        return None
    scale = side / extent.max()
    width, height = np.ceil((extent * scale).round(6)).astype(int)  # rounding adds no pixel
    return fill_contours([(contour - low) * scale for contour in contours], height, width)[::-1]


def fill_contours(contours, height, width):
    """The pixels whose centres lie inside, where contours wind around them.

    Contours that overlap add up and opposite ones cut holes, as the TrueType format has it.

    Args:
        contours: list of float [N, 2], the points (x, y) of closed contours, in pixels.

    Returns:
        bool [height, width]; the first row is that of the smallest y.
    """
    start = np.concatenate(contours)
    end = np.concatenate([np.roll(contour, -1, axis=0) for contour in contours])
    rows = np.arange(height) + 0.5
    below_start, below_end = (points[:, 1, None] <= rows for points in (start, end))
    edge, row = np.nonzero(below_start != below_end)
    (x, y), (step_x, step_y) = start[edge].T, (end - start)[edge].T
    crossing = x + (rows[row] - y) * step_x / step_y
    column = np.clip(np.ceil(crossing - 0.5), 0, width).astype(int)
    turns = np.zeros((height, width + 1), np.int64)
    np.add.at(turns, (row, column), np.sign(step_y).astype(np.int64))
    return turns.cumsum(axis=1)[:, :width] != 0


def _is_candidate(character):
    category = unicodedata.category(character)
    return (
        category[0] in KINDS
        and category not in MODIFIERS
        and character not in UNFIT
        and bool(unicodedata.name(character, ""))
        and unicodedata.is_normalized("NFKD", character)  # neither accented nor a variant
    )


def _contours(character):
    """The closed contours of a character: list of float [N, 2] (x, y) in units of the font."""
    font = _font()
    font.load_char(ord(character), flags=NO_HINTING)
    points, codes = font.get_path()
    contours, control = [], None
    for point, code in zip(np.asarray(points, np.float64), codes, strict=True):
        if code == MOVE:
            contours.append([point[None]])
        elif code == LINE:
            contours[-1].append(point[None])
        elif code == CURVE and control is None:
            control = point
        elif code == CURVE:
            t, begin = CURVE_STEPS, contours[-1][-1][-1]
            contours[-1].append((1 - t) ** 2 * begin + 2 * t * (1 - t) * control + t**2 * point)
            control = None
    return [np.concatenate(contour) for contour in contours]


@lru_cache(maxsize=1)
def _font():
    font = FT2Font(str(Path(matplotlib.get_data_path()) / FONT_FILE))
    font.set_size(font.units_per_EM, POINTS_AN_INCH)
    return font

"""Which things there are: their categories, what looks like what, what is kept for validation."""

from dataclasses import asdict, dataclass

import cv2
import numpy as np

HELD_OUT = 0.2  # part of the things of a category, and of the backgrounds, kept for validation
ENOUGH = 5  # of which so many are to be there
LEAST_HELD_OUT = 2  # a thing to search for, and another one as the reference
NEAR = 5  # categories that look most alike
LOOK_SIDE = 6  # pixels of a look
OUTLINE_WEIGHT = 1.5  # of the outline beside the colours, in a look
DIVISION = 2  # keeps the random numbers of the division apart from those of scenes


@dataclass(frozen=True)
class View:
    """A prepared cut-out.

    Attributes:
        number: of its file.
        name, category, thing: as of `siamese_mrcnn.own_data.cutouts.Cutout`.
        area, longer: pixels of the thing, and its longer side, in the largest level.
        portions: for which it serves.
    """

    number: int
    name: str
    category: str
    thing: str
    area: int
    longer: int
    portions: tuple[str, ...]


@dataclass(frozen=True)
class Catalogue:
    """What scenes are made of.

    Attributes:
        categories: names, sorted.
        views: list of `View`.
        near: for each category the positions of those that look most alike.
        photos: names of the backgrounds.
        backgrounds: for each portion the positions of those it may have.
        notes: sentences: how it was divided, and what was left out.
    """

    categories: list
    views: list
    near: list
    photos: list
    backgrounds: dict
    notes: list

    def to_json(self):
        return asdict(self)

    @classmethod
    def from_json(cls, content):
        views = [View(**{**view, "portions": tuple(view["portions"])}) for view in content["views"]]
        return cls(**{**content, "views": views})

    def of_portion(self, portion):
        """For each category its views that serve for a portion: {thing: list of `View`}."""
        found = [{} for _ in self.categories]
        position = {name: number for number, name in enumerate(self.categories)}
        for view in self.views:
            if portion in view.portions:
                found[position[view.category]].setdefault(view.thing, []).append(view)
        return found


def divide(cutouts, seed):
    """Which cut-outs are for training, for validation, or for both.

    A fifth of the things of each category is kept for validation, two at least; where a category
    has fewer than `ENOUGH` things, so many of its cut-outs; where it has too few of these as well,
    they serve for both.

    Args:
        cutouts: with `name`, `category` and `thing`, sorted by name.
        seed: of the draw.

    Returns:
        {name: portions}, and the sentence about it.
    """
    rng = np.random.default_rng([seed, DIVISION])
    portions, counts = {}, {"things": 0, "cut-outs": 0, "nothing": 0}
    of_category = {}
    for each in cutouts:
        of_category.setdefault(each.category, []).append(each)
    for members in of_category.values():
        things = sorted({each.thing for each in members})
        names = [each.name for each in members]
        kind = next(
            (
                kind
                for kind, units in (("things", things), ("cut-outs", names))
                if len(units) >= ENOUGH
            ),
            "nothing",
        )
        counts[kind] += 1
        held = _held_out({"things": things, "cut-outs": names, "nothing": []}[kind], rng)
        for each in members:
            unit = each.thing if kind == "things" else each.name
            portion = ("val",) if unit in held else ("train",)
            portions[each.name] = ("train", "val") if kind == "nothing" else portion
    return portions, _sentence(counts)


def divide_backgrounds(count, seed):
    """Numbers of photos for each portion, {portion: list}, and the sentence about it."""
    numbers = [*range(count)]
    if count < ENOUGH:
        said = f"The {count} backgrounds are for both." if count else "Backgrounds are drawn."
        return {"train": numbers, "val": numbers}, said
    held = _held_out(numbers, np.random.default_rng([seed, DIVISION, count]))
    train = [number for number in numbers if number not in held]
    return {"train": train, "val": sorted(held)}, (
        f"{len(train)} backgrounds are for training, {len(held)} others for validation."
    )


def look_of(pixels):
    """What a cut-out roughly looks like: float [N], whose distances compare.

    Args:
        pixels: uint8 [h, w, 4], RGB and coverage.
    """
    height, width = pixels.shape[:2]
    longer = max(height, width)
    square = np.zeros((longer, longer, 4), np.float32)
    top, left = (longer - height) // 2, (longer - width) // 2
    alpha = pixels[..., 3:] / np.float32(255)
    square[top : top + height, left : left + width] = np.dstack([pixels[..., :3] * alpha, alpha])
    small = cv2.resize(square, (LOOK_SIDE, LOOK_SIDE), interpolation=cv2.INTER_AREA)
    colours = small[..., :3] / np.maximum(small[..., 3:], 1e-3) / 255
    shaded = (colours - 0.5) * small[..., 3:]
    return np.concatenate([shaded.ravel(), OUTLINE_WEIGHT * small[..., 3].ravel()])


def nearest(looks, categories):
    """For each category the positions of those that look most alike, the nearest first.

    Args:
        looks: [(category, look)] of all cut-outs.
        categories: their names.

    Returns:
        list of lists of at most `NEAR` positions.
    """
    looks_of = {name: [] for name in categories}
    for category, look in looks:
        looks_of[category].append(look)
    means = np.array([np.mean(looks_of[name], axis=0) for name in categories])
    found = []
    for own, mean in enumerate(means):
        distances = np.square(means - mean).sum(axis=1)
        distances[own] = np.inf
        order = np.argsort(distances, kind="stable")[: min(NEAR, len(categories) - 1)]
        found.append(order.tolist())
    return found


def _held_out(units, rng):
    if not units:
        return set()
    count = max(round(HELD_OUT * len(units)), LEAST_HELD_OUT)
    return {units[place] for place in rng.choice(len(units), count, replace=False)}


def _sentence(counts):
    """How many categories were divided how."""
    said = {
        "things": "other things of {}",
        "cut-outs": f"other cut-outs of {{}} with fewer than {ENOUGH} things",
        "nothing": f"the same as training of {{}} with fewer than {ENOUGH} cut-outs",
    }
    parts = [said[kind].format(count) for kind, count in counts.items() if count]
    return f"Validation shows, by categories: {'; '.join(parts)}."

"""What is kept for validation, and which categories look alike."""

import collections

import numpy as np

from siamese_mrcnn.cut_paste.catalogue import divide, divide_backgrounds, look_of, nearest
from siamese_mrcnn.own_data.cutouts import Cutout


def cutouts(**counts):
    """`a=(3, 2)`: three things of category a with two cut-outs each."""
    return [
        Cutout(f"{category}/{thing}/{view}", category, f"{category}/{thing}", None)
        for category, (things, views) in counts.items()
        for thing in range(things)
        for view in range(views)
    ]


def test_things_then_cutouts_are_kept_where_there_are_enough():
    found, said = divide(cutouts(many=(20, 2), few=(5, 1), one=(1, 6), poor=(2, 2)), 0)
    things = collections.defaultdict(set)
    for name, portions in found.items():
        category, thing, view = name.split("/")
        unit = view if category == "one" else thing
        for portion in portions:
            things[category, portion].add(unit)
    sizes = {key: len(units) for key, units in things.items()}
    assert sizes == {
        **{("many", "train"): 16, ("many", "val"): 4},
        **{("few", "train"): 3, ("few", "val"): 2},
        **{("one", "train"): 4, ("one", "val"): 2},
        **{("poor", "train"): 2, ("poor", "val"): 2},
    }
    for category in ("many", "few", "one"):
        assert not things[category, "train"] & things[category, "val"]
    assert said == (
        "Validation shows, by categories: other things of 2; other cut-outs of 1 with fewer than 5 "
        "things; the same as training of 1 with fewer than 5 cut-outs."
    )


def test_the_seed_decides_what_is_kept():
    first, again, other = (divide(cutouts(a=(30, 1)), seed)[0] for seed in (0, 0, 1))
    assert first == again != other


def test_backgrounds_are_kept_apart_where_there_are_enough():
    found, said = divide_backgrounds(20, 0)
    assert len(found["train"]) == 16 and sorted(found["train"] + found["val"]) == [*range(20)]
    assert said == "16 backgrounds are for training, 4 others for validation."
    found, said = divide_backgrounds(4, 0)
    assert found["train"] == found["val"] == [0, 1, 2, 3]
    assert said == "The 4 backgrounds are for both."
    assert divide_backgrounds(0, 0) == ({"train": [], "val": []}, "Backgrounds are drawn.")


def rectangle(height, width, colour):
    return np.broadcast_to(np.array([*colour, 255], np.uint8), (height, width, 4))


def test_categories_of_one_colour_and_outline_are_near():
    looks = {
        "red bar": rectangle(20, 60, (200, 20, 20)),
        "dark red bar": rectangle(20, 60, (150, 10, 10)),
        "blue bar": rectangle(20, 60, (20, 20, 200)),
        "red square": rectangle(50, 50, (200, 20, 20)),
        "blue square": rectangle(80, 80, (20, 20, 200)),
    }
    names = sorted(looks)
    found = nearest([(name, look_of(pixels)) for name, pixels in looks.items()], names)
    first = {name: names[near[0]] for name, near in zip(names, found, strict=True)}
    assert first["red bar"] == "dark red bar" and first["dark red bar"] == "red bar"
    assert {first["red square"], first["blue square"]} == {"red square", "blue square"}
    assert all(own not in near and len(near) == 4 for own, near in enumerate(found))

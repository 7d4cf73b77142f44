"""Cut-outs: what they are called, what is cut out, and what is said of those that are none."""

import json

import numpy as np
import pytest
from PIL import Image

from own_folders import write_coco, write_labelme, write_masks, write_via
from siamese_mrcnn.own_data import cutouts as cutouts_module
from siamese_mrcnn.own_data.cutouts import (
    CutoutError,
    find_cutouts,
    find_pictures,
    read_cutouts,
)
from siamese_mrcnn.own_data.pictures import OwnDataError
from siamese_mrcnn.synthetic.shapes import make_shapes

SHAPE = (40, 50)
THING = np.s_[5:35, 10:40]  # 900 pixels


def photo(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


def mask(place=THING):
    values = np.zeros(SHAPE, np.uint8)
    values[place] = 255
    return values


def transparent(place=THING):
    return np.dstack([photo(), mask(place)])


def saved(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def only(cutouts):
    """The pixels of the one cut-out that can be read, or its error."""
    ((_, pixels),) = read_cutouts(cutouts)
    return pixels


@pytest.mark.parametrize(
    ("file", "name", "category", "thing"),
    [
        ("mug/1.png", "mug/1", "mug", "mug/1"),
        ("mug/mine/1.png", "mug/mine/1", "mug", "mug/mine"),
        ("mug__1.png", "mug/1", "mug", "mug/1"),
        ("mug__mine__1.png", "mug/mine/1", "mug", "mug/mine"),
        ("mug/mine__1.png", "mug/mine/1", "mug", "mug/mine"),
        ("sea lily/a/b/1.png", "sea lily/a/b/1", "sea lily", "sea lily/a/b"),
        ("mug_02.png", "mug_02", "mug", "mug_02"),
        ("mug (3).png", "mug (3)", "mug", "mug (3)"),
        ("n01440764_tench.png", "n01440764_tench", "n01440764_tench", "n01440764_tench"),
        ("7.png", "7", "pots", "7"),
        ("dog3__05.png", "dog3/05", "dog3", "dog3/05"),
    ],
)
def test_folders_and_names_say_what_a_cutout_is(tmp_path, file, name, category, thing):
    saved(tmp_path / "pots" / file, transparent())
    ((found,), notes) = find_cutouts([tmp_path / "pots"])
    assert (found.name, found.category, found.thing) == (name, category, thing)
    assert notes == []


def test_things_are_cut_out_at_their_bounds(tmp_path):
    saved(tmp_path / "a/mug/1.png", transparent())
    saved(tmp_path / "b/images/mug/1.png", photo())
    saved(tmp_path / "b/masks/mug/1.png", mask())
    for source in ("a", "b"):
        pixels = only(find_cutouts([tmp_path / source])[0])
        np.testing.assert_array_equal(pixels[..., :3], photo()[THING])
        assert pixels.shape == (30, 30, 4) and (pixels[..., 3] == 255).all()


def test_a_picture_is_turned_as_its_mark_says_and_its_transparency_with_it(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6  # shown after a quarter turn to the right
    saved(tmp_path / "mug/1.png", transparent(np.s_[5:35, 10:45]), exif=turned)
    pixels = only(find_cutouts([tmp_path])[0])
    np.testing.assert_array_equal(pixels[..., :3], np.rot90(photo()[5:35, 10:45], -1))


def coco(tmp_path, **more):
    """An annotated photo with a large thing, a small one and a crowd."""
    saved(tmp_path / "photos/street.png", photo())
    outlines = {
        "large": [10, 5, 40, 5, 40, 35, 10, 35],
        "small": [0, 0, 9, 0, 9, 9, 0, 9],
        "crowd": [0, 0, 30, 0, 30, 30, 0, 30],
    }
    annotations = [
        {
            "id": number,
            "image_id": 1,
            "category_id": 3,
            "segmentation": [outline],
            "iscrowd": 0,
        }
        for number, outline in enumerate(outlines.values(), start=1)
    ]
    annotations[2] |= {
        "iscrowd": 1,
        "segmentation": {"size": list(SHAPE), "counts": [0, 1600, 400]},
    }
    annotations[0] |= more
    content = {
        "images": [{"id": 1, "file_name": "street.png", "height": SHAPE[0], "width": SHAPE[1]}],
        "annotations": annotations,
        "categories": [{"id": 3, "name": "sign"}],
    }
    (tmp_path / "all.json").write_text(json.dumps(content))
    return tmp_path / "all.json"


def test_instances_of_annotated_photos_without_crowds_and_small_ones(tmp_path):
    cutouts, notes = find_cutouts([coco(tmp_path)], images=tmp_path / "photos")
    assert [(each.name, each.category, each.thing) for each in cutouts] == [
        ("sign/street/1", "sign", "sign/street/1")
    ]
    np.testing.assert_array_equal(only(cutouts)[..., :3], photo()[THING])
    assert "1 instances of fewer than 24 x 24 pixels are left out" in notes[0]


def test_an_annotation_may_say_which_thing_it_shows(tmp_path):
    ((found,), _) = find_cutouts([coco(tmp_path, thing="ours")], images=tmp_path / "photos")
    assert found.thing == "ours"


def test_things_of_several_sources_are_kept_apart(tmp_path):
    for source in ("a/pots", "b/pots", "c"):
        saved(tmp_path / source / "mug/mine/1.png", transparent())
    found, _ = find_cutouts([tmp_path / source for source in ("a/pots", "b/pots", "c")])
    assert [each.name for each in found] == [
        "c:mug/mine/1",
        "pots 1:mug/mine/1",
        "pots 2:mug/mine/1",
    ]
    assert {each.category for each in found} == {"mug"}
    assert len({each.thing for each in found}) == 3


@pytest.mark.parametrize(
    ("file", "pixels", "sentence"),
    [
        ("mug/1.png", transparent(np.s_[:0]), "shows nothing: its mask is empty"),
        ("mug/1.png", photo(), "is transparent nowhere: cut the thing out"),
        ("mug/1.png", transparent(np.s_[:]), "is the whole picture: nothing is cut out"),
        ("mug/1.png", transparent(np.s_[:5, :20]), "has 100 pixels, but needs 24 x 24"),
    ],
)
def test_what_is_no_cutout_is_said(tmp_path, file, pixels, sentence):
    path = saved(tmp_path / file, pixels)
    error = only(find_cutouts([tmp_path])[0])
    assert sentence in str(error) and str(path) in str(error)


def test_what_is_wrong_with_masks_is_said(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    for name, options in {"a": {}, "b": {}, "c": {"exif": turned}, "d": {}, "e": {}}.items():
        saved(tmp_path / f"images/mug/{name}.png", photo(), **options)
    saved(tmp_path / "masks/mug/a.png", mask()[:30])
    saved(tmp_path / "masks/mug/b.png", mask(np.s_[:0]))
    saved(tmp_path / "masks/mug/c.png", mask())
    saved(tmp_path / "masks/mug/d.png", mask())
    (tmp_path / "images/mug/d.png").write_bytes(b"\x89PNG, cut off")
    cutouts, notes = find_cutouts([tmp_path])
    assert notes == [
        f"1 photos have no mask of their name and are left out: {tmp_path}/images/mug/e.png."
    ]
    said = [str(error) for _, error in read_cutouts(cutouts)]
    expected = ("30 x 50 pixels", "is black all over", "marked (EXIF)", "not an image")
    for sentence, part in zip(said, expected, strict=True):
        assert part in sentence


def test_sources_without_cutouts_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no cut-outs in .*gone: it does not exist"):
        find_cutouts([tmp_path / "gone"])
    with pytest.raises(CutoutError, match=r"There are no cut-outs in .*Expected pictures"):
        find_cutouts([tmp_path])
    saved(tmp_path / "mug/1.png", transparent())
    saved(tmp_path / "mug__1.png", transparent())
    with pytest.raises(CutoutError, match=r"would both be the cut-out mug/1\. Rename one"):
        find_cutouts([tmp_path])


@pytest.mark.parametrize("write", [write_coco, write_via, write_labelme, write_masks])
def test_annotations_of_every_form_serve(tmp_path, monkeypatch, write):
    monkeypatch.setattr(cutouts_module, "SMALLEST", 13)
    source = write(tmp_path, {"a.png": [("rose", 3, 2, 20), ("tulip", 5, 25, 12)]})
    options = {"images": tmp_path / "photos"} if write is write_coco else {}
    cutouts, notes = find_cutouts([source], **options)
    kept = []
    for cutout, pixels in read_cutouts(cutouts):
        if not isinstance(pixels, Exception):
            kept.append((cutout.category, len(pixels)))
    assert kept == [("rose", 20)] and "1 instances of fewer than 13 x 13 pixels" in notes[0]
    monkeypatch.setattr(cutouts_module, "SMALLEST", 30)
    with pytest.raises(CutoutError, match=r"No cut-out can be used\. .*2 instances of fewer"):
        find_cutouts([source], **options)


def test_a_folder_in_cocos_layout_serves(tmp_path):
    folder = make_shapes(tmp_path / "shapes", train_images=2, val_images=1, image_size=200)
    cutouts, _ = find_cutouts([folder])
    pictures = {each.picture.parent.name for each in cutouts}
    assert pictures == {"train2017"} and len(cutouts) > 3


def test_options_of_annotations_are_refused_for_folders(tmp_path):
    saved(tmp_path / "mug/1.png", transparent())
    with pytest.raises(CutoutError, match="--category cannot be chosen for a folder of cut-outs"):
        find_cutouts([tmp_path], category="mug", images=None)


def test_pictures_are_found_below_folders(tmp_path):
    inner, outer = (saved(tmp_path / name, photo()) for name in ("b/c/1.jpg", "a.png"))
    saved(tmp_path / "b/.hidden/2.jpg", photo())
    (tmp_path / "b/notes.txt").write_text("x")
    assert find_pictures([tmp_path / "b", outer]) == [inner, outer]
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*gone of pictures"):
        find_pictures([tmp_path / "gone"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(OwnDataError, match="empty holds no picture"):
        find_pictures([tmp_path / "empty"])

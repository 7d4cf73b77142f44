"""The drawn data set: valid COCO, exact masks, the same files for the same seed."""

import json

import numpy as np
import pytest
from pycocotools import mask as rle_tools

from siamese_mrcnn.data.coco_writer import DrawnFolderError
from siamese_mrcnn.data.splits import split_classes
from siamese_mrcnn.synthetic.shape_outlines import OUTLINES
from siamese_mrcnn.synthetic.shape_scenes import HIDDEN_AT_MOST, draw_scene, outline_mask
from siamese_mrcnn.synthetic.shapes import make_shapes


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A data set with crowds in it, and its training annotations."""
    folder = make_shapes(tmp_path_factory.mktemp("drawn"), 40, 2, image_size=64, seed=3)
    return folder, json.loads((folder / "annotations/instances_train2017.json").read_text())


def decode(annotation):
    outline = annotation["segmentation"]
    if isinstance(outline["counts"], list):
        outline = rle_tools.frPyObjects(outline, *outline["size"])
    return rle_tools.decode(outline).astype(bool)


def test_every_outline_lies_in_the_unit_circle_and_fills_a_good_part_of_it():
    assert len(OUTLINES) >= 8
    for kind, (name, points) in enumerate(OUTLINES.items()):
        assert np.linalg.norm(points, axis=1).max() <= 1 + 1e-9, name
        area = outline_mask(kind, 101, 100, (50, 50), 0).sum() / (np.pi * 50**2)
        assert 0.2 < area < 1.05, (name, area)


def test_known_areas_worked_by_hand():
    areas = {
        name: outline_mask(kind, 401, 400, (200, 200), 0.3).sum() / 200**2
        for kind, name in enumerate(OUTLINES)
    }
    assert areas["circle"] == pytest.approx(np.pi, rel=0.02)
    assert areas["square"] == pytest.approx(2, rel=0.02)
    assert areas["triangle"] == pytest.approx(3 * np.sqrt(3) / 4, rel=0.02)
    assert areas["ring"] == pytest.approx(np.pi * (1 - 0.55**2), rel=0.02)
    assert areas["cross"] == pytest.approx(20 / 10, rel=0.02)


def test_a_hole_is_no_part_of_the_ring():
    ring = list(OUTLINES).index("ring")
    assert not outline_mask(ring, 101, 100, (50, 50), 1.0)[45:56, 45:56].any()


def test_shapes_never_share_pixels_and_mostly_show():
    for number in range(10):
        picture, instances = draw_scene(np.random.default_rng([5, number]), 96)
        assert picture.shape == (96, 96, 3) and picture.dtype == np.uint8
        total = np.sum([mask for _, _, mask in instances], axis=0)
        assert total.max() == 1
        assert len(instances) >= 2
        assert min(mask.sum() for _, _, mask in instances) > 20


def test_a_covered_shape_keeps_most_of_its_pixels():
    from siamese_mrcnn.synthetic.shape_scenes import _Scene

    scene = _Scene(np.random.default_rng(0), 64)
    square = np.zeros((64, 64), bool)
    square[10:20, 10:20] = True
    scene.paint(square, 1, crowd=False)
    cover = np.zeros_like(square)
    cover[10:12, 10:20] = True
    assert HIDDEN_AT_MOST == 0.2 and not scene.would_hide_too_much(cover)
    cover[12, 10] = True
    assert scene.would_hide_too_much(cover)


def test_area_and_box_agree_with_the_mask(drawn):
    for annotation in drawn[1]["annotations"]:
        mask = decode(annotation)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x, y, width, height = annotation["bbox"]
        assert annotation["area"] == mask.sum() > 0
        assert (y, x) == (rows[0], columns[0])
        assert (y + height, x + width) == (rows[-1] + 1, columns[-1] + 1)


def test_ids_are_unique_and_names_are_those_of_the_files(drawn):
    folder, content = drawn
    for name in ("images", "annotations", "categories"):
        ids = [entry["id"] for entry in content[name]]
        assert len(set(ids)) == len(ids)
    files = {path.name for path in (folder / "train2017").iterdir()}
    assert files == {image["file_name"] for image in content["images"]}
    test_content = json.loads((folder / "annotations/instances_val2017.json").read_text())
    assert not {i["id"] for i in test_content["images"]} & {i["id"] for i in content["images"]}


def test_some_scenes_hold_crowds_in_cocos_plain_run_lengths(drawn):
    crowds = [entry for entry in drawn[1]["annotations"] if entry["iscrowd"]]
    assert crowds
    assert all(isinstance(entry["segmentation"]["counts"], list) for entry in crowds)


def test_every_split_leaves_seen_and_novel_categories(drawn):
    present = {a["category_id"] for a in drawn[1]["annotations"] if not a["iscrowd"]}
    for split in (1, 2, 3, 4):
        seen, novel = split_classes(split, range(1, len(OUTLINES) + 1))
        assert len(novel) >= 2 and len(seen) >= 6
        assert present & set(seen) and present & set(novel)


def test_the_same_seed_draws_the_same_files(tmp_path):
    contents = [
        _files(make_shapes(tmp_path / name, 3, 1, image_size=48, seed=seed))
        for name, seed in (("a", 4), ("b", 4), ("c", 5))
    ]
    assert contents[0] == contents[1]
    assert contents[0].keys() == contents[2].keys()
    assert contents[0]["train2017/000000000001.jpg"] != contents[2]["train2017/000000000001.jpg"]


def test_a_finished_folder_is_left_alone_and_a_half_drawn_one_completed(tmp_path):
    arguments = {"train_images": 3, "val_images": 1, "image_size": 48}
    folder = make_shapes(tmp_path / "shapes", **arguments)
    finished = _files(folder)
    picture = folder / "train2017/000000000002.jpg"
    time = picture.stat().st_mtime_ns
    make_shapes(folder, **arguments)
    assert picture.stat().st_mtime_ns == time
    (folder / "annotations/instances_train2017.json").unlink()
    picture.unlink()
    make_shapes(folder, **arguments)
    assert _files(folder) == finished


def test_a_folder_with_something_else_is_refused(tmp_path):
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(DrawnFolderError, match="already holds something else"):
        make_shapes(tmp_path, 2, 1, image_size=48)
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_a_drawing_with_other_arguments_is_refused(tmp_path):
    make_shapes(tmp_path, 2, 1, image_size=48, seed=0)
    with pytest.raises(DrawnFolderError, match="older drawing"):
        make_shapes(tmp_path, 2, 1, image_size=48, seed=1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"train_images": 1}, "at least 2 training images"),
        ({"val_images": 0}, "1 image to test on"),
        ({"image_size": 8}, "image_size must be"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(tmp_path, arguments, sentence):
    with pytest.raises(DrawnFolderError, match=sentence):
        make_shapes(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def _files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }

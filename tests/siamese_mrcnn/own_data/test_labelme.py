"""labelme's JSON files: shapes of every type that has an area, and sentences for the rest."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from command_line import call, refused
from own_folders import HEIGHT, WIDTH, plan, write_labelme, write_via
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.data.coco_annotations import AnnotationError, Annotations, decode_mask
from siamese_mrcnn.own_data.convert_to_coco import import_data
from siamese_mrcnn.own_data.labelme import labelme_content
from siamese_mrcnn.own_data.load import OwnDataError, load_dataset, read_own_data

TRIANGLE = [[2, 3], [10, 3], [2, 11]]


def shape(points, kind="polygon", label="cup", **more):
    return {"label": label, "points": points, "shape_type": kind, **more}


def content(*shapes):
    return {
        "imagePath": "0.png",
        "imageHeight": HEIGHT,
        "imageWidth": WIDTH,
        "shapes": list(shapes),
    }


def masks_of(*shapes):
    annotations = Annotations(labelme_content({"0.json": content(*shapes)}), "0.json")
    return [decode_mask(each, annotations.imgs[1]) for each in annotations.dataset["annotations"]]


def test_the_same_data_as_of_via(tmp_path):
    expected = load_dataset(write_via(tmp_path / "via", plan(5)))
    folder = write_labelme(tmp_path / "labelme", plan(5))
    import_data(read_own_data(folder), tmp_path / "out", test_part=1)
    found = CocoDataset.from_folder(tmp_path / "out", "test")
    assert found.class_names == expected.class_names
    for image_id in range(5):
        for one, other in zip(found.load_mask(image_id), expected.load_mask(image_id), strict=True):
            np.testing.assert_array_equal(one, other)


def test_one_file_and_pictures_elsewhere(tmp_path, capsys):
    folder = write_labelme(tmp_path / "labelme", plan(2))
    (tmp_path / "photos").mkdir()
    for name in plan(2):
        (folder / name).rename(tmp_path / "photos" / name)
    path = folder / "1.json"
    given = json.loads(path.read_text())
    path.write_text(json.dumps(given | {"imagePath": "..\\photos\\1.png"}))
    images = ("--images", tmp_path / "photos")
    assert call("import-data", path, *images, "--out", tmp_path / "out", "--test-part", 1) == 0
    assert "0 images to train on, 1 to test on" in capsys.readouterr().out
    assert "1 images of" in refused(capsys, "import-data", path, "--out", tmp_path / "none")
    with pytest.raises(OwnDataError, match="labelme's files: bring it into COCO's layout first"):
        load_dataset(path)


def test_shapes_that_have_an_area():
    rectangle = np.zeros((HEIGHT, WIDTH), bool)
    rectangle[3:11, 2:12] = True
    for points in ([[2, 3], [12, 11]], [[12, 11], [2, 3]], [[2, 11], [12, 3]]):
        np.testing.assert_array_equal(masks_of(shape(points, "rectangle"))[0], rectangle)
    (triangle,) = masks_of(shape(TRIANGLE, None))
    rows, columns = np.indices(triangle.shape) + 0.5  # the middles of pixels
    depth = np.minimum(np.minimum(rows - 3, columns - 2), 13 - rows - columns)
    assert triangle[depth > 0.1].all() and not triangle[depth < -0.1].any()
    (circle,) = masks_of(shape([[20, 20], [20, 29]], "circle"))
    distance = np.hypot(rows - 20, columns - 20)
    assert circle[distance < 8.5].all() and not circle[distance > 9.5].any()


def drawn(shape, *places):
    """A mask as labelme keeps it, set at some slices."""
    picture, file = Image.new("1", shape[::-1]), io.BytesIO()
    for rows, columns in places:
        picture.paste(1, (columns.start, rows.start, columns.stop, rows.stop))
    picture.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def test_a_drawn_mask():
    text = drawn((4, 6), np.s_[1:3, 2:5])
    (mask,) = masks_of(shape([[5, 7], [10, 10]], "mask", mask=text))
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[8:10, 7:10] = True
    np.testing.assert_array_equal(mask, expected)
    (cut,) = masks_of(shape([[45, 38], [50, 41]], "mask", mask=text))
    assert cut.sum() == 1 and cut[39, 47]


def test_shapes_of_a_group_are_one_instance():
    other = [[30, 30], [38, 30], [30, 38]]
    shapes = [shape(TRIANGLE, group_id=4), shape(other, label="pen"), shape(other, group_id=4)]
    first, second = masks_of(*shapes)
    np.testing.assert_array_equal(first, masks_of(shape(TRIANGLE))[0] | second)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (shape([[1, 1]], "point"), "Shape 0 of 0.json has the type 'point', .* polygon, rectangle"),
        (shape([[1, 1], [2, 2]], "line"), "has the type 'line'"),
        (shape([[1, 1], [2, 2]]), "is no polygon: it has 2 points"),
        (shape([[1, 1], [2, None], [3]]), "is no polygon: its points must be pairs of numbers"),
        (shape(5), "is no polygon: its points must be pairs of numbers"),
        (shape({}), "is no polygon: its points must be pairs of numbers"),
        (shape([["a", "b"]] * 3), "is no polygon: its points must be pairs of numbers"),
        (shape([[1, float("nan")]] * 3), "is no polygon: its points must be pairs of numbers"),
        (shape(TRIANGLE, "circle"), "is no circle: it has 3 points, not its middle and one"),
        (shape([[1, 1]], "circle"), "is no circle: it has 1 points, not its middle and one"),
        (shape([[1, 1], [2, 2]], "mask", mask="%%%"), "is no mask: its mask is no picture that"),
        (shape([[1, 1], [2, 2]], "mask", mask=None), "is no mask: its mask is no picture that"),
        (shape([[-1, 1], [2, 2]], "mask", mask=""), "is no mask: it begins outside of its picture"),
        (shape([[1, 1]], "mask", mask=drawn((99, 99))), "is no mask: its mask has more than the"),
        (shape([[1, 1]], "mask", mask=drawn((20000, 20000))), "is no mask: its mask has more than"),
        (shape([[1, 1], [2, 2]], "mask"), "has the type 'mask'"),
        (shape(TRIANGLE, label=None), "has the label None"),
        (shape(TRIANGLE, label=" "), "has the label ' '"),
        (shape(TRIANGLE, ["polygon"]), r"has the type \['polygon'\]"),
        (shape(TRIANGLE, {"a": 1}), "has the type {'a': 1}"),
        ("a shape", "has the label None"),
    ],
)
def test_shapes_that_cannot_be_used(wrong, words):
    with pytest.raises(AnnotationError, match=words):
        masks_of(wrong)


@pytest.mark.parametrize("side", [None, 0, -1, "40", 1 << 30])
def test_drawn_masks_in_pictures_of_no_size(side):
    drawing = content(shape([[1, 1]], "mask", mask=drawn((2, 2)))) | {"imageHeight": side}
    with pytest.raises(AnnotationError, match="is no mask: its picture is said to have 48 x"):
        labelme_content({"0.json": drawing})


def test_other_files_in_the_folder(tmp_path):
    folder = write_labelme(tmp_path / "labelme", plan(2))
    (folder / "settings.json").write_text("{}")
    with pytest.raises(AnnotationError, match=r"settings.json is not as labelme writes it"):
        read_own_data(folder)

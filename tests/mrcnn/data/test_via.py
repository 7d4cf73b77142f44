"""VIA's files in all their forms: read, refused with a sentence, and drawn pixel by pixel."""

import json
import math

import numpy as np
import pytest
from pycocotools import mask as rle_tools

from mrcnn.data.via import ViaError, draw_masks, read_via

TRIANGLE = {"name": "polygon", "all_points_x": [1, 7, 1], "all_points_y": [2, 2, 8]}


def region(outline, **attributes):
    return {"shape_attributes": outline, "region_attributes": attributes}


def entry(filename, regions, **file_attributes):
    return {
        "filename": filename,
        "size": 123,
        "regions": regions,
        "file_attributes": file_attributes,
    }


def written(folder, content):
    path = folder / "via.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def drawn(folder, outline, shape=(12, 12)):
    (image,) = read_via(written(folder, {"a.png1": entry("a.png", [region(outline)])}))
    return draw_masks(image.regions, shape)[..., 0]


# --- reading ------------------------------------------------------------------------------------


def test_all_forms_say_the_same(tmp_path):
    first, second = region(TRIANGLE, kind="red"), region(TRIANGLE, kind="blau ü")
    forms = {
        "VIA 1": {"a.png1": entry("a.png", {"0": first, "1": second}, by="me")},
        "VIA 2": {"a.png1": entry("a.png", [first, second], by="me")},
    }
    forms["project"] = {
        "_via_settings": {"core": {}},
        "_via_img_metadata": forms["VIA 2"],
        "_via_attributes": {"region": {}},
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": ["a.png1"],
    }
    for content in forms.values():
        (image,) = read_via(written(tmp_path, content))
        assert image.filename == "a.png" and image.attributes == {"by": "me"}
        assert [each.label() for each in image.regions] == ["red", "blau ü"]
        for each in image.regions:
            assert each.polygon.tolist() == [[2, 1], [2, 7], [8, 1]]  # (y, x)


def test_images_keep_their_order_and_may_be_empty(tmp_path):
    nameless = {"filename": "c.png"}
    content = {"9": entry("b.png", []), "1": entry("a.png", {}), "2": nameless}
    images = read_via(written(tmp_path, "\ufeff" + json.dumps(content)))
    assert [(image.filename, image.regions) for image in images] == [
        ("b.png", ()),
        ("a.png", ()),
        ("c.png", ()),
    ]


def test_labels(tmp_path):
    def of(attributes, name=None):
        content = {"k": entry("a.png", [region(TRIANGLE, **attributes)])}
        return read_via(written(tmp_path, content))[0].regions[0].label(name)

    assert of({"kind": " red "}) == "red"
    assert of({"kind": "red", "size": 3}, "size") == "3"
    assert of({"kind": {"red": True, "blue": False}}) == "red"  # check boxes
    for attributes, name, words in [
        ({}, None, r"Region 0 of a.png in .*via.json has 0 attributes \(none\)"),
        ({"a": "x", "b": "y"}, None, r"has 2 attributes \(a, b\), so which one"),
        ({"kind": "red"}, "class", "needs one label in its attribute 'class', but has None"),
        ({"kind": "  "}, None, "needs one label in its attribute 'kind'"),
        ({"kind": None}, None, "needs one label in its attribute 'kind', but has None"),
        ({"kind": True}, None, "needs one label in its attribute 'kind', but has True"),
        ({"kind": ["red"]}, "kind", "needs one label in its attribute 'kind'"),
        ({"kind": {"red": True, "blue": True}}, "kind", "but has {'red': True, 'blue': True}"),
        ({"kind": {}}, "kind", "Its attributes are: kind"),
    ]:
        with pytest.raises(ViaError, match=words):
            of(attributes, name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("filename,file_size\n", "via.json is not JSON .* export the annotations as JSON"),
        ([1, 2], "does not hold annotations as VIA 1 or 2"),
        ({"images": [], "annotations": [], "categories": []}, "COCO's format and VIA 3 are"),
        ({"project": {}, "file": {}, "metadata": {}, "view": {}}, "does not hold annotations"),
        ({"a": {"filename": 3, "regions": []}}, "does not hold annotations"),
        ({"a": entry("a.png", "none")}, "does not hold annotations"),
        (
            {"a": entry("a.png", []), "b": entry("a.png", [])},
            "more than once: a.png",
        ),
        ({"a": entry("a.png", [7])}, "Region 0 of a.png in .* has the shape None"),
    ],
)
def test_other_files_are_refused(tmp_path, content, words):
    with pytest.raises(ViaError, match=words):
        read_via(written(tmp_path, content))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*nothing.json"):
        read_via(tmp_path / "nothing.json")


HEAD = "filename,file_size,file_attributes,region_count,region_id,"
HEAD += "region_shape_attributes,region_attributes\n"


@pytest.mark.parametrize("head", [HEAD, "#" + HEAD])
def test_csv_says_the_same(tmp_path, head):
    def quoted(value):
        return '"' + json.dumps(value).replace('"', '""') + '"'

    path = tmp_path / "via.csv"
    rows = [
        f"a.png,123,{quoted({'by': 'me'})},2,{n},{quoted(TRIANGLE)},{quoted({'kind': kind})}\n"
        for n, kind in enumerate(("red", "blau ü"))
    ]
    path.write_text("\ufeff" + head + "".join(rows) + "b.png,5,{},0,0,{},{}\n", "utf-8")
    first, second = read_via(path)
    assert (first.filename, first.attributes) == ("a.png", {"by": "me"})
    assert [each.label() for each in first.regions] == ["red", "blau ü"]
    assert first.regions[1].polygon.tolist() == [[2, 1], [2, 7], [8, 1]]
    assert (second.filename, second.regions) == ("b.png", ())
    for wrong in ("a.png,1,{},1,0,nothing,{}\n", "a.png\n", 'a.png,1,{},1,0,"[1",{}\n'):
        path.write_text(head + wrong)
        with pytest.raises(ViaError, match=r"Line 2 of .*via.csv is not as VIA writes it in CSV"):
            read_via(path)
    path.write_text("a;b;c\n1;2;3\n")
    with pytest.raises(ViaError, match="Line 2"):
        read_via(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape_attributes": {"name": []}}, "has the shape []"),
        ({"shape_attributes": {"name": {"a": 1}}}, "has the shape"),
        ({"shape_attributes": "polygon"}, "has the shape None"),
        ({"region_attributes": 5}, "has the region_attributes 5, but an object is expected"),
        ({"region_attributes": "cup"}, "has the region_attributes 'cup'"),
        ({"region_attributes": ["cup"]}, "has the region_attributes"),
    ],
)
def test_values_of_wrong_types(tmp_path, change, words):
    content = {"a": entry("a.png", [region(TRIANGLE) | change])}
    with pytest.raises(ViaError) as caught:
        read_via(written(tmp_path, content))
    assert f"Region 0 of a.png in {tmp_path}/via.json {words}" in str(caught.value)


def test_attributes_of_files_of_wrong_types(tmp_path):
    for value, usable in (("", True), (None, True), ([], True), (5, False), ("me", False)):
        content = {"a": entry("a.png", []) | {"file_attributes": value}}
        if usable:
            assert read_via(written(tmp_path, content))[0].attributes == {}
        else:
            with pytest.raises(ViaError, match=r"a.png in .* has the file_attributes"):
                read_via(written(tmp_path, content))


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 1e12, 10**400, -1e9, "1e30"])
@pytest.mark.parametrize("name", ["cx", "cy", "rx", "ry", "theta"])
def test_numbers_that_no_picture_has(tmp_path, name, value):
    """Told before a polygon of millions of points is made of them."""
    outline = {"name": "ellipse", "cx": 5, "cy": 5, "rx": 3, "ry": 2, name: value}
    with pytest.raises(ViaError, match=r"Region 0 of a.png in .* is no ellipse"):
        drawn(tmp_path, outline)


def test_edges_that_take_too_long_to_draw(tmp_path):
    zigzag = {"all_points_x": [0, 90_000] * 50_000, "all_points_y": list(range(100_000))[::-1]}
    with pytest.raises(ViaError, match="edges of no more than 1000000 pixels"):
        drawn(tmp_path, {"name": "polygon", **zigzag})


@pytest.mark.parametrize(
    ("outline", "words"),
    [
        ({"name": "point", "cx": 3, "cy": 4}, "'point', but a mask needs one that has an area"),
        ({**TRIANGLE, "name": "polyline"}, "polygon, rect, circle, ellipse"),
        ({"name": "rect", "x": 3, "y": 4}, "is no rect, which needs x and y and width and height"),
        ({**TRIANGLE, "all_points_x": [1, 7]}, "is no polygon, which needs all_points_x"),
        ({**TRIANGLE, "all_points_x": [1, None, 3]}, "three points at least, all of numbers"),
        ({**TRIANGLE, "all_points_x": [1, "b", 3]}, "is no polygon, which needs"),
        ({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [3, 4]}, "three points"),
        ({"name": "polygon", "all_points_x": 1, "all_points_y": 3}, "three points"),
        ({"name": "circle", "cx": 1, "cy": 1, "r": None}, "Region 1 of a.png in .* is no circle"),
    ],
)
def test_regions_without_an_area_are_refused(tmp_path, outline, words):
    content = {"a": entry("a.png", [region(TRIANGLE), region(outline)])}
    with pytest.raises(ViaError, match=words):
        read_via(written(tmp_path, content))


# --- drawing ------------------------------------------------------------------------------------


def test_a_triangle_by_hand(tmp_path):
    mask = drawn(tmp_path, TRIANGLE)
    assert mask.dtype == bool
    expected = np.zeros((12, 12), bool)
    for row, last in zip(range(2, 9), range(7, 0, -1), strict=True):
        expected[row, 1 : last + 1] = True
    np.testing.assert_array_equal(mask, expected)


def test_a_rectangle_by_hand(tmp_path):
    mask = drawn(tmp_path, {"name": "rect", "x": 3, "y": 5, "width": 6, "height": 2})
    expected = np.zeros((12, 12), bool)
    expected[5:8, 3:10] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize(
    "outline",
    [
        {"name": "circle", "cx": 20, "cy": 17, "r": 9.3},
        {"name": "ellipse", "cx": 20, "cy": 17, "rx": 14.2, "ry": 5.1},
        {"name": "ellipse", "cx": 20, "cy": 17, "rx": 14.2, "ry": 5.1, "theta": 0.6},
        {"name": "ellipse", "cx": 20, "cy": 17, "rx": 14.2, "ry": 5.1, "theta": -2.9},
    ],
)
def test_round_regions_pixel_by_pixel(tmp_path, outline):
    mask = drawn(tmp_path, outline, (40, 44))
    x_radius, y_radius = (outline.get(name, outline.get("r")) for name in ("rx", "ry"))
    turn, certain = outline.get("theta", 0), 0
    for row, column in np.ndindex(mask.shape):
        right, down = column - 20, row - 17
        # theta turns clockwise on the screen: what lay to the right now lies further down
        along = right * math.cos(turn) + down * math.sin(turn)
        across = -right * math.sin(turn) + down * math.cos(turn)
        distance = math.hypot(along / x_radius, across / y_radius)
        if abs(distance - 1) > 0.01:
            assert mask[row, column] == (distance < 1), (row, column)
            certain += 1
    assert certain > mask.size - 40


def test_what_lies_outside_is_cut_off(tmp_path):
    """The outline of a thing at the border often touches the width or height of the image."""
    wide = {"name": "polygon", "all_points_x": [-3, 12, 12, -3], "all_points_y": [9, 9, 12, 12]}
    mask = drawn(tmp_path, wide)
    assert mask[9:].all() and not mask[:9].any()
    assert not drawn(tmp_path, {"name": "circle", "cx": 90, "cy": 90, "r": 5}).any()
    assert draw_masks((), (5, 7, 3)).shape == (5, 7, 0)


def test_polygons_agree_with_cocos(tmp_path):
    """COCO counts pixels from their edges, so its polygon lies half a pixel further."""
    rng = np.random.default_rng(4)
    angles = np.sort(rng.uniform(0, 2 * math.pi, 9))
    radii = rng.uniform(10, 28, 9)
    x, y = 31.3 + radii * np.cos(angles), 30.7 + radii * np.sin(angles)
    outline = {"name": "polygon", "all_points_x": x.tolist(), "all_points_y": y.tolist()}
    mask = drawn(tmp_path, outline, (64, 60))
    points = np.stack([x + 0.5, y + 0.5], axis=-1).ravel().tolist()
    coco = rle_tools.decode(rle_tools.merge(rle_tools.frPyObjects([points], 64, 60)))
    differing = np.count_nonzero(mask != coco)
    assert differing < 0.02 * mask.sum()


def inside(polygon, row, column):
    """Whether a pixel's middle lies in (even-odd rule) or on a polygon, in whole numbers."""
    odd = False
    for (y1, x1), (y2, x2) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        side = (x2 - x1) * (row - y1) - (y2 - y1) * (column - x1)
        within = min(y1, y2) <= row <= max(y1, y2) and min(x1, x2) <= column <= max(x1, x2)
        if side == 0 and within:
            return True
        if (y1 > row) != (y2 > row):
            odd ^= (side > 0) == (y2 > y1)
    return odd


@pytest.mark.parametrize("seed", range(60))
def test_polygons_that_cross_themselves_pixel_by_pixel(tmp_path, seed):
    rng = np.random.default_rng(seed)
    polygon = rng.integers(-4, 24, (rng.integers(3, 9), 2))
    outline = {
        "name": "polygon",
        "all_points_x": polygon[:, 1].tolist(),
        "all_points_y": polygon[:, 0].tolist(),
    }
    mask = drawn(tmp_path, outline, (17, 21))
    for row, column in np.ndindex(mask.shape):
        assert mask[row, column] == inside(polygon.tolist(), row, column), (row, column)

"""Reading COCO files: order, classes, masks of every kind, and damaged files."""

import json
import logging

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle_tools

from siamese_mrcnn.annotations import AnnotationError, decode_mask, read_annotations
from siamese_mrcnn.coco import CocoDataset, paper_order
from siamese_mrcnn.run_lengths import checked_run_lengths, expand_counts

HEIGHT, WIDTH = 12, 16


def square(y, x, size):
    """Polygon of a square, and its mask."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + size, x : x + size] = True
    return [x, y, x + size, y, x + size, y + size, x, y + size], mask


def plain_run_lengths(mask):
    """Uncompressed run lengths the slow way: one pixel after the other, down the columns."""
    counts, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return {"counts": counts, "size": list(mask.shape)}


def compressed_run_lengths(mask):
    encoded = rle_tools.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"counts": encoded["counts"].decode(), "size": list(mask.shape)}


def annotation(number, image_id, category_id, segmentation, **other):
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "segmentation": segmentation,
        "iscrowd": 0,
        **other,
    }


def write(folder, annotations, images=(11, 5, 8), categories=((7, "dog"), (3, "cat"))):
    """A COCO folder with a test portion; category ids neither ordered nor without gaps."""
    content = {
        "images": [
            {"id": n, "file_name": f"{n}.png", "height": HEIGHT, "width": WIDTH} for n in images
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in categories],
    }
    (folder / "annotations").mkdir(parents=True)
    (folder / "val2017").mkdir()
    (folder / "annotations/instances_val2017.json").write_text(json.dumps(content))
    for n in images:
        picture = np.full((HEIGHT, WIDTH, 3), n, np.uint8)
        cv2.imwrite(str(folder / f"val2017/{n}.png"), picture)
    return folder


@pytest.fixture
def small(tmp_path):
    """Image 11: two dogs and a cat; image 5: a cat and a crowd of dogs; image 8: nothing."""
    polygon, _ = square(2, 3, 4)
    other, _ = square(7, 9, 3)
    _, crowd = square(0, 0, 6)
    return write(
        tmp_path / "coco",
        [
            annotation(100, 11, 7, [polygon]),
            annotation(101, 11, 3, [other]),
            annotation(102, 11, 7, compressed_run_lengths(square(8, 1, 2)[1])),
            annotation(103, 5, 3, [polygon, other]),
            annotation(104, 5, 7, plain_run_lengths(crowd), iscrowd=1),
        ],
    )


def find(dataset, coco_id):
    return [info["id"] for info in dataset.image_info].index(coco_id)


def test_classes_are_numbered_by_ascending_category_id(small):
    dataset = CocoDataset.from_folder(small, "test")
    assert list(dataset.class_names) == ["BG", "cat", "dog"]
    assert dataset.get_source_class_id(1, "coco") == 3
    assert dataset.get_source_class_id(2, "coco") == 7
    assert dataset.active_classes == (1, 2)


def test_annotated_images_only_and_their_pictures(small):
    dataset = CocoDataset.from_folder(small, "test")
    assert sorted(info["id"] for info in dataset.image_info) == [5, 11]
    for image_id in dataset.image_ids:
        assert (dataset.load_image(image_id) == dataset.image_info[image_id]["id"]).all()


def test_masks_of_polygons_and_of_both_kinds_of_run_lengths(small):
    dataset = CocoDataset.from_folder(small, "test")
    masks, class_ids = dataset.load_mask(find(dataset, 11))
    assert masks.dtype == bool and masks.shape == (HEIGHT, WIDTH, 3)
    assert class_ids.tolist() == [2, 1, 2] and class_ids.dtype == np.int32
    for index, (y, x, size) in enumerate([(2, 3, 4), (7, 9, 3), (8, 1, 2)]):
        np.testing.assert_array_equal(masks[..., index], square(y, x, size)[1])


def test_crowds_are_negative_and_no_instances_of_their_class(small):
    dataset = CocoDataset.from_folder(small, "test")
    image_id = find(dataset, 5)
    masks, class_ids = dataset.load_mask(image_id)
    assert class_ids.tolist() == [1, -2]
    np.testing.assert_array_equal(masks[..., 0], square(2, 3, 4)[1] | square(7, 9, 3)[1])
    np.testing.assert_array_equal(masks[..., 1], square(0, 0, 6)[1])
    assert dataset.classes_in(image_id) == (1,)
    assert dataset.images_with(2) == (find(dataset, 11),)
    assert dataset.load_masks_of(image_id, 2).shape == (HEIGHT, WIDTH, 0)


def test_the_index_agrees_with_the_masks(shapes_folder):
    dataset = CocoDataset.from_folder(shapes_folder, "train")
    shown = {class_id: set() for class_id in range(1, dataset.num_classes)}
    for image_id in dataset.image_ids:
        masks, class_ids = dataset.load_mask(image_id)
        positive = sorted({int(number) for number in class_ids if number > 0})
        assert dataset.classes_in(image_id) == tuple(positive)
        for class_id in positive:
            shown[class_id].add(image_id)
            wanted = masks[..., class_ids == class_id]
            np.testing.assert_array_equal(dataset.load_masks_of(image_id, class_id), wanted)
            one_by_one = dataset.instances_of(image_id, class_id)
            assert len(one_by_one) == wanted.shape[2]
            for index, number in enumerate(one_by_one):
                mask = dataset.load_instance(image_id, number)
                np.testing.assert_array_equal(mask, wanted[..., index])
                assert dataset.class_of_instance(image_id, number) == class_id
    for class_id, image_ids in shown.items():
        assert dataset.images_with(class_id) == tuple(sorted(image_ids))


def test_the_order_of_images_is_that_of_a_set_filled_by_category(small):
    rng = np.random.default_rng(2)
    ids = rng.permutation(5000)[:300].tolist()
    annotations = [
        annotation(n, image_id, int(rng.choice([3, 7])), [square(2, 3, 4)[0]])
        for n, image_id in enumerate(ids)
    ]
    content = json.loads((small / "annotations/instances_val2017.json").read_text())
    content["images"] = [
        {"id": n, "file_name": f"{n}.png", "height": HEIGHT, "width": WIDTH} for n in ids
    ]
    content["annotations"] = annotations
    path = small / "many.json"
    path.write_text(json.dumps(content))
    by_category = {3: [], 7: []}
    for entry in annotations:
        by_category[entry["category_id"]].append(entry["image_id"])
    expected = list(set([*set(by_category[3]), *set(by_category[7])]))
    order = paper_order(read_annotations(path))
    assert order == expected and order != sorted(order)


def test_validation_is_the_end_of_the_training_file(shapes_folder):
    training = CocoDataset.from_folder(shapes_folder, "train")
    validation = CocoDataset.from_folder(shapes_folder, "validation")
    order = paper_order(training.coco)
    assert [info["id"] for info in training.image_info] == order[:27]
    assert [info["id"] for info in validation.image_info] == order[27:]
    assert len(CocoDataset.from_folder(shapes_folder, "test").image_info) == 8


def test_loading_prints_nothing(shapes_folder, capsys):
    CocoDataset.from_folder(shapes_folder, "test")
    assert capsys.readouterr().out == ""


def test_any_json_and_image_folder(small):
    dataset = CocoDataset.from_json(
        small / "annotations/instances_val2017.json", small / "val2017", classes=[2]
    )
    assert dataset.active_classes == (2,)
    assert len(dataset.image_ids) == 2


def test_active_classes_are_checked_when_set(small):
    dataset = CocoDataset.from_folder(small, "test")
    dataset.active_classes = [2, np.int64(1), 2]
    assert dataset.active_classes == (1, 2)
    for wrong in ([3], [0], [-1], []):
        with pytest.raises(ValueError, match=r"some of 1 to 2.*cat, dog"):
            dataset.active_classes = wrong
    assert dataset.active_classes == (1, 2)
    dataset.active_classes = None
    assert dataset.active_classes == (1, 2)


def test_classes_without_an_image_are_refused(tmp_path):
    crowd = plain_run_lengths(square(0, 0, 6)[1])
    folder = write(
        tmp_path / "coco",
        [annotation(1, 5, 3, [square(2, 3, 4)[0]]), annotation(2, 5, 7, crowd, iscrowd=1)],
    )
    with pytest.raises(AnnotationError, match=r"none of the requested classes \(dog\)"):
        CocoDataset.from_folder(folder, "test", classes=[2])


def test_annotations_that_show_nothing_are_left_out_and_reported(tmp_path, caplog):
    line = [1, 1, 8, 1, 4, 1]
    empty = {"counts": [HEIGHT * WIDTH], "size": [HEIGHT, WIDTH]}
    outlines = [[], None, [[1, 2, 3, 4]], empty, {"counts": "", "size": [HEIGHT, WIDTH]}]
    annotations = [annotation(n, 11, 7, outline) for n, outline in enumerate(outlines)]
    annotations.append(annotation(50, 11, 3, [square(2, 3, 4)[0]]))
    without = annotation(60, 8, 7, [])
    del without["segmentation"]
    folder = write(tmp_path / "coco", [*annotations, without, annotation(70, 5, 7, [line])])
    with caplog.at_level(logging.WARNING):
        dataset = CocoDataset.from_folder(folder, "test")
    assert "left out 7 annotations" in caplog.text
    assert dataset.classes_in(find(dataset, 11)) == (1,)
    assert dataset.load_mask(find(dataset, 11))[1].tolist() == [1]
    masks, class_ids = dataset.load_mask(find(dataset, 8))
    assert masks.shape == (HEIGHT, WIDTH, 0) and class_ids.shape == (0,)


def test_a_wrong_area_of_zero_does_not_hide_an_instance(tmp_path):
    polygon, mask = square(2, 3, 4)
    folder = write(tmp_path / "coco", [annotation(1, 5, 3, [polygon], area=0, bbox=[0, 0, 0, 0])])
    dataset = CocoDataset.from_folder(folder, "test")
    np.testing.assert_array_equal(dataset.load_masks_of(0, 1)[..., 0], mask)


def test_missing_area_box_and_crowd_flag_are_filled_in(tmp_path):
    entry = annotation(1, 5, 3, [square(2, 3, 4)[0]])
    del entry["iscrowd"]
    dataset = CocoDataset.from_folder(write(tmp_path / "coco", [entry]), "test")
    filled = dataset.coco.anns[1]
    assert (filled["area"], filled["bbox"], filled["iscrowd"]) == (16, [3, 2, 4, 4], 0)


@pytest.mark.parametrize(
    ("outline", "sentence"),
    [
        ({"counts": [10, 20], "size": [5, 6]}, r"annotation 9 .* for an image of \[5, 6\]"),
        ({"counts": [10, 20], "size": [HEIGHT, WIDTH]}, "annotation 9 .* must add up to .* 192"),
        ({"counts": [200, -8], "size": [HEIGHT, WIDTH]}, "annotation 9 "),
        ({"counts": "~~", "size": [HEIGHT, WIDTH]}, "annotation 9 .* characters"),
        ({"counts": "0", "size": [HEIGHT, WIDTH]}, "annotation 9 .* must add up to"),
        ({"counts": "é", "size": [HEIGHT, WIDTH]}, "annotation 9 "),
        ({"counts": 5, "size": [HEIGHT, WIDTH]}, "annotation 9 "),
        ([1, 2, 3, 4, 5, 6], "annotation 9 .*must be a list"),
        ([[1, 2, 3, 4, 5, 6, 7]], "annotation 9 .*must be a list"),
        ([["a", "b", "c", "d", "e", "f"]], "annotation 9 "),
        ([[1, 2, 3, 4, 5, 1e12]], "annotation 9 .*far outside"),
        ([[1, 2, 3, 4, 5, float("nan")]], "annotation 9 .*far outside"),
    ],
)
def test_damaged_outlines_are_named(tmp_path, outline, sentence):
    entries = [annotation(9, 5, 3, outline, area=5, bbox=[1, 1, 2, 2])]
    dataset = CocoDataset.from_folder(write(tmp_path / "coco", entries), "test")
    with pytest.raises(AnnotationError, match=sentence):
        dataset.load_mask(0)


def test_compressed_run_lengths_expand_to_the_plain_ones():
    rng = np.random.default_rng(0)
    for density in (0, 0.02, 0.5, 0.98, 1):
        mask = rng.random((211, 307)) < density
        compressed = compressed_run_lengths(mask)["counts"]
        assert expand_counts(compressed).tolist() == plain_run_lengths(mask)["counts"]


def test_a_compressed_mask_that_is_cut_off_is_refused():
    mask = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.5
    outline = compressed_run_lengths(mask)
    for length in range(1, len(outline["counts"])):
        short = {"size": outline["size"], "counts": outline["counts"][:length]}
        with pytest.raises(ValueError, match="its run lengths"):
            checked_run_lengths(short, HEIGHT, WIDTH)


def test_one_damaged_annotation_without_area_does_not_stop_the_rest(tmp_path, caplog):
    folder = write(
        tmp_path / "coco",
        [
            annotation(9, 5, 3, {"counts": [1], "size": [1, 1]}),
            annotation(10, 5, 3, [square(2, 3, 4)[0]]),
        ],
    )
    with caplog.at_level(logging.WARNING):
        dataset = CocoDataset.from_folder(folder, "test")
    assert "annotation 9" in caplog.text
    assert dataset.instances_of(0, 1) == (10,)


def test_annotations_of_unlisted_images_and_categories_are_left_out(tmp_path, caplog):
    polygon = square(2, 3, 4)[0]
    entries = [annotation(n, i, c, [polygon]) for n, (i, c) in enumerate([(5, 3), (99, 3), (5, 4)])]
    with caplog.at_level(logging.WARNING):
        dataset = CocoDataset.from_folder(write(tmp_path / "coco", entries), "test")
    assert "left out 2 annotations" in caplog.text
    assert [info["id"] for info in dataset.image_info] == [5]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"images": [', "not valid JSON.*cut off"),
        ("[1, 2]", "holds a list"),
        ('{"images": [], "annotations": []}', "lists no images"),
        ('{"annotations": [{}]}', "no list of images"),
        ('{"images": [{"id": 1}]}', "entry 0 of images lacks file_name, height, width"),
    ],
)
def test_files_that_are_not_coco_are_refused_in_sentences(tmp_path, text, sentence):
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(AnnotationError, match=sentence) as caught:
        read_annotations(path)
    assert str(path) in str(caught.value)


def test_a_file_without_categories_is_refused(tmp_path):
    folder = write(tmp_path / "coco", [annotation(1, 5, 3, [])], categories=())
    with pytest.raises(AnnotationError, match="lists no categories"):
        CocoDataset.from_folder(folder, "test")


def test_binary_content_is_refused(tmp_path):
    path = tmp_path / "instances.json"
    path.write_bytes(b"PK\x03\x04\xff\xfe\x00")
    with pytest.raises(AnnotationError, match="archive"):
        read_annotations(path)


def test_missing_files_and_folders_are_named(small, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no annotation file .*instances_train2017.json"):
        CocoDataset.from_folder(small, "train")
    with pytest.raises(FileNotFoundError, match=r"no image folder .*nowhere"):
        CocoDataset.from_json(small / "annotations/instances_val2017.json", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"none of the first 2 images.*right folder"):
        CocoDataset.from_json(small / "annotations/instances_val2017.json", tmp_path / "empty")


def test_an_unknown_portion_is_refused(small):
    with pytest.raises(ValueError, match=r"no portion 'val'.*'validation'"):
        CocoDataset.from_folder(small, "val")


def test_an_instance_of_another_image_is_refused(small):
    dataset = CocoDataset.from_folder(small, "test")
    with pytest.raises(AnnotationError, match="has no annotation 103"):
        dataset.class_of_instance(find(dataset, 11), 103)


def test_masks_after_cocos_evaluation_replaced_the_polygons(small):
    dataset = CocoDataset.from_folder(small, "test")
    entry = dataset.coco.anns[100]
    entry["segmentation"] = dataset.coco.annToRLE(entry)
    mask = decode_mask(entry, {"height": HEIGHT, "width": WIDTH})
    np.testing.assert_array_equal(mask, square(2, 3, 4)[1])

"""Reading COCO folders: order, classes, masks of every kind; damage is in test_annotations.py."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest

from coco_folder import (
    HEIGHT,
    WIDTH,
    annotation,
    compressed_run_lengths,
    find,
    plain_run_lengths,
    square,
    write,
)
from mrcnn.images.image import ImageError
from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.data.coco_annotations import AnnotationError, decode_mask, read_annotations
from siamese_mrcnn.data.splits import seen_and_novel


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
    order = read_annotations(path).image_order
    assert order == expected and order != sorted(order)


def test_validation_is_the_end_of_the_training_file(shapes_folder):
    training = CocoDataset.from_folder(shapes_folder, "train")
    validation = CocoDataset.from_folder(shapes_folder, "validation")
    order = training.coco.image_order
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


def test_missing_files_and_folders_are_named(small, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no annotation file .*instances_train2017.json"):
        CocoDataset.from_folder(small, "train")
    with pytest.raises(FileNotFoundError, match=r"no image folder .*nowhere"):
        CocoDataset.from_json(small / "annotations/instances_val2017.json", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"none of the first 2 images.*right folder"):
        CocoDataset.from_json(small / "annotations/instances_val2017.json", tmp_path / "empty")


@pytest.mark.parametrize("portion", ["val", "Train", "tests", "", None])
def test_an_unknown_portion_is_refused(small, portion):
    path = small / "annotations/instances_val2017.json"
    for call in (
        lambda: CocoDataset.from_folder(small, portion),
        lambda: CocoDataset.from_json(path, small / "val2017", portion),
    ):
        with pytest.raises(ValueError, match=rf"no portion {portion!r}.*'validation'"):
            call()


def changed(small, change):
    """The path of a copy of the small file with other content."""
    content = json.loads((small / "annotations/instances_val2017.json").read_text())
    change(content)
    path = small / "changed.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "form", ["images/{}", "/data/photos/{}", "C:\\photos\\{}", "..\\..\\{}", "file:///x/{}"]
)
def test_file_names_of_other_computers(small, form):
    def rename(content):
        for image in content["images"]:
            image["file_name"] = form.format(image["file_name"])

    dataset = CocoDataset.from_json(changed(small, rename), small / "val2017")
    for image_id in dataset.image_ids:
        assert (dataset.load_image(image_id) == dataset.image_info[image_id]["id"]).all()


@pytest.mark.parametrize("name", ["/dev/zero", "../secret.png", "{}/secret.png", "pipe.png"])
def test_nothing_outside_of_the_folder_is_read(small, name):
    (small / "secret.png").write_bytes((small / "val2017/5.png").read_bytes())
    os.mkfifo(small / "val2017/pipe.png")
    path = changed(small, lambda content: content["images"][0].update(file_name=name.format(small)))
    dataset = CocoDataset.from_json(path, small / "val2017")
    with pytest.raises(ImageError, match=r"no image file|a device or a pipe"):
        dataset.load_image(find(dataset, 11))


def test_missing_images_are_left_out_when_said_so(small, caplog):
    path = changed(small, lambda content: content["images"][0].update(file_name="gone.png"))
    annotations = read_annotations(path)
    dataset = CocoDataset.from_annotations(annotations, small / "val2017", skip_missing=True)
    assert [info["id"] for info in dataset.image_info] == [5]
    assert "left out 1 of 2 images, whose files are not there" in caplog.text


def test_a_picture_of_another_size_is_refused(small):
    dataset = CocoDataset.from_folder(small, "test")
    cv2.imwrite(str(small / "val2017/11.png"), np.zeros((WIDTH, HEIGHT, 3), np.uint8))
    with pytest.raises(ImageError, match=r"11.png is 12 x 16 pixels, but .* says 16 x 12"):
        dataset.load_image(find(dataset, 11))


def test_names_keep_their_commas(small):
    path = changed(small, lambda content: content["categories"][0].update(name=" bottle, glass "))
    dataset = CocoDataset.from_json(path, small / "val2017")
    assert dataset.class_names == ["BG", "cat", "bottle, glass"]
    assert seen_and_novel(dataset, ("bottle, glass",)) == ((1,), (2,))


def test_only_crowds_are_named_for_what_they_are(small):
    def make_crowds(content):
        for each in content["annotations"]:
            each["iscrowd"] = 1

    with pytest.raises(AnnotationError, match=r"5 annotations are crowds, iscrowd 1"):
        CocoDataset.from_json(changed(small, make_crowds), small / "val2017")


def many(content, count=40, form="{}"):
    """A square in each of many images; the last ten are the first ten again."""
    content["images"] = [
        {
            "id": form.format(n),
            "file_name": f"{n % (count - 10)}.png",
            "height": HEIGHT,
            "width": WIDTH,
        }
        for n in range(count)
    ]
    content["annotations"] = [
        annotation(n, form.format(n), 3, [square(2, 3, 4)[0]]) for n in range(count)
    ]


def test_a_picture_listed_twice_is_in_one_portion_only(small):
    cv2.imwrite(str(small / "val2017/0.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    annotations = read_annotations(changed(small, lambda content: many(content, 41)))
    parts = [
        CocoDataset.from_annotations(annotations, small / "val2017", portion)
        for portion in ("train", "validation")
    ]
    shown = [{info["path"] for info in part.image_info} for part in parts]
    assert not shown[0] & shown[1] and [len(each) for each in shown] == [28, 3]
    assert sum(part.num_images for part in parts) == 41


def test_portions_do_not_depend_on_the_seed_of_hashes(small):
    path = changed(small, lambda content: many(content, form="photo {}"))
    cv2.imwrite(str(small / "val2017/0.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    program = (
        "import sys; from siamese_mrcnn.data.coco_annotations import read_annotations;"
        "print(read_annotations(sys.argv[1]).image_order)"
    )
    orders = {
        subprocess.run(
            [sys.executable, "-c", program, str(path)],
            env=os.environ | {"PYTHONHASHSEED": str(seed)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in (1, 2)
    }
    assert orders == {f"{list(range(1, 41))}\n"}


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

"""Folders of pictures and mask files of several categories, by hand."""

import numpy as np
import pytest
from PIL import Image

from mrcnn.data.mask_folder import MaskFileError
from mrcnn.images.picture_files import ImageError
from siamese_mrcnn.own_data.mask_folders import InstanceFile, list_mask_folder, load_masks

SHAPE = (4, 6)


def saved(path, values, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(np.asarray(values))
    (picture.convert(mode) if mode else picture).save(path)
    return path


def values_with(*places, dtype=np.uint8, depth=()):
    """Zeros [4, 6] with values at some places: (index, value)."""
    values = np.zeros((*SHAPE, *depth), dtype)
    for index, value in places:
        values[index] = value
    return values


def labels_of(path):
    return [mask.tolist() for mask in load_masks(InstanceFile(path, "car", False), SHAPE)]


TOP, END = np.s_[0], np.s_[2:, 4:]
TOP_MASK = values_with((TOP, 1)).astype(bool).tolist()
END_MASK = values_with((END, 1)).astype(bool).tolist()


@pytest.fixture
def folder(tmp_path):
    """Two pictures with masks, and one without."""
    for name in ("street", "garden", "empty"):
        saved(tmp_path / name / "images" / "any.jpg", np.zeros((*SHAPE, 3), np.uint8))
    for name in ("masks/traffic light/b.png", "masks/traffic light/a.bmp", "labels/car.png"):
        saved(tmp_path / "street" / name, values_with((TOP, 255)))
    saved(tmp_path / "garden" / "masks" / "car" / "1.tif", values_with((TOP, 255)))
    for name in ("street/masks/.DS_Store", "street/labels/.DS_Store", "street/masks/notes.txt"):
        (tmp_path / name).write_text("x")
    return tmp_path


def test_pictures_and_the_files_of_their_masks(folder):
    garden = [InstanceFile(folder / "garden/masks/car/1.tif", "car", True)]
    street = [
        InstanceFile(folder / "street/masks/traffic light/a.bmp", "traffic light", True),
        InstanceFile(folder / "street/masks/traffic light/b.png", "traffic light", True),
        InstanceFile(folder / "street/labels/car.png", "car", False),
    ]
    listed = [("empty", []), ("garden", garden), ("street", street)]
    assert list_mask_folder(folder) == [
        (name, folder / name / "images" / "any.jpg", files) for name, files in listed
    ]
    bare = saved(folder / "street" / "masks" / "9.png", values_with((TOP, 255)))
    with pytest.raises(MaskFileError, match=r"9.png is of no category"):
        list_mask_folder(folder)
    street = [InstanceFile(bare, "pole", True), *street]
    assert list_mask_folder(folder, "pole")[-1][-1] == street


def test_labels_must_keep_values(folder):
    saved(folder / "street" / "labels" / "dog.jpg", values_with((TOP, 255)))
    with pytest.raises(MaskFileError, match=r"dog.jpg is no picture whose values number"):
        list_mask_folder(folder)


def test_a_file_of_one_instance(tmp_path):
    path = saved(tmp_path / "1.png", values_with((TOP, 255), (END, 30)))
    (mask,) = load_masks(InstanceFile(path, "car", True), SHAPE)
    assert mask.tolist() == TOP_MASK


def test_a_file_of_all_instances(tmp_path):
    path = tmp_path / "car.png"
    for first, second, dtype in ((1, 2, np.uint8), (300, 70, np.uint16), (255, 254, np.uint8)):
        values = values_with((TOP, first), (END, second), dtype=dtype)
        found = labels_of(saved(path, values))
        assert found == ([TOP_MASK, END_MASK] if first < second else [END_MASK, TOP_MASK])
    assert labels_of(saved(path, values_with((TOP, True), dtype=bool))) == [TOP_MASK]
    assert labels_of(saved(path, values_with())) == []


def test_colours_are_told_apart_by_all_their_parts(tmp_path):
    path = tmp_path / "car.png"
    for top, end in (((0, 1, 0), (255, 0, 0)), ((1, 2, 3), (3, 2, 1)), ((7, 7, 7), (7, 7, 8))):
        values = values_with((TOP, top), (END, end), depth=(3,))
        assert sorted(labels_of(saved(path, values))) == sorted([TOP_MASK, END_MASK])
    palette = values_with((TOP, (255, 0, 0)), (END, (0, 0, 255)), depth=(3,))
    assert sorted(labels_of(saved(path, palette, "P"))) == sorted([TOP_MASK, END_MASK])
    white_first = Image.fromarray(np.uint8([[0, 1, 1, 1, 1, 1]] * 4), mode="P")
    white_first.putpalette([255, 255, 255, 0, 0, 0])
    white_first.save(path)
    (mask,) = labels_of(path)
    assert mask == [[True, *[False] * 5]] * 4
    transparent = values_with((np.s_[:], (9, 9, 9, 0)), (TOP, (9, 9, 9, 255)), depth=(4,))
    assert labels_of(saved(path, transparent)) == [TOP_MASK]


def test_a_mask_with_soft_edges_is_no_file_of_all_instances(tmp_path):
    def soft(count):
        values = np.zeros((4, 40), np.uint8)
        values[0, :count] = np.arange(1, count + 1)
        values[1:] = 255
        return InstanceFile(saved(tmp_path / "car.png", values), "car", False)

    assert len(load_masks(soft(15), (4, 40))) == 16
    with pytest.raises(MaskFileError, match=r"has 17 values .*soft edges.* into masks/car/"):
        load_masks(soft(16), (4, 40))


def test_labels_that_cannot_serve(tmp_path):
    path = saved(tmp_path / "1.png", np.zeros((6, 4), np.uint8))
    with pytest.raises(MaskFileError, match=r"is 4 x 6 pixels, but its picture is 6 x 4"):
        labels_of(path)
    path.write_text("no picture")
    with pytest.raises(ImageError, match="is not an image in a known format"):
        labels_of(path)
    path = saved(tmp_path / "1.tif", np.zeros(SHAPE, np.float32))
    with pytest.raises(MaskFileError, match="must be of whole numbers"):
        labels_of(path)

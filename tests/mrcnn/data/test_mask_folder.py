"""Folders of images and mask pictures: found, read pixel by pixel, refused by name."""

import numpy as np
import pytest
from PIL import Image

from mrcnn.data.mask_folder import MaskedImage, MaskFileError, find_masked_images, read_masks
from mrcnn.images.image import ImageError, read_image


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)
    return path


def half(high, dtype=np.uint8, shape=(6, 8)):
    array = np.zeros(shape, dtype)
    array[2:5, 3:7] = high
    return array


HALF = half(1).astype(bool)


def test_folders_are_found_by_name(tmp_path):
    image = np.zeros((6, 8, 4), np.uint8)
    for name in ("bb", "aa"):
        save(tmp_path / name / "images" / f"{name}.png", image)
    masks = [save(tmp_path / "bb" / "masks" / f"{n}.png", half(255)) for n in ("n2", "n1")]
    (tmp_path / "bb" / "masks" / "notes.csv").write_text("x")
    (tmp_path / "bb" / "masks" / ".hidden.png").write_text("x")
    (tmp_path / ".git").mkdir()
    (tmp_path / "list.txt").write_text("x")
    assert find_masked_images(tmp_path) == [
        MaskedImage("aa", tmp_path / "aa" / "images" / "aa.png", ()),
        MaskedImage("bb", tmp_path / "bb" / "images" / "bb.png", (masks[1], masks[0])),
    ]


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nothing"):
        find_masked_images(tmp_path / "nothing")
    with pytest.raises(MaskFileError, match="a folder for each image, but has none"):
        find_masked_images(tmp_path)
    (tmp_path / "aa").mkdir()
    with pytest.raises(MaskFileError, match=r"aa/images is expected to hold one .* has 0"):
        find_masked_images(tmp_path)
    for name in ("x.png", "y.PNG"):
        save(tmp_path / "aa" / "images" / name, half(1))
    with pytest.raises(MaskFileError, match=r"aa/images is expected to hold one .* has 2"):
        find_masked_images(tmp_path)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("white.png", half(255)),
        ("one.png", half(1)),
        ("bits.png", half(True, bool)),
        ("lossy.jpg", half(255, shape=(64, 80)).repeat(2, axis=0)),
        ("deep.png", half(65535, np.uint16)),
        ("colour.png", np.stack([half(0), half(200), half(90)], axis=-1)),
        ("alpha.png", np.stack([*[half(255)] * 3, half(0) + 255], axis=-1).astype(np.uint8)),
    ],
)
def test_masks_of_all_kinds(tmp_path, name, array):
    path = save(tmp_path / name, array)
    masks = read_masks([path, path], array.shape)
    expected = np.zeros(array.shape[:2], bool)
    rows = slice(4, 10) if name == "lossy.jpg" else slice(2, 5)
    expected[rows, 3:7] = True
    assert masks.dtype == bool and masks.shape == (*expected.shape, 2)
    for index in range(2):
        np.testing.assert_array_equal(masks[..., index], expected)


def test_what_jpeg_adds_does_not_count(tmp_path):
    """The test above would be none if the picture were stored exactly."""
    path = save(tmp_path / "lossy.jpg", half(255, shape=(64, 80)).repeat(2, axis=0))
    assert np.count_nonzero(read_image(path)[..., 0]) > 6 * 4


def test_soft_edges_belong_to_the_brighter_side(tmp_path):
    y, x = np.mgrid[:16, :16]
    distance = np.hypot(y - 7.5, x - 7.5)
    soft = (255 * np.clip(6 - distance, 0, 1)).astype(np.uint8)
    found = read_masks([save(tmp_path / "soft.png", soft)], soft.shape)
    np.testing.assert_array_equal(found[..., 0], distance < 5.5)


@pytest.mark.parametrize("instances", [2, 3, 20])
def test_a_file_of_several_instances_is_refused(tmp_path, instances):
    labels = np.zeros((6, 5 * instances), np.uint8)
    for number in range(instances):
        labels[1:5, 5 * number : 5 * number + 4] = number + 1
    path = save(tmp_path / "labels.png", labels)
    with pytest.raises(MaskFileError, match=r"labels\.png is half dark, .* a mask of its own"):
        read_masks([path], labels.shape)


def test_no_masks():
    assert read_masks((), (5, 7, 3)).shape == (5, 7, 0)


def test_unusable_masks_are_named(tmp_path):
    path = save(tmp_path / "small.png", half(255))
    with pytest.raises(MaskFileError, match=r"small.png has 6 x 8 pixels, but .* has 8 x 6"):
        read_masks([path], (8, 6, 3))
    for array in (half(0), half(8, np.uint16)):
        path = save(tmp_path / "black.png", array)
        with pytest.raises(MaskFileError, match=r"black.png is black all over .of 16 bits"):
            read_masks([path], HALF.shape)
    with pytest.raises(ImageError, match=r"There is no image file .*gone.png"):
        read_masks([tmp_path / "gone.png"], HALF.shape)

import io
import os

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.transform import resize as skimage_resize

from mrcnn.images import image as images
from mrcnn.images.image import ImageError, plan_resize, prepare_image, read_image, to_rgb


@pytest.fixture
def picture():
    rows, columns = np.mgrid[0:40, 0:64]
    return np.stack([rows * 6, 255 - columns * 3, rows + columns], axis=-1).astype(np.uint8)


def saved(path, picture, **arguments):
    Image.fromarray(picture).save(path, **arguments)
    return path


# --- reading ------------------------------------------------------------------------------------


def test_lossless_files_come_back(tmp_path, picture):
    for name in ("a.png", "a.bmp", "a.tiff"):
        np.testing.assert_array_equal(read_image(saved(tmp_path / name, picture)), picture)


def test_jpeg_is_decoded_as_pillow_does(tmp_path, picture):
    path = saved(tmp_path / "a.jpg", picture, quality=90)
    image = read_image(str(path))
    assert image.dtype == np.uint8
    difference = image.astype(int) - np.asarray(Image.open(path))
    assert abs(difference).max() <= 1


@pytest.mark.parametrize(
    ("mode", "name"),
    [("1", "a.png"), ("L", "a.png"), ("LA", "a.png"), ("L", "a.jpg"), ("P", "a.png")],
)
def test_other_modes_become_rgb(tmp_path, picture, mode, name):
    converted = Image.fromarray(picture).convert(mode)
    converted.save(tmp_path / name, quality=100)
    expected = np.asarray(converted.convert("RGB")).astype(int)
    image = read_image(tmp_path / name)
    assert image.shape == picture.shape
    assert abs(image - expected).max() <= 2


def test_transparency_is_dropped(tmp_path, picture):
    alpha = np.zeros_like(picture[..., :1])  # wholly transparent
    path = saved(tmp_path / "a.png", np.concatenate([picture, alpha], axis=-1))
    np.testing.assert_array_equal(read_image(path), picture)


@pytest.mark.parametrize("name", ["a.jpg", "a.tiff"])
def test_cmyk(tmp_path, picture, name):
    Image.fromarray(picture).convert("CMYK").save(tmp_path / name)
    assert abs(read_image(tmp_path / name) - picture.astype(int)).mean() < 6


def test_sixteen_bits(tmp_path, picture):
    deep = picture.astype(np.uint16) * 257
    saved(tmp_path / "grey.png", deep[..., 0])
    cv2.imwrite(str(tmp_path / "rgb.png"), deep[..., ::-1])
    np.testing.assert_array_equal(read_image(tmp_path / "grey.png")[..., 1], picture[..., 0])
    np.testing.assert_array_equal(read_image(tmp_path / "rgb.png"), picture)


@pytest.mark.parametrize("name", ["grey.png", "grey.tif"])
def test_twelve_bits(tmp_path, name):
    """What a camera of 12 bits calls white is white, though a file of 16 bits could hold more."""
    grey = np.array([[0, 15, 16, 2048, 4095]], np.uint16)
    saved(tmp_path / name, grey)
    assert read_image(tmp_path / name)[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    saved(tmp_path / name, np.append(grey, [[4096]], axis=1).astype(np.uint16))
    assert read_image(tmp_path / name)[0, :, 0].tolist() == [0, 0, 0, 8, 15, 16]


def test_values_that_cannot_be_shown_are_no_damage(tmp_path):
    for values in (np.full((8, 9), 300.5, np.float32), np.full((8, 9), 70000, np.int32)):
        Image.fromarray(values).save(tmp_path / "a.tif")
        with pytest.raises(ImageError, match=r"a.tif cannot be used: .* must have values from 0"):
            read_image(tmp_path / "a.tif")


def test_devices_and_pipes_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "a.png")
    for path in (tmp_path / "a.png", "/dev/zero"):
        with pytest.raises(ImageError, match="is a device or a pipe"):
            read_image(path)
    with pytest.raises(ImageError, match="is a folder"):
        read_image(tmp_path)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.fromarray(np.full((8, 9), grey, np.uint8)) for grey in (60, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert np.unique(read_image(tmp_path / "a.gif")).tolist() == [60]


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_orientation_counts_only_when_asked_for(tmp_path, picture, name):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter to the right
    path = saved(tmp_path / name, picture, exif=exif)
    assert read_image(path).shape == (40, 64, 3)
    upright = read_image(path, upright=True)
    assert upright.shape == (64, 40, 3)
    assert abs(upright - np.rot90(picture, -1).astype(int)).mean() < 6


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "GIF", "BMP"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_files_that_are_cut_off_are_refused_by_name(tmp_path, file_format, share):
    noise = np.random.default_rng(0).integers(0, 256, (50, 60, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, file_format)
    whole = buffer.getvalue()
    path = tmp_path / "cut_off.img"
    path.write_bytes(whole)
    assert read_image(path).shape == (50, 60, 3)
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ImageError, match=r"cut_off\.img"):
        read_image(path)


def test_opencv_is_not_trusted_with_half_a_jpeg(tmp_path, picture, monkeypatch):
    path = saved(tmp_path / "a.jpg", picture)
    path.write_bytes(path.read_bytes()[:-50])
    monkeypatch.setattr(cv2, "imdecode", lambda data, flags: picture)  # as older versions do
    with pytest.raises(ImageError, match="cut off"):
        read_image(path)


def test_jpeg_with_something_behind_its_end_is_read(tmp_path, picture):
    path = saved(tmp_path / "a.jpg", picture)
    before = read_image(path)
    path.write_bytes(path.read_bytes() + b"\0 camera maker's notes")
    np.testing.assert_array_equal(read_image(path), before)


def test_each_misfortune_has_its_sentence(tmp_path):
    (tmp_path / "text.jpg").write_text("This is not an image.")
    (tmp_path / "empty.jpg").touch()
    for name, words in [
        ("missing.jpg", "There is no image file"),
        ("", "is a folder"),
        ("text.jpg", "not an image"),
        ("empty.jpg", "is empty"),
    ]:
        with pytest.raises(ImageError, match=words):
            read_image(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "missing.jpg")


# --- arrays -------------------------------------------------------------------------------------


def test_arrays_of_all_kinds_become_rgb(picture):
    grey = picture[..., 0]
    expected_grey = np.stack([grey] * 3, axis=-1)
    for array in (grey, grey[..., None], np.stack([grey, 255 - grey], axis=-1)):
        np.testing.assert_array_equal(to_rgb(array), expected_grey)
    for array in (
        picture,
        np.concatenate([picture, picture[..., :1]], axis=-1),
        picture.astype(np.float64),
        picture.astype(np.float32),
        np.maximum(picture - 0.4, 0),
        picture.astype(np.int64),
        picture.astype(np.uint16) * 257,
    ):
        image = to_rgb(array)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, picture)
    np.testing.assert_array_equal(to_rgb(grey > 99), np.where(expected_grey > 99, 255, 0))


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4,)), "shape"),
        (np.zeros((4, 4, 5)), "shape"),
        (np.zeros((0, 4, 3), np.uint8), "pixel"),
        (np.full((4, 4), 256.0), "from 0 to 255"),
        (np.full((4, 4), np.nan), "from 0 to 255"),
        (np.full((4, 4), 0.7), "none above 0.7, as if 1 were white. Multiply it by 255"),
        (np.eye(4, dtype=np.float32), "none above 1, as if"),
        (np.full((4, 4), -1), "from 0 to 255"),
        (np.full((4, 4), "a"), "numbers"),
    ],
)
def test_arrays_that_are_no_images_are_refused(array, words):
    with pytest.raises(ImageError, match=words):
        to_rgb(array)


# --- geometry -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "scale", "window"),
    [
        ((480, 640), 0.8, (64, 0, 448, 512)),  # too large: long side decides
        ((200, 250), 2.0, (56, 6, 456, 506)),  # short side up to 400
        ((400, 410), 1.0, (56, 51, 456, 461)),  # never scaled down if it fits
        ((201, 301), 512 / 301, (85, 0, 427, 512)),  # up, but no further than the long side
        ((50, 501), 512 / 501, (230, 0, 281, 512)),  # odd rest: one more line at the bottom
    ],
)
def test_square_by_hand(shape, scale, window):
    geometry = plan_resize((*shape, 3), 400, 512)
    assert geometry.scale == pytest.approx(scale)
    assert geometry.window == window
    assert geometry.prepared_shape == (512, 512)
    (top, bottom), (left, right) = geometry.padding
    assert (top, left) == window[:2]
    assert (512 - bottom, 512 - right) == window[2:]
    assert geometry.scaled_shape == (window[2] - window[0], window[3] - window[1])


def test_least_scale():
    assert plan_resize((100, 100), 0, 512, min_scale=3).scale == 3
    assert plan_resize((100, 100), 400, 512, min_scale=3).scale == 4


def test_none_leaves_the_image_alone(picture):
    geometry = plan_resize(picture.shape, 400, 512, mode="none")
    np.testing.assert_array_equal(prepare_image(picture, geometry), picture)


def test_pad64_by_hand(picture):
    geometry = plan_resize((40, 64), 0, None, mode="pad64")
    assert geometry.prepared_shape == (64, 64)
    assert geometry.window == (12, 0, 52, 64)
    assert plan_resize((65, 128), None, None, mode="pad64").prepared_shape == (128, 128)
    assert plan_resize((32, 64), 64, None, mode="pad64").scale == 2


def test_crop_lies_inside_and_depends_on_the_generator(picture):
    crops = set()
    for seed in range(20):
        geometry = plan_resize((40, 64), 64, None, mode="crop", rng=np.random.default_rng(seed))
        y, x, height, width = geometry.crop
        assert (height, width) == geometry.prepared_shape == (64, 64)
        assert y == 0
        assert 0 <= x <= 102 - 64
        assert prepare_image(picture, geometry).shape == (64, 64, 3)
        crops.add(x)
    assert len(crops) > 5


def test_plans_that_cannot_be(picture):
    with pytest.raises(ImageError, match="rng"):
        plan_resize((40, 64), 64, None, mode="crop")
    with pytest.raises(ImageError, match="does not fit"):
        plan_resize((40, 64), 0, None, mode="crop", rng=np.random.default_rng())
    with pytest.raises(ImageError, match="round"):
        plan_resize((40, 64), 64, 64, mode="round")
    with pytest.raises(ImageError, match="one pixel"):
        plan_resize((0, 64), 64, 64)
    with pytest.raises(ImageError, match="40 x 64"):
        prepare_image(picture, plan_resize((64, 40), 64, 64))


def test_prepared_image_against_scikit_image(picture):
    geometry = plan_resize(picture.shape, 100, 128)
    prepared = prepare_image(picture, geometry)
    scaled = skimage_resize(
        picture, (80, 128), order=1, mode="constant", preserve_range=True, anti_aliasing=False
    )
    expected = np.zeros((128, 128, 3), np.uint8)
    expected[24:104] = scaled.astype(np.uint8)
    assert prepared.dtype == np.uint8
    np.testing.assert_array_equal(prepared, expected)


def test_a_line_of_one_pixel_does_not_vanish():
    geometry = plan_resize((1, 2000), 64, 128)
    assert geometry.scaled_shape == (1, 128)
    assert prepare_image(np.full((1, 2000, 3), 9, np.uint8), geometry).max() == 9


def test_meta_goes_there_and_back():
    geometry = plan_resize((480, 640), 400, 512)
    meta = images.compose_image_meta(7, geometry, [1, 0, 1])
    assert meta.dtype == np.float32
    np.testing.assert_allclose(
        meta, [7, 480, 640, 3, 512, 512, 3, 64, 0, 448, 512, 0.8, 1, 0, 1], rtol=1e-7
    )
    parsed = images.parse_image_meta(meta[None])
    assert parsed["image_id"] == 7
    np.testing.assert_array_equal(parsed["original_shape"], [[480, 640, 3]])
    np.testing.assert_array_equal(parsed["prepared_shape"], [[512, 512, 3]])
    np.testing.assert_array_equal(parsed["window"], [geometry.window])
    np.testing.assert_allclose(parsed["scale"], 0.8)
    np.testing.assert_array_equal(parsed["active_class_ids"], [[1, 0, 1]])

"""The balloon sample: its data by hand, its splash pixel by pixel, a tiny trial of all of it."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from skimage.color import rgb2gray

from mrcnn.data.dataset import DatasetError
from mrcnn.images.image import ImageError
from sample_notebooks import ONE_STEP, SAMPLES

FOLDER = SAMPLES / "balloon"
SQUARE = {"name": "polygon", "all_points_x": [2, 6, 6, 2], "all_points_y": [3, 3, 5, 5]}
TRIANGLE = {"name": "polygon", "all_points_x": [10, 14, 10], "all_points_y": [1, 1, 5]}


@pytest.fixture(scope="module")
def modules():
    """The script and its drawings, imported as a program beside them does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        import balloon
        import drawn_balloons
    return balloon, drawn_balloons


@pytest.fixture(scope="module")
def sample(modules):
    return modules[0]


@pytest.fixture(scope="module")
def tiny(modules):
    return type("TinyConfig", (modules[1].DrawnConfig,), ONE_STEP)


def annotated(folder, regions_of, name="via_region_data.json", **file):
    """Write VIA's JSON of {picture: regions}, and pictures of 8 x 16 pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {}
    for number, (filename, regions) in enumerate(regions_of.items()):
        content[f"{filename}7"] = {"filename": filename, "regions": regions, **file}
        Image.fromarray(np.full((8, 16, 3), 40 * number, np.uint8)).save(folder / filename)
    (folder / name).write_text(json.dumps(content), "utf-8")
    return folder.parent


def outlined(*outlines):
    return [{"shape_attributes": each, "region_attributes": {}} for each in outlines]


# --- the data ---------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [1, 2])
def test_outlines_become_masks(sample, tmp_path, capsys, form):
    both = outlined(SQUARE, TRIANGLE)
    if form == 1:
        both = {str(number): each for number, each in enumerate(both)}
    folder = annotated(
        tmp_path / "train", {"b.png": both, "none.png": both[:0] if form == 2 else {}}
    )
    dataset = sample.balloons(folder, "train")
    assert f"{tmp_path / 'train'}: 1 of 2 pictures have no outlines" in capsys.readouterr().out
    assert dataset.class_names == ["BG", "balloon"] and dataset.num_images == 1
    info = dataset.image_info[0]
    assert (info["height"], info["width"], info["id"]) == (8, 16, "b.png")
    assert dataset.image_reference(0) == str(tmp_path / "train" / "b.png")
    masks, class_ids = dataset.load_mask(0)
    expected = np.zeros((8, 16, 2), bool)
    expected[3:6, 2:7, 0] = True
    for row, last in zip(range(1, 6), range(14, 9, -1), strict=True):
        expected[row, 10 : last + 1, 1] = True
    np.testing.assert_array_equal(masks, expected)
    assert class_ids.tolist() == [1, 1] and class_ids.dtype == np.int32


def test_nothing_is_said_where_nothing_is_left_out(sample, tmp_path, capsys):
    sample.balloons(annotated(tmp_path / "val", {"a.png": outlined(SQUARE)}), "val")
    assert not capsys.readouterr().out


def test_images_of_other_sources_have_no_balloons(sample, tmp_path):
    dataset = sample.BalloonDataset()
    dataset.load_balloon(annotated(tmp_path / "val", {"a.png": outlined(SQUARE)}), "val")
    dataset.add_image("other", 1, tmp_path / "val" / "a.png")
    dataset.prepare()
    assert dataset.load_mask(1)[0].shape == (8, 16, 0)


def test_data_that_is_not_whole_is_refused(sample, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*train.* needs train/ and"):
        sample.balloons(tmp_path, "train")
    (tmp_path / "train").mkdir()
    with pytest.raises(FileNotFoundError, match="has no JSON file: export"):
        sample.balloons(tmp_path, "train")
    annotated(tmp_path / "train", {name: outlined(SQUARE) for name in ("a.png", "b.png", "c.png")})
    for name in ("b.png", "c.png"):
        (tmp_path / "train" / name).unlink()
    with pytest.raises(FileNotFoundError, match=r"2 of 3 annotated .* the first is .*b\.png\."):
        sample.balloons(tmp_path, "train")
    (tmp_path / "train" / "b.png").write_bytes(b"text")
    (tmp_path / "train" / "c.png").write_bytes(b"text")
    with pytest.raises(ImageError, match=r"b\.png is not an image"):
        sample.balloons(tmp_path, "train")
    (tmp_path / "train" / "more.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"has 2 JSON files \(more.json, via_region_data.json\)"):
        sample.balloons(tmp_path, "train")


def test_outlines_of_another_picture_are_refused(sample, tmp_path):
    high = {**SQUARE, "all_points_y": [3, 3, 30, 30]}
    folder = annotated(tmp_path / "train", {"a.png": outlined(SQUARE, high)})
    words = r"Region 1 of a.png in .* from \(y, x\) = \(3, 2\) to \(30, 6\), but .* 8 x 16 pixels"
    with pytest.raises(DatasetError, match=words):
        sample.balloons(folder, "train")
    touching = {**SQUARE, "all_points_y": [3, 3, 9, 9]}  # as people do at the border
    folder = annotated(tmp_path / "train", {"a.png": outlined(touching)})
    assert sample.balloons(folder, "train").load_mask(0)[0].sum() == 5 * 5


def test_drawn_balloons_lie_within_their_outlines(modules, tmp_path):
    sample, drawn = modules
    for _ in range(2):  # drawn once
        drawn.draw_unless_there(tmp_path / "data", {"train": 6, "val": 2}, seed=3)
        (tmp_path / "data" / "mark").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]
    dataset = sample.balloons(tmp_path / "data", "train")
    assert dataset.num_images == 6 and sample.balloons(tmp_path / "data", "val").num_images == 2
    for image_id in dataset.image_ids:
        colors = dataset.load_image(image_id).astype(int)
        masks, _ = dataset.load_mask(image_id)
        assert masks.sum(axis=-1).max() == 1
        saturated = np.ptp(colors, axis=-1) > 130  # as nothing of the ground is
        # OpenCV paints the pixels that an outline touches, too
        reached = cv2.dilate(masks.any(axis=-1).astype(np.uint8), np.ones((3, 3))) > 0
        assert not (saturated & ~reached).any()
        for index in range(masks.shape[-1]):
            assert saturated[masks[..., index]].mean() > 0.8  # all but the light on it


# --- the splash -------------------------------------------------------------------------------


class Finds:
    """A model that finds what is bright red."""

    def detect(self, images):
        return [{"masks": ((i[..., 0] > 180) & (i[..., 1] < 80))[..., None]} for i in images]


def half_red(shape=(32, 48)):
    """Green at the left, red at the right."""
    image = np.zeros((*shape, 3), np.uint8)
    image[:, : shape[1] // 2] = (20, 200, 60)
    image[:, shape[1] // 2 :] = (230, 30, 40)
    return image


def test_splash_by_hand(sample):
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    masks = np.zeros((5, 7, 2), bool)
    masks[1:3, 2:4, 0] = masks[2:5, 3:6, 1] = True
    before = image.copy()
    splash = sample.color_splash(image, masks)
    np.testing.assert_array_equal(image, before)
    assert splash.dtype == np.uint8 and splash.shape == image.shape
    for place in np.ndindex(5, 7):
        if masks[place].any():
            assert splash[place].tolist() == image[place].tolist()
        else:
            red, green, blue = image[place].astype(float)
            grey = 0.2125 * red + 0.7154 * green + 0.0721 * blue
            np.testing.assert_allclose(splash[place], grey, atol=0.5001)
    nothing = sample.color_splash(image, masks[..., :0])
    assert (nothing == nothing[..., :1]).all()


def test_splash_of_a_picture(sample, tmp_path):
    Image.fromarray(half_red()).save(tmp_path / "in.png")
    out = tmp_path / "new" / "out.png"
    splash, count = sample.splash_picture(Finds(), tmp_path / "in.png", out)
    assert count == 1
    np.testing.assert_array_equal(np.asarray(Image.open(out)), splash)
    np.testing.assert_array_equal(splash[:, 24:], half_red()[:, 24:])
    grey = rgb2gray(half_red())[0, 0] * 255
    np.testing.assert_allclose(splash[:, :24], grey, atol=0.5001)


def test_photos_are_turned_upright(sample, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: to be shown turned clockwise
    Image.fromarray(half_red()).save(tmp_path / "in.jpg", exif=exif, quality=100)
    splash, _ = sample.splash_picture(Finds(), tmp_path / "in.jpg", tmp_path / "out.png")
    assert splash.shape == (48, 32, 3)
    assert (splash[5, 5] == splash[5, 5, 0]).all() and splash[40, 5, 0] > splash[40, 5, 1] + 150


@pytest.mark.parametrize(
    ("source", "out", "error", "words"),
    [
        ("gone.png", "out.png", ImageError, r"There is no image file .*gone\.png"),
        ("text.png", "out.png", ImageError, r"text\.png is not an image"),
        ("in.png", "out.txt", ValueError, r"must end in .png, .jpg or the like, not .*out\.txt"),
        ("in.png", "out.psd", ValueError, "must end in .png"),  # can be read, but not written
    ],
)
def test_splashes_that_cannot_be_made(sample, tmp_path, source, out, error, words):
    Image.fromarray(half_red()).save(tmp_path / "in.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(error, match=words):
        sample.splash_picture(Finds(), tmp_path / source, tmp_path / out)
    assert not (tmp_path / out).exists()


def test_splash_of_a_video(sample, tmp_path):
    writer = cv2.VideoWriter(
        str(tmp_path / "in.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10, (48, 32)
    )
    for _ in range(4):
        writer.write(half_red()[..., ::-1])
    writer.release()
    assert sample.splash_video(Finds(), tmp_path / "in.avi", tmp_path / "out.mp4") == 4
    frame = cv2.VideoCapture(str(tmp_path / "out.mp4")).read()[1][..., ::-1].astype(int)
    np.testing.assert_allclose(frame[16, 40], (230, 30, 40), atol=12)
    assert np.ptp(frame[16, 8]) < 8  # grey


# --- all of it --------------------------------------------------------------------------------


def test_a_trial(modules, tiny, tmp_path, monkeypatch, capsys):
    sample, drawn = modules
    monkeypatch.setattr(sample, "BalloonConfig", tiny)
    data, logs = str(tmp_path / "data"), ["--logs", str(tmp_path / "logs")]
    drawn.draw_unless_there(data, {"train": 3, "val": 2})
    sample.main(["train", "--dataset", data, "--weights", "none", "--epochs", "1", *logs])
    names = sorted(path.name for path in tmp_path.glob("logs/*/*.weights.h5"))
    assert names == ["mask_rcnn_balloon_0001.weights.h5"]
    monkeypatch.chdir(tmp_path)
    picture = str(tmp_path / "data" / "val" / "drawn0000.png")
    sample.main(["splash", "--weights", "last", "--image", picture, *logs])
    assert "instances found. Saved: drawn0000_splash.png" in capsys.readouterr().out
    assert Image.open("drawn0000_splash.png").size == (128, 128)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "--dataset", "gone", "--weights", "none"], "balloon.py: There is no folder"),
        (
            ["splash", "--weights", "last", "--image", "a.png"],
            "balloon.py: No checkpoint was found",
        ),
        (["splash", "--weights", "none", "--image", "a.png"], "are to start training from"),
        (["splash", "--weights", "gone.h5", "--video", "a.mp4"], "gone.h5"),
    ],
)
def test_errors_are_sentences(sample, tiny, tmp_path, monkeypatch, arguments, words):
    monkeypatch.setattr(sample, "BalloonConfig", tiny)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        sample.main(arguments)
    assert words in stopped.value.code
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize("what", [[], ["--image", "a.png", "--video", "b.mp4"]])
def test_one_thing_is_splashed(sample, what, capsys):
    with pytest.raises(SystemExit):
        sample.main(["splash", "--weights", "last", *what])
    assert "--image" in capsys.readouterr().err

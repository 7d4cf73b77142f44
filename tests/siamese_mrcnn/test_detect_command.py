"""`siamese-mrcnn detect` with a model that always finds the same: what it writes and refuses."""

import json

import cv2
import numpy as np
import pytest

from command_line import call, refused
from mrcnn.results import Detections
from siamese_mrcnn.coco_results import decode_mask
from siamese_mrcnn.commands import common, detect


class Finder:
    """A model that finds the upper left quarter of every image."""

    def __init__(self, config):
        self.config, self.references = config, None

    def encode_references(self, references):
        self.references = references
        return "vectors"

    def encode_queries(self, images):
        return images

    def detect_encoded(self, queries, vectors):
        assert vectors == "vectors"
        (image,) = queries
        height, width = image.shape[:2]
        box = [0, 0, height // 2, width // 2]
        mask = np.zeros((height, width, 1), bool)
        mask[: box[2], : box[3]] = True
        return [
            Detections(
                rois=np.array([box], np.int32),
                class_ids=np.array([1], np.int32),
                scores=np.array([0.75], np.float32),
                masks=mask,
            )
        ]


@pytest.fixture
def finder(monkeypatch):
    made = []

    def make(config, weights, logs):
        made.append((Finder(config), weights))
        return made[-1][0]

    monkeypatch.setattr(common, "detection_model", make)
    return made


@pytest.fixture
def picture(tmp_path):
    """Writes a picture file and returns its path."""

    def write(name, height=40, width=60):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        cv2.imwrite(str(path), pixels)
        return path

    return write


def test_detect_writes_picture_and_data(finder, picture, tmp_path, capsys):
    folder = picture("queries/a.jpg").parent
    picture("queries/b.PNG", 50, 30)
    (folder / "notes.txt").write_text("no picture")
    reference, out = picture("thing.png"), tmp_path / "out"
    arguments = ("--reference", reference, "--image", folder, "--weights", "w.h5", "--out", out)
    assert call("detect", *arguments, "--threshold", "0.3") == 0
    assert {path.name for path in out.iterdir()} == {
        "a_found.png",
        "a_found.json",
        "b_found.png",
        "b_found.json",
    }
    data = json.loads((out / "b_found.json").read_text())
    assert (data["height"], data["width"]) == (50, 30)
    assert data["references"] == [str(reference)]
    (found,) = data["detections"]
    assert found["box"] == [0, 0, 25, 15] and found["score"] == 0.75
    assert decode_mask(found["mask"]).sum() == 25 * 15
    model, weights = finder[0]
    assert weights == "w.h5" and model.config.DETECTION_MIN_CONFIDENCE == 0.3
    assert capsys.readouterr().out.count("1 found") == 2


@pytest.mark.parametrize(("arguments", "filled"), [((), True), (("--contour",), False)])
def test_contours_alone_if_asked_for(finder, picture, tmp_path, monkeypatch, arguments, filled):
    seen = []
    monkeypatch.setattr(
        "siamese_mrcnn.visualize.draw_result", lambda *_, filled, **__: seen.append(filled)
    )
    path = picture("a.jpg")
    common_arguments = ("--reference", path, "--image", path, "--weights", "w.h5")
    assert call("detect", *common_arguments, "--out", tmp_path / "out", *arguments) == 0
    assert seen == [filled]


def test_detect_cuts_references(finder, picture, tmp_path):
    reference = picture("thing.png")
    boxes = ("--box", "10,20,26,52", "--box", "0,0,40,60")
    twice = ("--reference", reference, "--reference", reference)
    arguments = ("--image", reference, "--weights", "w", "--out", tmp_path / "out")
    assert call("detect", *twice, *boxes, *arguments) == 0
    ((first, second),) = finder[0][0].references
    crop = cv2.imread(str(reference))[10:26, 20:52, ::-1]
    assert first.shape == second.shape == (96, 96, 3)
    assert np.abs(first[28:68, 10:86].mean() - crop.mean()) < 20
    (one,) = detect.read_references([reference], [(10, 20, 26, 52)])
    np.testing.assert_array_equal(one, crop)


def test_one_broken_picture_does_not_stop_the_others(finder, picture, tmp_path, capsys):
    folder = picture("queries/a.jpg").parent
    (folder / "broken.jpg").write_bytes(b"no picture")
    out = tmp_path / "out"
    text = refused(
        capsys,
        *("detect", "--reference", folder / "a.jpg", "--image", folder),
        *("--weights", "w", "--out", out),
    )
    assert "broken.jpg" in text and "1 of 2 failed" in text
    assert (out / "a_found.json").is_file()


def test_same_names_do_not_overwrite(tmp_path):
    paths = [tmp_path / name for name in ("x/a.jpg", "y/a.jpg", "y/a.png")]
    names = [path.name for path in detect.output_names(paths, tmp_path)]
    assert names == ["a_found", "a_2_found", "a_3_found"]


def test_detect_names_what_is_wrong(finder, picture, tmp_path, capsys):
    reference = picture("thing.png")
    rest = ("--image", reference, "--weights", "w", "--out", tmp_path / "out")
    assert "There is no picture" in refused(
        capsys, "detect", "--reference", reference, "--image", "no.jpg", "--weights", "w"
    )
    assert "no.png" in refused(capsys, "detect", "--reference", "no.png", *rest)
    (tmp_path / "empty").mkdir()
    assert "holds no pictures" in refused(
        capsys,
        *("detect", "--reference", reference, "--image", tmp_path / "empty", "--weights", "w"),
    )
    assert "of 40 x 60 pixels" in refused(
        capsys, "detect", "--reference", reference, "--box", "0,0,41,9", *rest
    )
    assert "2 references need as many --box" in refused(
        capsys, "detect", *["--reference", reference] * 2, "--box", "0,0,9,9", *rest
    )


def test_weights_of_the_latest_run(picture, tmp_path, capsys, monkeypatch):
    class Model(Finder):
        def __init__(self, mode, model_dir, config):
            super().__init__(config)
            self.model_dir = model_dir

        def load_latest_checkpoint(self):
            raise FileNotFoundError(f"No checkpoint below {self.model_dir}.")

    monkeypatch.setattr("siamese_mrcnn.model.SiameseMaskRCNN", Model)
    reference = picture("thing.png")
    arguments = ("--image", reference, "--weights", "last", "--logs", "runs")
    text = refused(capsys, "detect", "--reference", reference, *arguments)
    assert text == "No checkpoint below runs.\n"

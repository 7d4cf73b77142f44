"""`siamese-mrcnn detect` with a model that always finds the same: what it writes and refuses."""

import csv
import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as run_length

from command_line import call, refused
from mrcnn.data.postprocessing import Detections
from mrcnn.images.videos import write_video
from mrcnn.locks import alone_in
from siamese_mrcnn.commands import common, detect
from siamese_mrcnn.tiles import TilesMethods


class Finder:
    """A model that finds the upper left quarter of every image, the surer the wider it is."""

    threshold = None

    def __init__(self, config):
        self.config, self.references, self.searched = config, None, 0

    def encode_references(self, references):
        self.references = references
        return "vectors"

    def encode_queries(self, images):
        return images

    def detect_encoded(self, queries, vectors):
        assert vectors == "vectors"
        (image,) = queries
        self.searched += 1
        height, width = image.shape[:2]
        box = [0, 0, height // 2, width // 2]
        mask = np.zeros((height, width, 1), bool)
        mask[: box[2], : box[3]] = True
        return [
            Detections(
                rois=np.array([box], np.int32),
                class_ids=np.array([1], np.int32),
                scores=np.array([width / 80], np.float32),
                masks=mask,
            )
        ]


class Made(list):
    """The models made so far, with the weights asked for."""

    kind = Finder


@pytest.fixture
def finder(monkeypatch):
    made = Made()

    def make(arguments, **overrides):
        made.append((made.kind(common.configuration(arguments, **overrides)), arguments.weights))
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
        "ranking.csv",
        "best.png",
    }
    data = json.loads((out / "b_found.json").read_text())
    assert (data["height"], data["width"]) == (50, 30)
    assert data["references"] == [str(reference)]
    (found,) = data["detections"]
    assert found["box"] == [0, 0, 25, 15] and found["score"] == 30 / 80
    assert run_length.area(found["mask"]) == 25 * 15
    model, weights = finder[0]
    assert weights == "w.h5" and model.config.DETECTION_MIN_CONFIDENCE == 0.3
    assert capsys.readouterr().out.count("1 found") == 2


@pytest.fixture
def photos(picture):
    """A folder of three photos; the finder is surest of b, then c, then a."""
    for name, width in (("a", 20), ("b", 60), ("c", 40)):
        folder = picture(f"photos/{name}.jpg", 40, width).parent
    return folder


def search(reference, folder, out, *arguments):
    return call(
        *("detect", "--reference", reference, "--image", folder, "--weights", "w"),
        *("--out", out, *arguments),
    )


def test_photos_are_ranked_by_their_best_score(finder, picture, photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert search(picture("thing.png"), photos, out) == 0
    with open(out / "ranking.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["image"] for row in rows] == [str(photos / f"{name}.jpg") for name in "bca"]
    assert [row["best_score"] for row in rows] == ["0.7500", "0.5000", "0.2500"]
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    assert rows[0]["drawing"] == str(out / "b_found.png")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"[1/3] {photos / 'a.jpg'}: 1 found, see ")
    assert lines[-1] == f"The best first: {out / 'ranking.csv'} {out / 'best.png'}"
    best = cv2.imread(str(out / "best.png"))
    assert best is not None and best.shape[1] > best.shape[0]


def test_a_search_goes_on_where_it_stopped(finder, picture, photos, tmp_path, capsys, monkeypatch):
    reference, out = picture("thing.png"), tmp_path / "out"
    detect_encoded = Finder.detect_encoded

    def stop_at_the_second(self, *arguments):
        if self.searched == 1:
            raise KeyboardInterrupt
        return detect_encoded(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Finder, "detect_encoded", stop_at_the_second)
        assert search(reference, photos, out) == 130
    assert {path.name for path in out.iterdir()} == {"a_found.png", "a_found.json"}
    assert search(reference, photos, out) == 0
    assert finder[-1][0].searched == 2
    assert "a.jpg: 1 found earlier" in capsys.readouterr().out
    assert search(reference, photos, out) == 0
    assert finder[-1][0].searched == 0


def test_what_was_found_in_another_way_is_searched_again(finder, picture, photos, tmp_path):
    reference, out = picture("thing.png"), tmp_path / "out"

    def searched(*arguments):
        assert search(reference, photos, out, *arguments) == 0
        return finder[-1][0].searched

    assert searched() == 3
    assert searched("--threshold", "0.1") == 3
    assert searched("--threshold", "0.1", "--contour") == 3
    assert searched("--threshold", "0.1", "--contour", "--box", "0,0,20,20") == 3
    assert searched() == 3
    picture("photos/b.jpg", 40, 50)
    assert searched() == 1
    photos = photos.rename(photos.with_name("moved"))
    assert searched() == 3
    (out / "a_found.png").unlink()
    (out / "b_found.json").write_text("[]")
    assert searched() == 2
    picture("thing.png", 30, 30)
    assert searched() == 3


class TiledFinder(TilesMethods, Finder):
    """Searches tiles, too, each like an image of its own."""

    keep_mask = None

    def encode_one_by_one(self, images):
        return iter(images)

    def detect_encoded(self, queries, vectors):
        (found,) = super().detect_encoded(queries, vectors)
        return [found | {"masks": [self.keep_mask(found["masks"][..., 0])]}]


def test_tiles_are_searched_too(finder, picture, tmp_path, capsys):
    finder.kind, out = TiledFinder, tmp_path / "out"
    folder, reference = picture("photos/large.png", 60, 100).parent, picture("thing.png")
    assert search(reference, folder, out, "--tiles", "60") == 0
    data = json.loads((out / "large_found.json").read_text())
    assert data["tiles"] == 60
    found = {tuple(each["box"]): each for each in data["detections"]}
    # the whole one's quarter, of which that of the first tile is a part, and the second tile's
    assert set(found) == {(0, 0, 30, 50), (0, 40, 30, 70)}
    mask = run_length.decode(found[0, 40, 30, 70]["mask"])
    assert mask.shape == (60, 100) and mask[:30, 40:70].all() and mask.sum() == 30 * 30
    assert search(reference, folder, out, "--tiles", "60") == 0
    assert finder[-1][0].searched == 0 and "2 found earlier" in capsys.readouterr().out
    assert search(reference, folder, out, "--tiles", "50") == 0 and finder[-1][0].searched == 7
    assert search(reference, folder, out, "--tiles", "8") == 1
    assert "at least 32 pixels a side, but is to have 8" in capsys.readouterr().err


def test_films_are_searched_beside_photos(finder, picture, tmp_path, capsys):
    photo, film, out = picture("a.jpg"), tmp_path / "b.mp4", tmp_path / "out"
    write_video(film, [np.full((40, 60, 3), 20 * n, np.uint8) for n in range(6)], 5.0)
    arguments = ("--reference", photo, "--image", film, photo, "--weights", "w", "--out", out)
    assert call("detect", *arguments, "--every", "2") == 0
    said = capsys.readouterr().out
    assert f"b.mp4: found in 3 of 3 frames, see {out / 'b_found.mp4'}" in said
    assert finder[-1][0].searched == 4
    assert {path.name for path in out.iterdir()} >= {"b_found.jsonl", "b_found.png", "best.png"}
    assert call("detect", *arguments, "--every", "2") == 0
    assert "found in 3 of 3 frames earlier" in capsys.readouterr().out
    with open(out / "ranking.csv") as file:
        assert {row["found"] for row in csv.DictReader(file)} == {"1", "3"}
    refused_arguments = ("--reference", photo, "--image", photo, "--weights", "w", "--tracks")
    assert "are for films, but there is none" in refused(capsys, "detect", *refused_arguments)


def test_nothing_found_is_ranked_and_no_picture_is_drawn(
    finder, picture, photos, tmp_path, monkeypatch
):
    def find_nothing(self, queries, vectors):
        (image,) = queries
        return [
            Detections(
                rois=np.zeros((0, 4), np.int32),
                class_ids=np.zeros(0, np.int32),
                scores=np.zeros(0, np.float32),
                masks=np.zeros((*image.shape[:2], 0), bool),
            )
        ]

    reference, out = picture("thing.png"), tmp_path / "out"
    assert search(reference, photos, out) == 0
    monkeypatch.setattr(Finder, "detect_encoded", find_nothing)
    assert search(reference, photos, out, "--contour") == 0
    assert not (out / "best.png").exists()
    with open(out / "ranking.csv", newline="") as file:
        assert [(row["found"], row["best_score"]) for row in csv.DictReader(file)] == [
            ("0", "")
        ] * 3


def test_results_do_not_go_where_photos_are(finder, picture, photos, capsys):
    text = refused(
        capsys,
        *("detect", "--reference", picture("thing.png"), "--image", photos),
        *("--weights", "w", "--out", photos.parent / "photos"),
    )
    assert "Name another folder" in text
    assert len(list(photos.iterdir())) == 3


@pytest.mark.parametrize(("arguments", "filled"), [((), True), (("--contour",), False)])
def test_contours_alone_if_asked_for(finder, picture, tmp_path, monkeypatch, arguments, filled):
    seen = []

    def draw(*_, path, ax, filled, inset):
        assert inset and ax is None
        seen.append(filled)
        path.touch()

    monkeypatch.setattr("siamese_mrcnn.search.photos.draw_result", draw)
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

        def find_last(self):
            raise FileNotFoundError(f"No checkpoint below {self.model_dir}.")

    monkeypatch.setattr("siamese_mrcnn.model.SiameseMaskRCNN", Model)
    reference = picture("thing.png")
    arguments = ("--image", reference, "--weights", "last", "--logs", "runs")
    text = refused(capsys, "detect", "--reference", reference, *arguments)
    assert text == "No checkpoint below runs.\n"


def test_the_threshold_of_the_weights_is_used_and_said(finder, picture, tmp_path, capsys):
    class Measured(Finder):
        threshold = 0.625

    finder.kind = Measured
    reference = picture("thing.png")
    arguments = ("detect", "--reference", reference, "--image", reference, "--weights", "w")
    for more, expected in (
        ((), 0.625),
        (("--threshold", 0.5), 0.5),
        (("--set", "DETECTION_MIN_CONFIDENCE=0.4"), 0.4),
    ):
        assert call(*arguments, *more, "--out", tmp_path / "found") == 0
        assert finder[-1][0].config.DETECTION_MIN_CONFIDENCE == expected
        said = "What scores less than 0.62 is left out" in capsys.readouterr().out
        assert said == (not more)


def test_two_calls_into_one_folder_are_refused(finder, picture, tmp_path, capsys):
    arguments = ("detect", "--reference", picture("r.jpg"), "--image", picture("a.jpg"))
    arguments = (*arguments, "--weights", "w", "--out", tmp_path / "out")
    with alone_in(tmp_path / "out"):
        text = refused(capsys, *arguments)
    assert f"Another program is at work in {tmp_path / 'out'}. Wait until it ends" in text
    assert call(*arguments) == 0

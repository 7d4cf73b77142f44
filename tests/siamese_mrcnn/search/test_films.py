"""Films: what is written of each frame, going on after an interruption, tracks."""

import json
import sys
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle_tools

from mrcnn.data.postprocessing import Detections
from mrcnn.images.videos import VideoError, write_video
from siamese_mrcnn.figures.frames import draw_frame
from siamese_mrcnn.search.films import FilmSearch, is_film
from siamese_mrcnn.search.tracks import Tracks

HEIGHT, WIDTH, FRAMES, RATE = 96, 128, 8, 10.0


class RedFinder:
    """Stands in for `PhotoSearch`: what is red is found, the surer the further right."""

    has_names, asked = True, ["red"]

    def __init__(self):
        self.searched, self.stop_at, self.drawn = 0, None, []

    def described(self):
        return {"references": ["red"]}

    def found_in(self, image):
        if self.searched == self.stop_at:
            raise KeyboardInterrupt
        self.searched += 1
        mask = (image[..., 0] > 150) & (image[..., 1] < 100)
        rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
        found = Detections(
            rois=np.zeros((0, 4), np.int32),
            class_ids=np.zeros(0, np.int32),
            scores=np.zeros(0, np.float32),
            masks=np.zeros((*image.shape[:2], 0), bool),
            labels=[],
        )
        if len(rows):
            box = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
            found |= {
                "rois": np.array([box], np.int32),
                "class_ids": np.ones(1, np.int32),
                "scores": np.array([columns[-1] / WIDTH], np.float32),
                "masks": mask[..., None],
                "labels": ["ball"],
            }
        return Detections(found)

    def draw(self, image, found, path):
        self.drawn.append((image, found))
        path.write_bytes(b"drawn")


def frame(number):
    """A red square that moves to the right; in the last frame there is none."""
    image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    if number < FRAMES - 1:
        image[32:64, 8 * number : 8 * number + 32] = (230, 20, 20)
    return image


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "ball.mp4"
    assert write_video(path, map(frame, range(FRAMES)), RATE) == FRAMES
    return path


def lines_of(tmp_path):
    return [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]


def shown(path):
    """Rate and frames of a film."""
    capture, frames = cv2.VideoCapture(str(path)), []
    while (image := capture.read()[1]) is not None:
        frames.append(image[..., ::-1])
    return capture.get(cv2.CAP_PROP_FPS), frames


def test_a_film_has_a_line_a_frame_and_is_drawn(film, tmp_path):
    search = RedFinder()
    finding = FilmSearch(search).find(film, tmp_path / "out")
    assert finding.words == "found in 7 of 8 frames" and finding.is_new
    assert finding.result == tmp_path / "out.mp4" and len(finding.scores) == 7
    assert set(finding.labels) == {"ball"}
    head, *lines = lines_of(tmp_path)
    assert (head["film"], head["rate"], head["every"]) == (str(film), RATE, 1)
    assert head["references"] == ["red"]
    assert [line["frame"] for line in lines] == list(range(FRAMES))
    assert lines[3]["seconds"] == 0.3 and lines[-1]["detections"] == []
    (found,) = lines[2]["detections"]
    np.testing.assert_allclose(found["box"], (32, 16, 64, 48), atol=2)
    mask = rle_tools.decode(found["mask"])
    assert mask.shape == (HEIGHT, WIDTH) and abs(mask.sum() - 32 * 32) < 100
    rate, frames = shown(tmp_path / "out.mp4")
    assert rate == RATE and len(frames) == FRAMES and frames[0].shape == (HEIGHT, WIDTH, 3)
    # tinted, and with a caption above the box
    assert np.abs(frames[2][50, 30].astype(int) - frame(2)[50, 30]).max() > 40
    assert np.abs(frames[2][25, 20].astype(int) - frame(2)[25, 20]).max() > 40
    assert np.abs(frames[-1].astype(int) - frame(FRAMES - 1)).max() < 25  # as encoded
    ((image, best),) = search.drawn  # the best frame, as a photo
    assert best.labels == ["ball"] and best.masks.shape == (HEIGHT, WIDTH, 1)
    assert image[50, 70, 0] > 150
    again = FilmSearch(search).find(film, tmp_path / "out")
    assert not again.is_new and again.scores == finding.scores and search.searched == FRAMES


def test_every_so_many_frames(film, tmp_path):
    search = RedFinder()
    finding = FilmSearch(search, every=3).find(film, tmp_path / "out")
    assert finding.words == "found in 3 of 3 frames" and search.searched == 3
    assert [line["frame"] for line in lines_of(tmp_path)[1:]] == [0, 3, 6]
    rate, frames = shown(tmp_path / "out.mp4")
    assert rate == pytest.approx(RATE / 3, rel=0.01) and len(frames) == 3


def test_an_interrupted_search_goes_on_with_the_next_frame(film, tmp_path):
    FilmSearch(RedFinder()).find(film, tmp_path / "whole")
    search = RedFinder()
    search.stop_at = 5
    with pytest.raises(KeyboardInterrupt):
        FilmSearch(search).find(film, tmp_path / "out")
    assert len(lines_of(tmp_path)) == 1 + 5 and not (tmp_path / "out.mp4").exists()
    with open(tmp_path / "out.jsonl", "a") as file:
        file.write('{"frame": 5, "detec')  # killed while it wrote
    search.stop_at = None
    finding = FilmSearch(search).find(film, tmp_path / "out")
    assert search.searched == FRAMES and finding.is_new
    both = [(tmp_path / f"{name}.jsonl").read_text() for name in ("out", "whole")]
    assert both[0] == both[1]


def test_another_search_begins_anew_and_a_film_that_is_gone_is_drawn_again(film, tmp_path):
    search = RedFinder()
    FilmSearch(search).find(film, tmp_path / "out")
    (tmp_path / "out.mp4").unlink()
    assert FilmSearch(search).find(film, tmp_path / "out").is_new and search.searched == FRAMES
    search.asked = ["green"]
    FilmSearch(search).find(film, tmp_path / "out")
    assert search.searched == 2 * FRAMES and len(lines_of(tmp_path)) == 1 + FRAMES
    (tmp_path / "out.jsonl").write_text("edited\n")
    FilmSearch(search).find(film, tmp_path / "out")
    assert search.searched == 3 * FRAMES and len(lines_of(tmp_path)) == 1 + FRAMES


def test_what_is_no_film_is_told_and_leaves_nothing(tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no film")
    with pytest.raises(VideoError, match=r"text\.mp4 is no video that can be read here"):
        FilmSearch(RedFinder()).find(text, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [text]
    assert is_film("a/B.MOV") and is_film("b.webm") and not is_film("c.jpg")


# --- tracks -------------------------------------------------------------------------------------


def one(x, label="ball"):
    return {"box": (10, x, 40, x + 30), "score": 0.3, "label": label}


class EveryoneNew:
    """A tracker that numbers backwards what it gets, and drops the last."""

    def __init__(self, **options):
        self.options = options

    def update(self, found):
        count = max(len(found.xyxy) - 1, 0)
        return Rows(
            data={"row": found.data["row"][:count][::-1]},
            tracker_id=np.arange(count),
            xyxy=found.xyxy[:count],
        )


class Rows(SimpleNamespace):
    def __len__(self):
        return len(self.xyxy)


def test_numbers_are_those_of_the_tracker_and_labels_are_tracked_apart(monkeypatch):
    supervision, trackers = ModuleType("supervision"), ModuleType("trackers")
    supervision.Detections, trackers.ByteTrackTracker = Rows, EveryoneNew
    monkeypatch.setitem(sys.modules, "supervision", supervision)
    monkeypatch.setitem(sys.modules, "trackers", trackers)
    tracks = Tracks(5.0)
    found = [one(0), one(50, "cup"), one(100), one(150), one(200, "cup")]
    assert tracks.number(found) == [2, 3, 1, None, None]
    assert tracks.number([]) == [] and tracks.number(found) == [2, 3, 1, None, None]


def test_missing_packages_are_told_before_the_search(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackers", None)
    monkeypatch.setitem(sys.modules, "supervision", ModuleType("supervision"))
    with pytest.raises(ImportError, match="trackers cannot be imported"):
        FilmSearch(RedFinder(), tracks=True)


def test_bytetrack_follows_what_moves(film, tmp_path):
    pytest.importorskip("supervision")
    pytest.importorskip("trackers", reason="Tracks need the package trackers.")
    tracks = Tracks(RATE)
    frames = [[one(4 * n), one(120 - 4 * n, "cup"), one(200)][:: 1 - 2 * (n % 2)] for n in range(9)]
    numbers = [tracks.number(each)[:: 1 - 2 * (n % 2)] for n, each in enumerate(frames)]
    assert numbers[0] == [None] * 3  # a track begins with the second frame that shows it
    assert numbers[1:] in ([[1, 3, 2]] * 8, [[2, 3, 1]] * 8)
    FilmSearch(RedFinder(), tracks=True).find(film, tmp_path / "out")
    head, *lines = lines_of(tmp_path)
    assert [each["track"] for line in lines for each in line["detections"]] == [None] + [1] * 6
    FilmSearch(RedFinder()).find(film, tmp_path / "out")
    assert "track" not in (tmp_path / "out.jsonl").read_text().split("\n", 1)[1]
    assert head["drawn"] == {"tracks": True}


# --- frames -------------------------------------------------------------------------------------


def test_a_frame_is_drawn_by_hand():
    image = np.full((60, 90, 3), 100, np.uint8)
    mask = np.zeros((60, 90), bool)
    mask[30:40, 20:30] = True
    drawn = draw_frame(
        image, [(25, 15, 45, 35), (0, 60, 20, 90)], [mask, None], ["ü 0.5", ""], [1, 0]
    )
    assert image.min() == image.max() == 100
    assert (drawn[35, 25] != 100).any() and (drawn[42, 32] == 100).all()
    assert (drawn[25, 25] != 100).any() and (drawn[44, 34] != 100).any()  # the box's lines
    assert (drawn[18, 17] != 100).any() and (drawn[0, 70] != 100).any()
    assert (drawn[10, 75] == 100).all() and (drawn[25, 25] != drawn[0, 70]).any()
    assert np.array_equal(draw_frame(image, [], [], [], []), image)

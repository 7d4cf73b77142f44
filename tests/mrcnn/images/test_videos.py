"""Videos frame by frame: changed, complete, refused with a sentence, never left half written."""

import logging

import cv2
import numpy as np
import pytest

from mrcnn.images import videos
from mrcnn.images.videos import VideoError, change_video, open_video

RATE = 12.5


@pytest.fixture
def source(tmp_path):
    """Seven plain frames of 32 x 48 pixels; the red grows from frame to frame."""
    path = tmp_path / "source.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), RATE, (48, 32))
    for number in range(7):
        writer.write(np.full((32, 48, 3), (10, 90, 30 * number), np.uint8))  # BGR
    writer.release()
    return path


def colors(path):
    """Rate, shape of the frames, and the RGB in the middle of each."""
    capture, found = cv2.VideoCapture(str(path)), []
    while (frame := capture.read()[1]) is not None:
        found.append(frame[16, 24, ::-1].astype(int))
        shape = frame.shape
    return capture.get(cv2.CAP_PROP_FPS), shape, np.array(found)


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".MKV", ".mov"])
def test_every_frame_is_changed(source, tmp_path, suffix):
    target = tmp_path / "new" / f"out{suffix}"
    seen = []

    def swap(frame):
        seen.append(frame[16, 24].astype(int))
        return frame[..., ::-1]  # red becomes blue

    assert change_video(source, target, swap) == 7
    expected = np.array([(30 * number, 90, 10) for number in range(7)])
    np.testing.assert_allclose(seen, expected, atol=4)  # RGB, but for the encoding
    rate, shape, found = colors(target)
    assert rate == RATE and shape == (32, 48, 3)
    np.testing.assert_allclose(found, expected[:, ::-1], atol=6)
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_what_is_no_video_is_refused(source, tmp_path):
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    target = tmp_path / "out.avi"
    for path, out, error, words in [
        (tmp_path / "gone.avi", target, FileNotFoundError, r"There is no video .*gone\.avi"),
        (text, target, VideoError, r"text\.mp4 is no video that can be read here"),
        (source, tmp_path / "out.gif", VideoError, r"must end in .mp4, .mov, .*out\.gif"),
        (source, source, VideoError, r"source\.avi would replace the video it is made of"),
    ]:
        with pytest.raises(error, match=words):
            change_video(path, out, lambda frame: frame)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.avi", "text.mp4"]
    assert len(colors(source)[2]) == 7


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_an_interruption_leaves_the_old_file(source, tmp_path, stop):
    target = tmp_path / "out.mp4"
    target.write_text("old")
    seen = []

    def break_off(frame):
        seen.append(frame)
        if len(seen) == 4:
            raise stop
        return frame

    with pytest.raises(stop):
        change_video(source, target, break_off)
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "source.avi"]


def test_frames_that_get_lost_are_noticed(source, tmp_path, monkeypatch):
    class FullDisk:
        """Takes three frames and drops the others, without a word, as OpenCV's does."""

        def __init__(self):
            self.real, self.taken = real(), 0
            self.open, self.release = self.real.open, self.real.release

        def write(self, frame):
            self.taken += 1
            if self.taken <= 3:
                self.real.write(frame)

    real = cv2.VideoWriter
    FullDisk.fourcc = real.fourcc
    monkeypatch.setattr(videos.cv2, "VideoWriter", FullDisk)
    with pytest.raises(OSError, match=r"out\.avi could not be written.* 3 of 7 frames"):
        change_video(source, tmp_path / "out.avi", lambda frame: frame)
    assert [path.name for path in tmp_path.iterdir()] == ["source.avi"]


def test_a_cut_off_source_is_reported(source, tmp_path, caplog):
    """The beginning of an AVI file still says how many frames it had."""
    data = source.read_bytes()
    end = data.index(b"movi")
    for _ in range(5):
        end = data.index(b"00dc", end + 4)  # of the fifth frame's chunk
    source.write_bytes(data[:end])
    with caplog.at_level(logging.WARNING):
        count = change_video(source, tmp_path / "out.avi", lambda frame: frame)
    assert count == 4 and len(colors(tmp_path / "out.avi")[2]) == count
    assert "source.avi ends after 4 of 7 frames." in caplog.text


@pytest.mark.parametrize(
    ("every", "first", "numbers"), [(1, 4, [4, 5, 6]), (3, 0, [0, 3, 6]), (3, 1, [3, 6])]
)
def test_every_so_many_frames_from_one_on(source, every, first, numbers):
    with open_video(source) as video:
        assert (video.rate, video.expected) == (RATE, 7)
        reds = [frame[16, 24, 0] for frame in video.frames(every, first)]
    np.testing.assert_allclose(reds, np.multiply(numbers, 30), atol=4)


def test_no_rate_is_the_usual_one():
    class Silent:
        def get(self, what):
            return 0.0

    assert videos._rate(Silent()) == videos.USUAL_RATE and videos._expected(Silent()) is None

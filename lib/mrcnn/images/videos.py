"""Videos, frame by frame: read, written, and made of another one."""

import contextlib
import logging
from pathlib import Path

import cv2

from mrcnn.files import atomic_path
from mrcnn.progress import track

logger = logging.getLogger(__name__)

# Encodings that OpenCV brings along, by the ending of the file.
ENCODINGS = {".mp4": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".mkv": "MJPG"}
VIDEO_ENDINGS = (*ENCODINGS, ".webm")  # of files that are taken for videos
USUAL_RATE = 25.0  # frames a second, where a video does not tell


class VideoError(ValueError):
    """A video that cannot be read or written, with a sentence that says why."""


class Video:
    """A video that is open for reading, of any format that OpenCV reads.

    Attributes:
        rate: frames a second.
        expected: how many frames it says it has, None if it does not tell.
    """

    def __init__(self, source, capture):
        self.source, self._capture = source, capture
        self.rate, self.expected = _rate(capture), _expected(capture)

    def frames(self, every=1, first=0):
        """Yield every n-th frame, uint8 [height, width, 3] RGB.

        Args:
            every: 1 yields all of them.
            first: how many of those that would be yielded are passed over.

        Raises:
            VideoError: there is none that can be read.
        """
        count = 0
        while self._capture.grab():
            wanted = count % every == 0 and count >= first * every
            count += 1
            if wanted:
                done, frame = self._capture.retrieve()
                if not done:
                    break
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        if not count:
            raise VideoError(
                f"{self.source} is no video that can be read here: convert it to .mp4 first."
            )
        if self.expected and count < self.expected:
            logger.warning("%s ends after %d of %d frames.", self.source, count, self.expected)


@contextlib.contextmanager
def open_video(source):
    """Open a video file: a `Video`.

    Raises:
        FileNotFoundError: there is none.
    """
    source = Path(source)
    if not source.is_file():
        raise FileNotFoundError(f"There is no video {source}: check the folder and the name.")
    capture = cv2.VideoCapture(str(source))
    try:
        yield Video(source, capture)
    finally:
        capture.release()


def write_video(target, frames, rate):
    """Write frames, uint8 [height, width, 3] RGB of one size, as a video; returns how many.

    An interrupted call leaves what stood at `target`. Of an odd number of rows or columns, the
    encodings drop the last.

    Args:
        target: file to write, ending in .mp4, .mov, .avi or .mkv.
        frames: iterable.
        rate: frames a second.

    Raises:
        VideoError: the target has another ending.
        OSError: it could not be written.
    """
    target = Path(target)
    encoding = ENCODINGS.get(target.suffix.lower())
    if encoding is None:
        raise VideoError(
            f"The name of a video to write must end in {', '.join(ENCODINGS)}, but is {target}."
        )
    with atomic_path(target, suffix=target.suffix) as temporary:
        count = _write(temporary, frames, encoding, rate)
        _require_whole(temporary, count)
    return count


def change_video(source, target, change, title="Frames"):
    """Write a video whose frames are those of another one, changed. Sound is not kept.

    Args:
        source: video file.
        target: as of `write_video`; its rate is the source's.
        change: function of a frame, uint8 [H, W, 3] RGB, to another one of that shape.
        title: of the progress bar.

    Returns:
        the number of frames.

    Raises:
        FileNotFoundError: there is no source.
        VideoError: it is no video, or the target has another ending or is the source.
        OSError: the target could not be written.
    """
    source, target = Path(source), Path(target)
    with open_video(source) as video:
        if target.exists() and target.samefile(source):
            raise VideoError(
                f"{target} would replace the video it is made of: choose another name."
            )
        frames = track(video.frames(), title, "frames", video.expected)
        return write_video(target, map(change, frames), video.rate)


def _expected(capture):
    """How many frames a video says it has, None if it does not tell."""
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return count if count > 0 else None


def _rate(capture):
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if 0 < rate < float("inf") else USUAL_RATE


def _write(path, frames, encoding, rate):
    """Encode RGB frames of one size; returns how many."""
    writer, count = cv2.VideoWriter(), 0
    try:
        for frame in frames:
            height, width = frame.shape[:2]
            if not count:
                fourcc = cv2.VideoWriter.fourcc(*encoding)
                writer.open(str(path), fourcc, rate, (width, height))
            writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
            count += 1
    finally:
        writer.release()
    return count


def _require_whole(path, count):
    """OpenCV does not tell when a disk is full, or a folder must not be written to."""
    capture = cv2.VideoCapture(str(path))
    try:
        written = _expected(capture) or 0
    finally:
        capture.release()
    if written < count:
        raise OSError(f"Only {written} of {count} frames could be written.")

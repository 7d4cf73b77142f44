"""A video made of another one, frame by frame."""

import logging
from pathlib import Path

import cv2

from mrcnn.files import atomic_path
from mrcnn.progress import track

logger = logging.getLogger(__name__)

# Encodings that OpenCV brings along, by the ending of the file.
ENCODINGS = {".mp4": "mp4v", ".mov": "mp4v", ".avi": "MJPG", ".mkv": "MJPG"}
USUAL_RATE = 25.0  # frames a second, where a video does not tell


class VideoError(ValueError):
    """A video that cannot be read or written, with a sentence that says why."""


def change_video(source, target, change, title="Frames"):
    """Write a video whose frames are those of another one, changed. Sound is not kept.

    An interrupted call leaves what stood at `target`. Of an odd number of rows or columns, the
    encodings drop the last.

    Args:
        source: video file, of any format that OpenCV reads.
        target: file to write, ending in .mp4, .mov, .avi or .mkv; its rate is the source's.
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
    encoding = ENCODINGS.get(target.suffix.lower())
    if encoding is None:
        raise VideoError(
            f"The name of a video to write must end in {', '.join(ENCODINGS)}, but is {target}."
        )
    if not source.is_file():
        raise FileNotFoundError(f"There is no video {source}: check the folder and the name.")
    if target.exists() and target.samefile(source):
        raise VideoError(f"{target} would replace the video it is made of: choose another name.")
    capture = cv2.VideoCapture(str(source))
    try:
        frames = track(_frames(capture, source), title, "frames", _expected(capture))
        with atomic_path(target, suffix=target.suffix) as temporary:
            count = _write(temporary, map(change, frames), encoding, _rate(capture))
            _require_whole(temporary, count)
    finally:
        capture.release()
    return count


def _expected(capture):
    """How many frames a video says it has, None if it does not tell."""
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    return count if count > 0 else None


def _rate(capture):
    rate = capture.get(cv2.CAP_PROP_FPS)
    return rate if 0 < rate < float("inf") else USUAL_RATE


def _frames(capture, source):
    expected, count = _expected(capture), 0
    while True:
        done, frame = capture.read()
        if not done:
            break
        count += 1
        yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    if not count:
        raise VideoError(f"{source} is no video that can be read here: convert it to .mp4 first.")
    if expected and count < expected:
        logger.warning("%s ends after %d of %d frames.", source, count, expected)


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

"""Searching films frame by frame: it goes on where it stopped, then draws the film."""

import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from pycocotools import mask as rle_tools

from mrcnn.data.postprocessing import Detections
from mrcnn.files import disk_explained, written_whole
from mrcnn.images.videos import VIDEO_ENDINGS, open_video, write_video
from mrcnn.progress import track
from siamese_mrcnn.figures.frames import draw_frame
from siamese_mrcnn.fingerprints import file_fingerprint, fingerprint
from siamese_mrcnn.search.photos import Finding, entries
from siamese_mrcnn.search.tracks import Tracks


@dataclass(frozen=True)
class FilmFinding(Finding):
    """What a film holds: `photo` is the film, `drawing` its best frame, scores the best of frames.

    Attributes:
        frames: how many were searched.
        film: what was written, with what was found drawn into it.
    """

    frames: int = 0
    film: Path | None = None

    @property
    def words(self):
        return f"found in {len(self.scores)} of {self.frames} frames"

    @property
    def result(self):
        return self.film


def is_film(path):
    """Whether a file has the name of a video."""
    return Path(path).suffix.lower() in VIDEO_ENDINGS


class FilmSearch:
    """Searches films with a `PhotoSearch`.

    Args:
        search: `siamese_mrcnn.search.photos.PhotoSearch`.
        every: n searches every n-th frame; the film that is written has these alone.
        tracks: whether to number things through the film, see `siamese_mrcnn.search.tracks`.

    Raises:
        ImportError: the packages for tracks are missing.
    """

    def __init__(self, search, every=1, tracks=False):
        self.search, self.every, self.tracks = search, every, tracks
        if tracks:
            Tracks(1.0)  # says what is missing before hours of work

    def find(self, film, target):
        """Search a film unless the same search left its results there: `FilmFinding`.

        Each frame is on the disk before the next is searched; an interrupted call goes on with it.

        Args:
            film: path.
            target: path of the results without ending: .jsonl has a line for the film and one for
                each frame, .mp4 is the film with what was found, .png its best frame.

        Raises:
            mrcnn.images.videos.VideoError: it is no video.
            OSError: results cannot be written.
        """
        data, written = Path(f"{target}.jsonl"), Path(f"{target}.mp4")
        asked = [*self.search.asked, "film", self.every, str(film), file_fingerprint(film)]
        lines = self._search(film, data, fingerprint(asked))
        is_new = lines[0].get("drawn") != {"tracks": self.tracks} or not written.is_file()
        if is_new:
            _number(lines, self.tracks)
            self._draw(film, lines, written, Path(f"{target}.png"))
            lines[0]["drawn"] = {"tracks": self.tracks}
            with written_whole(data) as file:  # last, as it tells that the film is done
                file.writelines(json.dumps(line) + "\n" for line in lines)
        return _finding(film, target, lines, is_new, self.search.has_names)

    def _search(self, film, path, search):
        """The film's line and those of its frames, of which a file holds what was done before."""
        lines, size = _lines_of(path, search)
        if lines and "drawn" in lines[0]:
            return lines
        with open_video(film) as video:
            lines = lines or [{"search": search, **self._described(film, video)}]
            frames = video.frames(self.every, len(lines) - 1)
            first = next(frames, None)  # or it is no video, and no file is begun
            if first is None:
                return lines
            total = video.expected and -(-video.expected // self.every) - len(lines) + 1
            path.parent.mkdir(parents=True, exist_ok=True)
            with disk_explained(path), open(path, "ab") as file:
                file.truncate(size)  # of the last line a part may be there
                fresh = lines[:] if not size else []
                for image in track(chain([first], frames), Path(film).name, "frames", total):
                    fresh.append(self._searched(image, len(lines) - 1, video.rate))
                    lines.append(fresh[-1])
                    file.write("".join(json.dumps(line) + "\n" for line in fresh).encode())
                    file.flush()
                    fresh = []
        return lines

    def _searched(self, image, count, rate):
        """The line of a frame."""
        number, found = count * self.every, self.search.found_in(image)
        seconds = round(number / rate, 4)
        return {"frame": number, "seconds": seconds, "detections": entries(found)}

    def _described(self, film, video):
        return {
            "film": str(film),
            "rate": video.rate,
            "every": self.every,
            **self.search.described(),
        }

    def _draw(self, film, lines, written, picture):
        """Write the film with what was found, and the picture of the frame with the best find."""
        labels = sorted(
            {each.get("label", "") for line in lines[1:] for each in line["detections"]}
        )
        best = max(lines[1:], key=lambda line: max(_scores(line), default=0.0))

        def drawn(video):
            for image, line in zip(video.frames(self.every), lines[1:], strict=False):
                if line is best:
                    self.search.draw(image, _detections(line, image.shape, labels), picture)
                yield _drawn(image, line["detections"], labels)

        with open_video(film) as video:
            frames = track(drawn(video), f"Drawing {Path(film).name}", "frames", len(lines) - 1)
            write_video(written, frames, video.rate / self.every)


def _number(lines, wanted):
    """Write tracks into the detections of all frames, or what an earlier call wrote out of them."""
    tracks = Tracks(lines[0]["rate"] / lines[0]["every"]) if wanted else None
    for line in lines[1:]:
        found = line["detections"]
        for each in found:
            each.pop("track", None)
        for each, number in zip(found, tracks.number(found) if wanted else [], strict=wanted):
            each["track"] = number


def _lines_of(path, search):
    """The lines that an earlier call wrote, if its search was the same, and how many bytes.

    A last line that is cut off does not count.
    """
    try:
        data = path.read_bytes()
        data = data[: data.rfind(b"\n") + 1]
        lines = [json.loads(line) for line in data.splitlines()]
        whole = all(isinstance(line["detections"], list) for line in lines[1:])
        if whole and lines[0]["search"] == search:
            return lines, len(data)
    except (FileNotFoundError, ValueError, LookupError, TypeError):  # none, or it was edited
        pass
    return None, 0


def _scores(line):
    return [each["score"] for each in line["detections"]]


def _mask(each, shape):
    return np.zeros(shape[:2], bool) if each["mask"] is None else rle_tools.decode(each["mask"]) > 0


def _detections(line, shape, labels):
    """What a line holds as `Detections`."""
    found = line["detections"]
    masks = np.zeros((*shape[:2], len(found)), bool)
    for number, each in enumerate(found):
        masks[..., number] = _mask(each, shape)
    names = [each["label"] for each in found if "label" in each]
    return Detections(
        rois=np.array([each["box"] for each in found], np.int32).reshape(-1, 4),
        class_ids=np.array([labels.index(each.get("label", "")) + 1 for each in found], np.int32),
        scores=np.array(_scores(line), np.float32),
        masks=masks,
        **({"labels": names} if len(names) == len(found) > 0 else {}),
    )


def _drawn(image, found, labels):
    """A frame with its finds, coloured by their tracks, or else by their labels."""
    numbers = [each.get("track") or labels.index(each.get("label", "")) for each in found]
    return draw_frame(
        image,
        [each["box"] for each in found],
        [None if each["mask"] is None else rle_tools.decode(each["mask"]) > 0 for each in found],
        [_caption(each) for each in found],
        numbers,
    )


def _caption(each):
    track_number = f"#{each['track']}" if each.get("track") else ""
    return " ".join(filter(None, [each.get("label", ""), track_number, f"{each['score']:.2f}"]))


def _finding(film, target, lines, is_new, has_names):
    best = [(max(_scores(line)), line) for line in lines[1:] if line["detections"]]
    best.sort(key=lambda each: -each[0])
    labels = None
    if has_names:
        labels = tuple(each["label"] for _, line in best for each in line["detections"])
    return FilmFinding(
        Path(film),
        Path(f"{target}.png"),
        tuple(score for score, _ in best),
        is_new,
        labels,
        len(lines) - 1,
        Path(f"{target}.mp4"),
    )

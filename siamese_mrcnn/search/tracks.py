"""Which finds of a film's frames are one thing: ByteTrack, as the package trackers has it."""

import numpy as np

MISSING = (
    "Tracks need the packages supervision and trackers, but {name} cannot be imported. Call "
    "pip install 'siamese-mask-rcnn[film]', then pip install --no-deps trackers: with its "
    "dependencies it brings opencv-python, whose files replace those of opencv-python-headless."
)


class Tracks:
    """Numbers things through the frames of a film, those of each label apart.

    A track begins with the second frame that shows a thing.

    Args:
        rate: frames a second that it gets.

    Raises:
        ImportError: the packages are missing; the sentence says how to install them.
    """

    def __init__(self, rate):
        try:
            import supervision
            import trackers
        except ImportError as error:
            raise ImportError(MISSING.format(name=error.name)) from error
        self._supervision, self._trackers, self._rate = supervision, trackers, rate
        self._of_label, self._numbers = {}, {}

    def number(self, detections):
        """The numbers of a frame's finds, from 1 on; None of one that is in no track.

        Args:
            detections: list of {"box": (y1, x1, y2, x2), "score": 0..1, "label": text or none}.
        """
        numbers = [None] * len(detections)
        labels = [each.get("label", "") for each in detections]
        for label in sorted({*labels, *self._of_label}):
            rows = [row for row, own in enumerate(labels) if own == label]
            for row, track in self._update(label, detections, rows):
                numbers[row] = self._numbers.setdefault((label, track), len(self._numbers) + 1)
        return numbers

    def _update(self, label, detections, rows):
        """Yield (row, track of this label) of the finds that are in one."""
        if label not in self._of_label:
            # What is too unsure was left out by the search; all that is there may begin a track.
            self._of_label[label] = self._trackers.ByteTrackTracker(
                frame_rate=self._rate,
                track_activation_threshold=0.0,
                high_conf_det_threshold=0.0,
                minimum_consecutive_frames=2,
            )
        boxes = np.array([detections[row]["box"] for row in rows], float).reshape(-1, 4)
        tracked = self._of_label[label].update(
            self._supervision.Detections(
                xyxy=boxes[:, [1, 0, 3, 2]],
                confidence=np.array([detections[row]["score"] for row in rows], float),
                class_id=np.zeros(len(rows), int),
                data={"row": np.array(rows, int)},
            )
        )
        if len(tracked):
            for row, track in zip(tracked.data["row"], tracked.tracker_id, strict=True):
                if track >= 0:
                    yield int(row), int(track)

"""What an evaluation has found so far, an image a line, so that it can be interrupted.

The file's name holds a fingerprint of the evaluation's arguments: the same call goes on where it
stopped, another call writes another file.
"""

import json
import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)


class EvaluationLog:
    """Appends one JSON object a line and knows which images are already there."""

    def __init__(self, path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.done = self._recover()

    def append(self, image_id, entry):
        """Write what was found in one image, at once and as a whole line."""
        line = json.dumps({"image_id": image_id, **entry}) + "\n"
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(line)
        self.done.add(image_id)

    def __iter__(self):
        """All entries, in the order of their image ids, whatever the order of the work was."""
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            for _, start in sorted(self._positions(file)):
                file.seek(start)
                yield json.loads(file.readline())

    def _positions(self, file):
        positions, start = [], 0
        for line in file:
            positions.append((json.loads(line)["image_id"], start))
            start += len(line)
        return positions

    def _recover(self):
        """Read which images are done; a last line that was cut off is taken away."""
        done, end = set(), 0
        if not self.path.exists():
            return done
        with open(self.path, "rb") as file:
            for line in file:
                try:
                    image_id = json.loads(line)["image_id"] if line.endswith(b"\n") else None
                except (ValueError, KeyError, TypeError):
                    image_id = None
                if image_id is None:
                    logger.warning("%s ends in a cut-off line, which is redone.", self.path)
                    break
                done.add(image_id)
                end += len(line)
        os.truncate(self.path, end)
        return done

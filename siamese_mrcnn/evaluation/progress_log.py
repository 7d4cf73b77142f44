"""What an evaluation has found so far, an image a line, so that it can be interrupted.

The file's name holds a fingerprint of the evaluation's arguments: the same call goes on where it
stopped, another call writes another file. Each line carries the checksum of its text, so that none
counts that was cut off, edited or damaged.
"""

import json
import logging
import zlib
from pathlib import Path

from mrcnn.files import disk_explained, written_whole

logger = logging.getLogger(__name__)


class EvaluationLog:
    """Appends one JSON object a line and knows which images are already there.

    Nobody else may write to the file meanwhile, see `mrcnn.locks.alone_in`.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.done = self._recover()

    def append(self, image_id, entry):
        """Write what was found in one image, at once and as a whole line.

        Raises:
            OSError: a sentence that names the file, say of a full disk.
        """
        with disk_explained(self.path), open(self.path, "a", encoding="utf-8") as file:
            file.write(_line_of({"image_id": image_id, **entry}))
        self.done.add(image_id)

    def __iter__(self):
        """All entries, in the order of their image ids, whatever the order of the work was."""
        if not self.path.exists():
            return
        places, _ = self._places()
        with open(self.path, "rb") as file:
            for _, start in sorted(places.items()):
                file.seek(start)
                yield _entry_of(file.readline())

    def _places(self):
        """{image id: where its first whole line begins}, and how many lines there are."""
        places, count, start = {}, 0, 0
        with open(self.path, "rb") as file:
            for line in file:
                entry = _entry_of(line)
                if entry is not None:
                    places.setdefault(entry["image_id"], start)
                count, start = count + 1, start + len(line)
        return places, count

    def _recover(self):
        """Read which images are done; lines that are damaged or double are taken away."""
        if not self.path.exists():
            return set()
        places, count = self._places()
        if len(places) < count:
            logger.warning(
                "%d of %d lines of %s are cut off, damaged, edited or double; they do not count.",
                count - len(places),
                count,
                self.path,
            )
            entries = list(self)
            with written_whole(self.path) as file:
                file.writelines(map(_line_of, entries))
        return set(places)


def _line_of(entry):
    text = json.dumps(entry)
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


def _entry_of(line):
    """The entry of a line as it was written, None if it is not whole."""
    start, _, text = line.rstrip(b"\n").partition(b" ")
    if not line.endswith(b"\n") or f"{zlib.crc32(text):08x}".encode() != start:
        return None
    return json.loads(text)

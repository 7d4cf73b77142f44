"""Pictures from strangers: looked at before they are decoded, and refused with a sentence."""

import contextlib
import io
import os
import warnings
from pathlib import PurePath

from PIL import Image

from mrcnn.harmless_text import for_terminal
from mrcnn.images.image import read_image
from mrcnn.images.picture_files import ImageError
from siamese_mrcnn.service.problems import ProblemError

# What the first bytes of each kind are. TIFF, which browsers do not show, is left out, and so is
# every other decoder of Pillow's: what nobody needs, nobody can attack.
KINDS = {
    "JPEG": lambda start: start[:3] == b"\xff\xd8\xff",
    "PNG": lambda start: start[:8] == b"\x89PNG\r\n\x1a\n",
    "WEBP": lambda start: start[:4] == b"RIFF" and start[8:12] == b"WEBP",
    "GIF": lambda start: start[:6] in (b"GIF87a", b"GIF89a"),
    "BMP": lambda start: start[:2] == b"BM",
    "AVIF": lambda start: start[4:12] in (b"ftypavif", b"ftypavis"),
}
MOST_SCANS = 100  # of a JPEG; thousands keep a decoder busy for minutes
LONGEST_NAME = 120


class Uploads:
    """Decodes what users send, by a temporary folder that holds it as long as that takes.

    Args:
        folder: that exists.
        limits: `Limits`.
    """

    def __init__(self, folder, limits):
        self.folder, self.limits = folder, limits

    def read(self, data, name):
        """The picture of an uploaded file: uint8 [height, width, 3], upright.

        Args:
            data: bytes of the file.
            name: as `shown_name` gives it; no path is ever made of it.

        Raises:
            ProblemError: 413 for more pixels than the limit, 415 for what is no picture that is
                taken, 422 for a damaged one.
        """
        kind = next((kind for kind, is_one in KINDS.items() if is_one(data[:12])), None)
        if kind is None:
            raise ProblemError(
                415,
                f"The file {name} is no picture of a kind that is taken: {', '.join(KINDS)}. "
                "Convert it to one of them.",
            )
        if kind == "JPEG" and data.count(b"\xff\xda") > MOST_SCANS:
            raise ProblemError(
                422, f"The JPEG {name} has more than {MOST_SCANS} scans. Save it anew."
            )
        self._check_size(data, name, kind)
        return self._decode(data, name)

    def _check_size(self, data, name, kind):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(io.BytesIO(data), formats=(kind,)) as picture:
                    width, height = picture.size
        except Image.DecompressionBombError as error:
            raise self._too_large(name, "far too many") from error
        except Exception as error:  # what decoders raise for damaged files has no common class
            raise ProblemError(
                422, f"The file {name} begins as a {kind} picture does, but is damaged."
            ) from error
        if width * height > self.limits.pixels or max(width, height) > self.limits.side:
            raise self._too_large(name, f"{height} x {width}")

    def _too_large(self, name, pixels):
        return ProblemError(
            413,
            f"The picture {name} says that it has {pixels} pixels, but {self.limits.pixels:,} and "
            f"a side of {self.limits.side:,} are the most that are taken. Scale it down.",
        )

    def _decode(self, data, name):
        path = os.path.join(self.folder, f"upload-{os.urandom(8).hex()}")
        try:
            with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
                file.write(data)
            return read_image(path, upright=True)
        except ImageError as error:
            raise ProblemError(422, str(error).replace(path, name)) from error
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def shown_name(name):
    """The name of an uploaded file as answers tell it: no folders, nothing that acts, not long."""
    plain = for_terminal(PurePath((name or "").replace("\\", "/")).name)
    return plain[:LONGEST_NAME] if plain.strip(". ") else "picture"


def cut_boxes(image, boxes, name, limits):
    """The crops of a reference picture, by boxes (y1, x1, y2, x2); without any, the whole picture.

    Raises:
        ProblemError: 422 for a box that does not fit the picture.
    """
    height, width = image.shape[:2]
    crops = []
    for y1, x1, y2, x2 in boxes or [(0, 0, height, width)]:
        if not (0 <= y1 < y2 <= height and 0 <= x1 < x2 <= width):
            raise ProblemError(
                422,
                f"The box {[y1, x1, y2, x2]} does not fit {name}, which has {height} x {width} "
                "pixels (height x width). Give [y1, x1, y2, x2] inside it, y2 and x2 outside of "
                "the box.",
            )
        crops.append(image[y1:y2, x1:x2])
    if len(crops) > limits.shots:
        raise ProblemError(
            422, f"{name} has {len(crops)} boxes, but {limits.shots} show a thing at most."
        )
    return crops

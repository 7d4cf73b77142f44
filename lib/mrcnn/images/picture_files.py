"""Picture files before they are decoded: what is no picture, or too large, is told."""

import contextlib
import os
import warnings

from PIL import Image

# Endings of the picture files that are looked for in folders; a file that is named may have any.
PICTURE_ENDINGS = frozenset(
    ".jpg .jpeg .jpe .jfif .png .bmp .dib .gif .tif .tiff .webp .avif .jp2 .ppm .pgm .pbm .pnm "
    ".tga".split()
)
# More pixels than the largest cameras of today make, and some 2 GB while they are decoded.
MOST_PIXELS = 120_000_000
LIMIT_VARIABLE = "MRCNN_MOST_PIXELS"  # of the environment, which replaces it
DRAWN = ("EPS", "WMF")  # formats that Pillow hands to other programs
HEIC_KINDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


class ImageError(ValueError):
    """A picture that cannot be used, with a sentence that says why."""


class ImageNotFoundError(ImageError, FileNotFoundError):
    """No picture file where one was expected."""


@contextlib.contextmanager
def open_picture(path):
    """A picture file as Pillow opens it, of which only the header was read.

    Raises:
        ImageError: as `read_image`; also for what goes wrong while the block decodes it.
    """
    path, limit, size = os.fspath(path), most_pixels(), None
    _refuse_other_files(path)
    # Pillow has a limit of its own; ours is told better, and both are told before decoding.
    Image.MAX_IMAGE_PIXELS = max(limit, Image.MAX_IMAGE_PIXELS or 0)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # what matters becomes an error
            with Image.open(path) as picture:
                if picture.format in DRAWN:
                    raise ImageError(
                        f"The file {path} is a drawing ({picture.format}), which has no pixels: "
                        "save it as PNG."
                    )
                size = picture.size
                if size[0] * size[1] > limit:
                    raise Image.DecompressionBombError
                yield picture
    except ImageError:
        raise
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"The file {path} is not an image in a known format{_hint(path)}") from (
            error
        )
    except Image.DecompressionBombError as error:
        pixels = f"{size[1]} x {size[0]} pixels, " if size else ""
        raise ImageError(
            f"The image file {path} says that it has {pixels}more than the {limit:,} pixels that "
            f"are decoded. Scale it down, or set the environment variable {LIMIT_VARIABLE} to the "
            "pixels that the memory can hold."
        ) from error
    except OSError as error:
        if error.errno is not None:  # of the system, not of a decoder
            raise ImageError(f"The image file {path} cannot be read: {error.strerror}.") from error
        raise ImageError(_not_decoded(path, error)) from error
    except Exception as error:  # what decoders raise for damaged files has no common class
        raise ImageError(_not_decoded(path, error)) from error


def _not_decoded(path, error):
    reason = str(error).strip().rstrip(".") or type(error).__name__
    if isinstance(error, MemoryError) or "memory" in reason.lower():  # as OpenCV and Pillow say it
        return f"There is not enough memory to decode the image file {path}. Scale it down."
    return f"The image file {path} cannot be decoded, it may be damaged or cut off: {reason}."


def _refuse_other_files(path):
    if not os.path.exists(path):
        link = ", to which a link leads" if os.path.islink(path) else ""
        raise ImageNotFoundError(
            f"There is no image file {path}{link}: check the folder and the name."
        )
    if not os.path.isfile(path):
        kind = "a folder" if os.path.isdir(path) else "a device or a pipe"
        raise ImageError(f"An image file was expected, but {path} is {kind}.")
    if not os.path.getsize(path):
        raise ImageError(f"The image file {path} is empty: get it again.")


def most_pixels():
    """Pixels that a picture may have.

    Raises:
        ImageError: the environment says no such number.
    """
    text = os.environ.get(LIMIT_VARIABLE)
    if text is None:
        return MOST_PIXELS
    if not text.isascii() or not text.isdigit() or not int(text):
        raise ImageError(f"{LIMIT_VARIABLE} must be a number of pixels, but is {text!r}.")
    return int(text)


def _hint(path):
    """How to go on with a file that Pillow alone does not know."""
    with open(path, "rb") as file:
        start = file.read(12)
    if start[4:8] == b"ftyp" and start[8:] in HEIC_KINDS:
        return ": it is HEIC, of a phone. Save it as JPEG."
    return "."

"""Limits of picture files are told before anything is decoded, and by their cause."""

import errno
import struct
import zlib

import pytest
from PIL import EpsImagePlugin, Image

from mrcnn.images import picture_files
from mrcnn.images.image import read_image
from mrcnn.images.picture_files import LIMIT_VARIABLE, ImageError, most_pixels, open_picture


@pytest.fixture(autouse=True)
def _pillow_s_own_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    monkeypatch.delenv(LIMIT_VARIABLE, raising=False)


def declared(path, width, height):
    """A PNG file of 69 bytes that says that it has so many grey pixels."""

    def chunk(kind, data):
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(bytes(5))
    chunks = [chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


@pytest.mark.parametrize("side", [11_000, 13_000, 32_000])  # the last is beyond Pillow's limit
def test_too_many_pixels_are_told_before_decoding(tmp_path, monkeypatch, side):
    monkeypatch.setattr(Image.Image, "convert", None)
    monkeypatch.setattr(Image.core, "zip_decoder", None)
    path = declared(tmp_path / "a.png", side, side)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    text = str(caught.value)
    assert f"{path} says that it has" in text and "more than the 120,000,000 pixels" in text
    assert f"set the environment variable {LIMIT_VARIABLE}" in text
    assert ".." not in text and "attack" not in text and "damaged" not in text


def test_the_limit_can_be_raised_past_pillow_s_own(tmp_path, monkeypatch):
    path = declared(tmp_path / "a.png", 20_000, 20_000)
    monkeypatch.setenv(LIMIT_VARIABLE, "400000000")
    with open_picture(path) as picture:
        assert picture.size == (20_000, 20_000)
    monkeypatch.setenv(LIMIT_VARIABLE, "399999999")
    with pytest.raises(ImageError, match="has 20000 x 20000 pixels, more than the 399,999,999"):
        read_image(path)


def test_the_limit_can_be_lowered(tmp_path, monkeypatch):
    Image.new("L", (4, 3)).save(tmp_path / "a.png")
    monkeypatch.setenv(LIMIT_VARIABLE, "12")
    assert read_image(tmp_path / "a.png").shape == (3, 4, 3)
    monkeypatch.setenv(LIMIT_VARIABLE, "11")
    with pytest.raises(ImageError, match="has 3 x 4 pixels, more than the 11 pixels"):
        read_image(tmp_path / "a.png")


@pytest.mark.parametrize("text", ["", "many", "-1", "0", "1e9", "٣"])
def test_a_limit_that_is_no_number_is_told(monkeypatch, text):
    monkeypatch.setenv(LIMIT_VARIABLE, text)
    with pytest.raises(ImageError, match=f"{LIMIT_VARIABLE} must be a number of pixels"):
        most_pixels()


CAUSES = {
    MemoryError(): "There is not enough memory to decode the image file .*a.png. Scale it down",
    OSError("out of memory error when reading image file"): "There is not enough memory",
    RuntimeError("Insufficient memory"): "There is not enough memory",
    OSError(errno.EIO, "Input/output error"): "a.png cannot be read: Input/output error",
    SyntaxError("broken PNG file"): r"may be damaged or cut off: broken PNG file\.$",
    KeyError(): r"may be damaged or cut off: KeyError\.$",
}


@pytest.mark.parametrize("error", CAUSES, ids=repr)
def test_the_cause_is_told_as_it_is(tmp_path, error):
    Image.new("L", (4, 3)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=CAUSES[error]) as caught, open_picture(tmp_path / "a.png"):
        raise error
    assert ("damaged" in str(caught.value)) == ("damaged" in CAUSES[error])


def test_drawings_are_not_given_to_other_programs(tmp_path, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", None)  # fails if it is called
    path = tmp_path / "a.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n")
    with pytest.raises(ImageError, match=r"a\.jpg is a drawing \(EPS\), which has no pixels: save"):
        read_image(path)


@pytest.mark.filterwarnings("error")
def test_damaged_notes_in_a_file_are_no_warning(tmp_path):
    notes = Image.Exif()
    notes[270] = "a description that is cut off below"
    Image.new("L", (4, 3)).save(tmp_path / "a.png", exif=notes)
    data = (tmp_path / "a.png").read_bytes()
    place = data.index(b"eXIf")
    length = int.from_bytes(data[place - 4 : place])
    cut = data[place : place + 4 + 14]
    shorter = (14).to_bytes(4) + cut + zlib.crc32(cut).to_bytes(4)
    (tmp_path / "a.png").write_bytes(data[: place - 4] + shorter + data[place + 8 + length :])
    with open_picture(tmp_path / "a.png") as picture:
        assert 274 not in picture.getexif()


def test_endings_of_pictures_in_folders():
    assert {".jfif", ".jpe", ".gif", ".ppm", ".avif"} <= picture_files.PICTURE_ENDINGS

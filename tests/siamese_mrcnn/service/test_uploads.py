"""What strangers send is decoded, or refused with a sentence; nothing of it stays."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from colour_search import RED, file_of, scene
from siamese_mrcnn.service.limits import Limits
from siamese_mrcnn.service.problems import ProblemError
from siamese_mrcnn.service.uploads import Uploads, cut_boxes, shown_name

PICTURE = scene((RED, (0, 0, 60, 40)))
LIMITS = Limits(pixels=100_000, side=1000)


@pytest.fixture
def uploads(tmp_path):
    yield Uploads(tmp_path, LIMITS)
    assert not list(tmp_path.iterdir())


def png_that_says(width, height, pixels=b""):
    """A PNG file whose header tells any size."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def many_scans():
    jpeg = file_of(PICTURE, "JPEG")
    return jpeg[:-2] + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" * 101 + jpeg[-2:]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "AVIF"])
def test_pictures_are_read(uploads, kind):
    options = {} if kind in ("PNG", "BMP") else {"quality": 100}
    read = uploads.read(file_of(PICTURE, kind, **options), "p")
    assert read.shape == PICTURE.shape
    assert np.abs(read.astype(int) - PICTURE).mean() < 4


def test_photos_are_turned_upright(uploads):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    read = uploads.read(file_of(PICTURE, "JPEG", exif=exif, quality=100), "p.jpg")
    assert read.shape == (160, 120, 3)
    assert np.abs(read[10, 110].astype(int) - RED).max() < 20  # top left has come to top right


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 415, "no picture of a kind that is taken: JPEG, PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "no picture"),
        (b"<!doctype html><script>alert(1)</script>", 415, "no picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", 415, "no picture"),
        (b"../../etc/passwd", 415, "no picture"),
        (b"II*\x00" + bytes(40), 415, "no picture"),
        (b"\x89PNG\r\n\x1a\n", 422, "begins as a PNG picture does, but is damaged"),
        (file_of(PICTURE)[:200], 422, "cannot be decoded"),
        (file_of(PICTURE, "JPEG")[:300], 422, "damaged"),
        (png_that_says(400, 400), 413, "400 x 400 pixels, but 100,000"),
        (png_that_says(65_000, 65_000), 413, "Scale it down"),
        (png_that_says(1, 1001), 413, "a side of 1,000"),
        (png_that_says(2**31 - 1, 2**31 - 1), 413, "Scale it down"),
        (png_that_says(20, 20, bytes(10)), 422, "cannot be decoded"),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", 422, "damaged"),
        (b"GIF89a" + bytes(20), 422, "damaged"),
        (b"BM" + bytes(60), 422, "damaged"),
        (b"\x00\x00\x00\x1cftypavif" + bytes(60), 422, "damaged"),
        (many_scans(), 422, "more than 100 scans"),
    ],
)
def test_others_are_refused_with_a_sentence(uploads, data, status, words):
    with pytest.raises(ProblemError) as refused:
        uploads.read(data, "some name")
    assert refused.value.status == status
    assert words in refused.value.detail and "some name" in refused.value.detail
    assert str(uploads.folder) not in refused.value.detail


def test_a_bomb_is_not_decoded(uploads, monkeypatch):
    monkeypatch.setattr(uploads, "_decode", lambda *_: pytest.fail("it is decoded"))
    buffer = io.BytesIO()
    Image.new("1", (900, 900)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 1000
    with pytest.raises(ProblemError, match="900 x 900"):
        uploads.read(buffer.getvalue(), "bomb.png")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.png", "a.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\b.jpg", "b.jpg"),
        (None, "picture"),
        ("..", "picture"),
        ("/", "picture"),
        ("x\x1b[2J\n.png", "x\\x1b[2J\\n.png"),
        ("y" * 500, "y" * 120),
    ],
)
def test_names_are_only_shown(name, shown):
    assert shown_name(name) == shown


def test_boxes_are_cut_and_must_fit():
    (whole,) = cut_boxes(PICTURE, [], "p", LIMITS)
    assert whole is PICTURE or np.array_equal(whole, PICTURE)
    one, two = cut_boxes(PICTURE, [(0, 0, 60, 40), (60, 40, 120, 160)], "p", LIMITS)
    assert (one == RED).all() and (two == 128).all()
    for wrong in ((0, 0, 121, 40), (0, 0, 20, 161), (-1, 0, 20, 20), (20, 0, 20, 20)):
        with pytest.raises(ProblemError, match="120 x 160"):
            cut_boxes(PICTURE, [wrong], "p", LIMITS)
    with pytest.raises(ProblemError, match="9 boxes, but 8"):
        cut_boxes(PICTURE, [(0, 0, 9, 9)] * 9, "p", LIMITS)

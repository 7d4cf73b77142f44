"""Two hundred hostile uploads: each is refused with a sentence, and the service lives on."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from colour_search import RED, client_of, colour_service, file_of, scene, search

PICTURE = scene((RED, (20, 30, 60, 90)))
NOISE = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "AVIF")


def cut_off():
    """Files of every kind that end early."""
    for kind in KINDS:
        data = file_of(NOISE, kind)
        for share in (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
            yield f"cut.{kind}", data[: max(3, int(len(data) * share))]


def no_pictures():
    """Other files, some with the ending of a picture."""
    buffer = io.BytesIO()
    Image.fromarray(NOISE).save(buffer, "TIFF")
    contents = {
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "xml": b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'b'>]><svg>&a;</svg>",
        "html": b"<!doctype html><script>fetch('//evil.example')</script>",
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file",
        "zip": b"PK\x03\x04" + bytes(60),
        "gz": b"\x1f\x8b\x08" + bytes(60),
        "elf": b"\x7fELF" + bytes(60),
        "tiff": buffer.getvalue(),
        "path": b"/etc/passwd",
        "npy": b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
        "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        "nothing": b"",
        "zeros": bytes(5000),
        "text": "äöü".encode() * 50,
    }
    for kind, data in contents.items():
        for name in (f"a.{kind}", "photo.jpg", "../../photo.png"):
            yield name, data


def huge():
    """Headers that tell more pixels than anybody has memory for."""
    for width, height in ((65_535, 65_535), (30_000, 30_000), (65_535, 1), (1, 65_535)):
        size = struct.pack(">II", width, height)
        png = bytearray(file_of(NOISE))
        png[16:24] = size
        yield "huge.png", bytes(png)  # its checksum is wrong now, too
        gif = bytearray(file_of(NOISE, "GIF"))
        gif[6:10] = struct.pack("<HH", width, height)
        yield "huge.gif", bytes(gif)
        bmp = bytearray(file_of(NOISE, "BMP"))
        bmp[18:26] = struct.pack("<ii", width, height)
        yield "huge.bmp", bytes(bmp)
        jpeg = bytearray(file_of(NOISE, "JPEG"))
        place = jpeg.index(b"\xff\xc0") + 5
        jpeg[place : place + 4] = struct.pack(">HH", height, width)
        yield "huge.jpg", bytes(jpeg)
    for side in (8000, 16_000, 20_000):
        buffer = io.BytesIO()
        Image.new("1", (side, side)).save(buffer, "PNG")  # small as a file
        yield "bomb.png", buffer.getvalue()


def overwritten():
    """Pictures with noise in their middle, of kinds that check what they decode."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        data = bytearray(file_of(NOISE))
        place = int(rng.integers(40, len(data) - 60))
        data[place : place + 30] = rng.bytes(30)
        yield "noise.png", bytes(data)


def names_that_lead_elsewhere():
    """File names that are no reason to look at any file."""
    for name in (
        "../../../etc/passwd",
        "/etc/passwd",
        "C:\\windows\\win.ini",
        "file:///etc/passwd",
        "http://127.0.0.1/x.png",
        "a\x00b.png",
        "|ls",
        "$(touch x)",
        "'; DROP TABLE x",
        "<img src=x onerror=alert(1)>",
        "%2e%2e%2fx",
        "a" * 4000,
        "\u202egnp.x",
        "CON",
        ".htaccess",
        "~/.ssh/id_rsa",
        "x\r\nSet-Cookie: a=b",
        "{{7*7}}",
        "../library/x.json",
    ):
        yield name, b"not a picture"


UPLOADS = [
    *cut_off(),
    *no_pictures(),
    *huge(),
    *overwritten(),
    *names_that_lead_elsewhere(),
]


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    folder = tmp_path_factory.mktemp("service")
    with client_of(colour_service(folder, pixels=1_000_000)) as running:
        running.folder = folder
        yield running


def test_two_hundred_hostile_uploads_are_refused_with_a_sentence(client):
    reference = ("references", ("r.png", file_of(PICTURE)))
    accepted = []
    for number, (name, data) in enumerate(UPLOADS):
        if number % 2:
            files = [("images", (name, data)), reference]
        else:
            files = [("images", ("p.png", file_of(PICTURE))), ("references", (name, data))]
        answer = client.post("/api/search", files=files)
        if not 400 <= answer.status_code < 500:
            accepted.append((number, name, answer.status_code))
            continue
        detail = answer.json()["detail"]
        assert answer.headers["content-type"] == "application/problem+json"
        assert detail[0].isupper() and detail.endswith(".") and len(detail) < 500
        assert str(client.folder) not in detail and "Traceback" not in detail
    assert accepted == []
    assert len(UPLOADS) >= 200
    assert len(search(client, {"p": PICTURE}).json()["images"][0]["instances"]) == 1
    assert [path for path in client.folder.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--x",
        b"--x\r\n",
        b"--x\r\nContent-Disposition: form-data\r\n\r\n\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="images"\r\n\r\nx\r\n--x--\r\n',
        b'--x\r\nContent-Disposition: form-data; name="names"; filename="a"\r\n\r\nx\r\n--x--\r\n',
        b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\n\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="names"\r\n\r\na\r\n' * 1500 + b"--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="boxes"\r\n\r\n'
        + b"[" * 2_000_000
        + b"\r\n--x--\r\n",
        b"\xff\xfe" * 100,
    ],
)
@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data; boundary=x",
        "multipart/form-data",
        "application/json",
        "application/x-www-form-urlencoded",
    ],
)
def test_bodies_that_are_no_forms_are_refused(client, body, kind):
    for path in ("/api/search", "/api/references"):
        answer = client.post(path, content=body, headers={"Content-Type": kind})
        assert 400 <= answer.status_code < 500
        assert answer.headers["content-type"] == "application/problem+json"

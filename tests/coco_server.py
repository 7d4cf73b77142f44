"""A server on this machine with archives like COCO's, and `siamese-mrcnn download` from it."""

import contextlib
import hashlib
import io
import json
import zipfile

import numpy as np

from file_server import serving
from folders import tree
from mrcnn import transfer
from siamese_mrcnn import cli
from siamese_mrcnn import download as downloads
from siamese_mrcnn.delivery import Archive


def pictures(folder, count, seed):
    """Files of a folder of images, which ZIP cannot make smaller."""
    rng = np.random.default_rng(seed)
    return {f"{folder}/{number:012d}.jpg": rng.bytes(2000) for number in range(count)}


CONTENT = {
    "train": pictures("train2017", 20, 0),
    "val": pictures("val2017", 3, 1),
    "annotations": {f"annotations/instances_{n}2017.json": b"[]" * 500 for n in ("train", "val")},
}

ALL = {name: data for files in CONTENT.values() for name, data in files.items()}


def packed(files):
    """A ZIP archive as bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


@contextlib.contextmanager
def serving_coco(monkeypatch):
    """Serve three small archives under COCO's paths, which `download` then takes for COCO's."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(transfer, "WAITS", (0,))
    monkeypatch.setattr(transfer, "CHUNK", 1000)
    with serving({}) as running:
        running.publish = lambda part, data: publish(running, monkeypatch, part, data)
        for part, files in CONTENT.items():
            running.publish(part, packed(files))
        yield running


def publish(server, monkeypatch, part, data):
    """Serve these bytes as a part, and expect them."""
    old = downloads.ARCHIVES[part]
    digest = hashlib.sha256(data).hexdigest()
    new = Archive(old.path, old.folder, len(data), digest, old.growth)
    monkeypatch.setitem(downloads.ARCHIVES, part, new)
    server.files["/" + old.path] = data


def fetch(server, data, *arguments):
    options = ("--data", data, "--base-url", server.url)
    return cli.main(["download", *(str(each) for each in (*options, *arguments))])


def refused(capsys, server, data, *arguments):
    """The one sentence on stderr of a call that ends with status 1."""
    capsys.readouterr()
    assert fetch(server, data, *arguments) == 1
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return text[text.index("siamese-mrcnn: ") :].removeprefix("siamese-mrcnn: ")


def without_record(folder):
    files = tree(folder)
    assert set(json.loads(files.pop("download.json"))) == {
        name.partition("/")[0] for name in files if "/" in name
    }
    return files


def size_of(part):
    return downloads.ARCHIVES[part].size

"""`/api/references`: things are kept by name, listed, renamed and forgotten."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from colour_search import GREEN, RED, client_of, colour_service, file_of, scene, search

BOX = (20, 30, 60, 90)


@pytest.fixture
def client(tmp_path):
    with client_of(colour_service(tmp_path, library=3)) as running:
        yield running


def keep(client, name, colour=RED, boxes=(BOX,)):
    files = [("images", ("p.png", file_of(scene((colour, BOX)))))]
    return client.post(
        "/api/references", files=files, data={"name": name, "boxes": json.dumps([boxes])}
    )


def names(client):
    return [each["name"] for each in client.get("/api/references").json()["references"]]


def test_a_thing_is_kept_renamed_and_forgotten(client):
    added = keep(client, "red thing", boxes=[BOX, BOX])
    assert added.status_code == 201
    assert added.json()["name"] == "red thing" and added.json()["shots"] == 2
    picture = client.get(added.json()["thumbnail"])
    pixels = np.asarray(Image.open(io.BytesIO(picture.content)).convert("RGB"))
    middle = pixels[pixels.shape[0] // 2, pixels.shape[1] // 2]
    assert np.abs(middle.astype(int) - RED).max() < 30
    renamed = client.patch("/api/references/red%20thing", data={"new_name": "Rot, größer"})
    assert renamed.json()["name"] == "Rot, größer" and names(client) == ["Rot, größer"]
    assert client.get(renamed.json()["thumbnail"]).status_code == 200
    assert client.delete("/api/references/Rot, größer").status_code == 204
    assert names(client) == []


def test_a_name_that_was_used_before_means_what_it_says_now(client):
    picture = {"p": scene((GREEN, BOX))}
    keep(client, "thing", RED)
    assert search(client, picture, None, names=["thing"]).json()["images"][0]["instances"] == []
    client.delete("/api/references/thing")
    keep(client, "thing", GREEN)
    assert len(search(client, picture, None, names=["thing"]).json()["images"][0]["instances"]) == 1


@pytest.mark.parametrize(
    "name", ["x", "../x", "..", "a/b", "a\\b", "\x00", "", " ", "CON", "é" * 100]
)
def test_no_name_leads_out_of_the_library(client, tmp_path, name):
    assert keep(client, name).status_code in (201, 422)
    inside = tmp_path / "library"
    assert [path for path in tmp_path.rglob("*") if not path.is_relative_to(inside)] == [
        tmp_path / "uploads"
    ]


def test_a_library_that_is_damaged_is_told_and_left_alone(client, tmp_path):
    keep(client, "thing")
    index = tmp_path / "library" / "library.json"
    whole = index.read_text()
    index.write_text(whole[:40])
    for answer in (
        client.get("/api/references"),
        client.get("/api/references/thing/thumbnail"),
        client.delete("/api/references/thing"),
        keep(client, "other"),
        search(client, {"p": scene()}, None, names=["thing"]),
    ):
        assert answer.status_code == 503
        assert "log says why" in answer.json()["detail"]
        assert str(tmp_path) not in answer.text
    index.write_text(whole)
    assert names(client) == ["thing"]
    next((tmp_path / "library").glob("*/shot_1.png")).unlink()
    answer = search(client, {"p": scene()}, None, names=["thing"])
    assert answer.status_code == 404 and "lost" in answer.json()["detail"]


def test_names_are_kept_as_the_library_writes_them(client):
    assert keep(client, "  cafe\u0301 ").json()["name"] == "caf\u00e9"
    assert keep(client, "caf\u00e9").status_code == 409
    assert client.delete("/api/references/caf%C3%A9").status_code == 204


def test_problems_are_told(client):
    keep(client, "one")
    assert keep(client, "one").status_code == 409
    assert client.patch("/api/references/one", data={"new_name": "one"}).status_code == 409
    assert client.patch("/api/references/two", data={"new_name": "three"}).status_code == 404
    assert client.delete("/api/references/two").status_code == 404
    assert client.get("/api/references/two/thumbnail").status_code == 404
    assert client.post("/api/references", data={"name": "x"}).status_code == 422
    assert keep(client, "box", boxes=[(0, 0, 999, 999)]).status_code == 422
    keep(client, "two")
    keep(client, "three")
    full = keep(client, "four")
    assert full.status_code == 409 and "holds 3 things" in full.json()["detail"]

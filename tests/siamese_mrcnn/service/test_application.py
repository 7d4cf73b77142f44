"""The pages, the description and the end of the service."""

import http.client
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from colour_search import (
    RED,
    client_of,
    colour_service,
    file_of,
    running_service,
    scene,
    search,
)
from siamese_mrcnn.service.application import PAGE
from siamese_mrcnn.service.photos import drawn_examples, photos_of

BOX = (20, 30, 60, 90)


def test_pages_bring_nothing_from_elsewhere(tmp_path):
    with client_of(colour_service(tmp_path)) as client:
        for path in ("/", "/docs"):
            text = client.get(path).text
            for file in re.findall(r'(?:src|href)="(/page/[^"]+)"', text):
                assert client.get(file).status_code == 200
    for file in PAGE.iterdir():
        assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", file.read_text())


def test_the_description_has_every_route_and_its_problems(tmp_path):
    with client_of(colour_service(tmp_path)) as client:
        description = client.get("/openapi.json").json()
    routes = {(method, path) for path, each in description["paths"].items() for method in each}
    assert {
        ("post", "/api/search"),
        ("get", "/api/references"),
        ("post", "/api/references"),
        ("patch", "/api/references/{name}"),
        ("delete", "/api/references/{name}"),
        ("get", "/api/references/{name}/thumbnail"),
        ("get", "/api/photos"),
        ("get", "/api/photos/{photo}"),
        ("get", "/api/health"),
    } == routes
    for path in description["paths"].values():
        for route in path.values():
            for status, answer in route["responses"].items():
                assert status < "400" or list(answer["content"]) == ["application/problem+json"]


def test_health_tells_threshold_and_limits(tmp_path):
    with client_of(colour_service(tmp_path, images=3)) as client:
        health = client.get("/api/health").json()
    assert health["status"] == "ok" and health["threshold"] == 0.4 and health["model"] == "colours"
    assert health["limits"]["images"] == 3


def test_the_end_waits_for_what_runs_and_nothing_of_a_user_is_left(tmp_path):
    service = colour_service(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        with client_of(service) as client:
            answers = [pool.submit(search, client, {"p": scene((RED, BOX))}) for _ in range(4)]
            results = [each.result().json() for each in answers]
    assert all(len(each["images"][0]["instances"]) == 1 for each in results)
    assert not service.engine._thread.is_alive()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_offered_photos_are_shown(tmp_path):
    photos = drawn_examples()
    number, (y1, x1, y2, x2) = photos.example
    assert 0 <= y1 < y2 <= 256 and 0 <= x1 < x2 <= 256
    np.testing.assert_array_equal(photos.read(3), drawn_examples().read(3))
    with client_of(colour_service(tmp_path, photos)) as client:
        listed = client.get("/api/photos").json()
        assert len(listed["photos"]) == len(photos.names)
        assert listed["example"]["photo"] == number
        picture = client.get("/api/photos/0")
        assert picture.headers["content-type"] == "image/jpeg" and len(picture.content) > 1000
        small = client.get("/api/photos/0?side=32")
        assert len(small.content) < len(picture.content) / 4
        assert client.get("/api/photos/99").status_code == 404
        assert client.get("/api/photos/0?side=1").status_code == 422


def test_photos_of_a_folder_are_read_when_they_are_asked_for(tmp_path):
    photos = photos_of([tmp_path / "a.png", tmp_path / "b.png"])
    assert photos.names == ["a.png", "b.png"] and photos.example is None
    assert [photos.index(each) for each in ("0", "1", "2", "", "x", "-1")] == [0, 1, *[None] * 4]


def ask(address):
    """An open connection on which a search was sent."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=20)
    head = '--x\r\nContent-Disposition: form-data; name="{}"; filename="p"\r\n\r\n'
    picture = file_of(scene((RED, BOX))) + b"\r\n"
    body = b"".join(head.format(name).encode() + picture for name in ("images", "references"))
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    connection.request("POST", "/api/search", body + b"--x--\r\n", kind)
    return connection


def wait_until(condition):
    while not condition():
        time.sleep(0.01)


def test_who_goes_takes_the_search_along(tmp_path):
    service = colour_service(tmp_path)
    engine = service.engine
    engine.model.gate.clear()
    with running_service(service) as address:
        stays = ask(address)
        wait_until(lambda: engine.running)
        goes = ask(address)
        wait_until(lambda: engine.waiting)
        goes.close()
        wait_until(lambda: all(job.future.cancelled() for job in engine._jobs))
        engine.model.gate.set()
        assert stays.getresponse().status == 200
    assert engine.model.batches == [(1, 1)]


def test_stopping_ends_what_runs(tmp_path):
    service = colour_service(tmp_path)
    service.engine.model.gate.clear()
    with running_service(service) as address:
        running = ask(address)
        wait_until(lambda: service.engine.running)
        threading.Timer(0.3, service.engine.model.gate.set).start()
    answer = running.getresponse()
    assert answer.status == 200 and b'"instances":[{' in answer.read()

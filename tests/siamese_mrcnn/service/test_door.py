"""Who may come in: this machine's own pages, whoever has the token, and no more than the limits."""

import asyncio
import json
import logging

import pytest

from colour_search import RED, client_of, colour_service, scene, search
from siamese_mrcnn.service.door import Door
from siamese_mrcnn.service.limits import Limits


@pytest.fixture
def client(tmp_path):
    with client_of(colour_service(tmp_path, upload_bytes=20_000), token="sesame") as running:
        yield running


def detail(answer, status):
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()["detail"]


def test_the_interface_needs_the_token_and_the_page_does_not(client):
    assert "Bearer" in detail(client.get("/api/references"), 401)
    for wrong in ("sesame", "Bearer sesam", "Bearer sesame ", "Bearer señor"):
        headers = {"Authorization": wrong.encode()}
        assert client.get("/api/references", headers=headers).status_code == 401
    given = {"Authorization": "Bearer sesame"}
    assert client.get("/api/references", headers=given).json() == {"references": []}
    for path in ("/", "/docs", "/openapi.json", "/api/health", "/page/app.js"):
        assert client.get(path).status_code == 200


def test_other_names_and_other_origins_are_refused(client):
    given = {"Authorization": "Bearer sesame"}
    assert "127.0.0.1 or localhost" in detail(
        client.get("/", headers={"Host": "evil.example"}), 421
    )
    assert client.get("/", headers={"Host": "localhost:8765"}).status_code == 200
    assert client.get("/", headers={"Host": "[::1]:8765"}).status_code == 200
    for origin in ("http://evil.example", "null"):
        answer = client.delete("/api/references/x", headers={**given, "Origin": origin})
        assert "other origins" in detail(answer, 403)
    own = {**given, "Origin": "http://127.0.0.1"}
    assert client.delete("/api/references/x", headers=own).status_code == 404


def test_a_service_for_others_may_have_any_name(tmp_path):
    with client_of(colour_service(tmp_path), only_here=False) as client:
        assert client.get("/api/health", headers={"Host": "search.example"}).status_code == 200


def test_what_is_too_long_is_refused_before_it_is_read(client):
    headers = {"Authorization": "Bearer sesame"}
    answer = client.post("/api/search", content=bytes(20_001), headers=headers)
    assert "20,000 bytes" in detail(answer, 413)
    chunked = client.post(
        "/api/search",
        content=iter([bytes(9000)] * 9),
        headers={**headers, "Content-Type": "multipart/form-data; boundary=x"},
    )
    assert "20,000 bytes" in detail(chunked, 413)


def test_all_answers_bring_what_guards_the_page(client):
    for path in ("/", "/api/health", "/nothing", "/api/references"):
        headers = client.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert client.get("/api/references").headers["cache-control"] == "no-store"
    assert client.get("/page/../application.py").status_code == 404
    assert client.get("/page/..%2fapplication.py").status_code == 404


def test_the_log_has_a_line_of_json_for_each_request_and_no_names(tmp_path, caplog):
    with client_of(colour_service(tmp_path)) as client, caplog.at_level(logging.INFO):
        search(client, {"secret.png": scene((RED, (10, 10, 50, 50)))})
        client.get("/api/references/secret/thumbnail")
    lines = [
        json.loads(each.message)
        for each in caplog.records
        if "door" not in each.name and each.name == "siamese_mrcnn.service.requests"
    ]
    assert [(each["route"], each["status"]) for each in lines] == [
        ("search", 200),
        ("thumbnail", 404),
    ]
    assert lines[0]["pictures"] == 1 and lines[0]["received"] > 500
    assert "secret" not in caplog.text.replace("GET http", "").split("HTTP Request")[0]


def test_no_more_requests_than_the_limit_are_in_hand():
    asyncio.run(_crowd())


async def _crowd():
    opened, answers = asyncio.Event(), []

    async def application(scope, receive, send):
        await opened.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def send(message):
        if message["type"] == "http.response.start":
            answers.append(message["status"])

    door = Door(application, Limits(requests=3))
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"localhost")]}
    crowd = [asyncio.create_task(door(scope, None, send)) for _ in range(5)]
    async with asyncio.timeout(5):
        while len(answers) < 2:
            await asyncio.sleep(0)
    assert answers == [429, 429]
    opened.set()
    await asyncio.gather(*crowd)
    assert answers == [429, 429, 200, 200, 200] and door.inside == 0


def test_a_client_that_pauses_while_it_sends_is_let_go():
    asyncio.run(_pause())


async def _pause():
    from starlette.exceptions import HTTPException

    async def application(scope, receive, send):
        with pytest.raises(HTTPException, match=r"Nothing came for 0\.05 seconds"):
            await receive()
        await send({"type": "http.response.start", "status": 408, "headers": []})

    async def send(message):
        pass

    door = Door(application, Limits(idle_seconds=0.05))
    scope = {"type": "http", "method": "POST", "path": "/", "headers": [(b"host", b"localhost")]}
    await door(scope, asyncio.Event().wait, send)

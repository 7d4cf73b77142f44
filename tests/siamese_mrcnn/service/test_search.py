"""`POST /api/search`: each picture's own answer in its own pixels; problems as of RFC 9457."""

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pycocotools import mask as rle_tools

from colour_search import BLUE, GREEN, RED, client_of, colour_service, file_of, scene, search
from siamese_mrcnn.service.photos import Photos

BOX = (20, 30, 60, 90)
PAIR = scene((RED, BOX), (GREEN, (70, 30, 110, 90)))


@pytest.fixture
def service(tmp_path):
    photos = Photos(["a.jpg", "gone.jpg"], [PAIR, tmp_path / "gone.jpg"])
    return colour_service(tmp_path, photos, images=4, waiting=8, seconds=5)


@pytest.fixture
def client(service):
    with client_of(service) as running:
        yield running
        service.engine.model.gate.set()


def keep(client, name, colour):
    files = [("images", (f"{name}.png", file_of(scene((colour, BOX)))))]
    fields = {"name": name, "boxes": json.dumps([[BOX]])}
    assert client.post("/api/references", files=files, data=fields).status_code == 201


def refused(answer, status):
    """The sentence of a problem."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status and problem["type"] == "about:blank" and problem["title"]
    return problem["detail"]


def test_boxes_masks_and_scores_are_of_the_picture_as_it_was_sent(client):
    large = scene((RED, (200, 300, 600, 900)), size=(1200, 1600))
    answer = search(client, {"one.png": scene((RED, BOX)), "two.png": large}).json()
    for found, picture, box in zip(
        answer["images"], (scene(), large), (BOX, (200, 300, 600, 900)), strict=True
    ):
        (instance,) = found["instances"]
        assert (found["height"], found["width"]) == picture.shape[:2]
        np.testing.assert_allclose(instance["box"], box, atol=6)
        mask = rle_tools.decode(instance["mask"]).astype(bool)
        assert mask.shape == picture.shape[:2] and mask.sum() == instance["area"]
        expected = np.zeros(mask.shape, bool)
        expected[box[0] : box[2], box[1] : box[3]] = True
        assert (mask & expected).sum() / (mask | expected).sum() > 0.95
        assert found["presence"] == {"reference": instance["score"]}
    assert [each["image"] for each in answer["images"]] == ["one.png", "two.png"]
    assert answer["threshold"] == 0.4
    assert 0 <= answer["times"]["searched"] <= answer["times"]["total"]


def test_what_scores_less_is_left_out_but_tells_of_presence(client):
    pale = tuple(side + 15 for side in RED)
    answer = search(client, {"p": scene((pale, BOX))}, threshold="0.99").json()["images"][0]
    assert answer["instances"] == [] and 0 < answer["presence"]["reference"] < 0.99
    answer = search(client, {"p": scene((pale, BOX))}, threshold="0").json()["images"][0]
    assert len(answer["instances"]) == 1
    assert search(client, {"p": scene()}).json()["images"][0]["presence"] == {"reference": 0}


def test_several_things_are_searched_for_at_once(client, service):
    keep(client, "grass", GREEN)
    keep(client, "sky", BLUE)
    answer = search(client, {"p": PAIR}, names=["grass", "sky"]).json()["images"][0]
    assert sorted(each["name"] for each in answer["instances"]) == ["grass", "reference"]
    assert answer["presence"]["sky"] == 0 and answer["presence"]["grass"] > 0.9
    assert service.engine.model.batches == [(1, 3)]
    (only,) = search(client, {"p": PAIR}, None, names=["grass"]).json()["images"][0]["instances"]
    assert only["name"] == "grass" and only["box"][0] > 60


def test_what_two_things_are_found_at_is_the_better_ones(client):
    keep(client, "red", RED)
    keep(client, "almost red", tuple(side + 15 for side in RED))
    answer = search(client, {"p": PAIR}, None, names=["almost red", "red"]).json()["images"][0]
    assert [each["name"] for each in answer["instances"]] == ["red"]
    assert answer["presence"]["almost red"] == 0 and answer["presence"]["red"] > 0.99
    (alone,) = search(client, {"p": PAIR}, None, names=["almost red"]).json()["images"]
    assert alone["presence"]["almost red"] == alone["instances"][0]["score"] > 0.5


def test_a_reference_may_have_several_shots(client):
    both = scene((RED, (10, 10, 50, 60)), (tuple(side + 30 for side in RED), (60, 10, 100, 60)))
    files = [("images", ("p", file_of(scene((RED, BOX)))))]
    files += [
        ("references", ("r", file_of(both))),
        ("references", ("s", file_of(both[10:50, 10:60]))),
    ]
    boxes = [[[10, 10, 50, 60], [60, 10, 100, 60]], None]
    answer = client.post("/api/search", files=files, data={"boxes": json.dumps(boxes)}).json()
    assert len(answer["images"][0]["instances"]) == 1
    assert answer["images"][0]["presence"]["reference"] < 0.95  # their mean is not quite red


def test_offered_photos_are_searched_by_id(client):
    answer = search(client, {"mine": scene()}, photos=["0"]).json()
    assert [each["image"] for each in answer["images"]] == ["mine", "a.jpg"]
    assert len(answer["images"][1]["instances"]) == 1
    for wrong in ("7", "-1", "../a.jpg", "٣", "9" * 5000):
        assert "no photo of such an id" in refused(search(client, {}, photos=[wrong]), 404)
    assert "gone.jpg cannot be read" in refused(search(client, {}, photos=["1"]), 404)


def test_what_makes_no_sense_is_told(client):
    picture = {"p": PAIR}
    assert "Nothing to search for" in refused(search(client, picture, None), 422)
    assert "Nothing to search:" in refused(search(client, {}), 422)
    five = {str(number): PAIR for number in range(5)}
    assert "4 pictures, but has 5" in refused(search(client, five), 422)
    assert "no 'x'" in refused(search(client, picture, None, names=["x"]), 404)
    keep(client, "reference", RED)
    assert "same name" in refused(search(client, picture, names=["reference"]), 422)
    assert "threshold" in refused(search(client, picture, threshold="2"), 422)
    assert "threshold" in refused(search(client, picture, threshold="nan"), 422)
    for boxes in ("[", "{}", "[[[1,2,3]]]", "[[[1,2,3,4.5]]]", "[[[true,2,3,4]]]", "[" * 9000):
        assert "`boxes` is not as expected" in refused(search(client, picture, boxes=boxes), 422)
    assert "2 entries for 1 pictures" in refused(search(client, picture, boxes="[[], []]"), 422)
    assert "does not fit r.png" in refused(search(client, picture, boxes="[[[0, 0, 999, 9]]]"), 422)
    answer = client.post(
        "/api/search", files=[("images", ("../evil.svg", b"<svg/>"))], data={"names": "reference"}
    )
    assert "evil.svg is no picture" in refused(answer, 415)
    assert "GET" in refused(client.get("/api/search"), 405)
    wrong = client.put("/api/references/x")
    assert "PUT" in refused(wrong, 405) and wrong.headers["allow"] == "DELETE, PATCH"
    assert "/docs" in refused(client.get("/api/nothing"), 404)


def test_a_fault_is_told_without_its_secrets(tmp_path):
    client = client_of(colour_service(tmp_path))
    with client:
        client._transport.raise_server_exceptions = False
        unbearable = np.full((50, 50, 3), 66, np.uint8)
        assert "fault" in refused(search(client, {"p": unbearable}), 500)
        assert len(search(client, {"p": PAIR}).json()["images"][0]["instances"]) == 1


def test_a_full_queue_says_when_to_come_again(client, service):
    model = service.engine.model
    model.gate.clear()
    with ThreadPoolExecutor(20) as pool:
        answers = [pool.submit(search, client, {"p": PAIR}) for _ in range(20)]
        while not any(each.done() for each in answers):
            pass
        full = next(each for each in answers if each.done()).result()
        assert "exceed the limit of 8. Try again" in refused(full, 429)
        assert int(full.headers["retry-after"]) > 0
        model.gate.set()
        statuses = [each.result().status_code for each in answers]
    assert set(statuses) == {200, 429} and statuses.count(200) >= 8


def test_a_search_that_does_not_end_is_given_up(tmp_path):
    service = colour_service(tmp_path, seconds=0.3)
    with client_of(service) as client:
        service.engine.model.gate.clear()
        assert "within 0.3 seconds" in refused(search(client, {"p": PAIR}), 504)
        service.engine.model.gate.set()
        assert search(client, {"p": PAIR}).status_code == 200


def test_many_at_once_are_not_mixed_up(client):
    colours = (RED, GREEN, BLUE)
    pictures = [scene((colours[n % 3], (5 + n, 10, 60 + n, 100))) for n in range(8)]

    def ask(number):
        return search(client, {str(number): pictures[number]}, colours[number % 3]).json()

    with ThreadPoolExecutor(8) as pool:
        for number, answer in enumerate(pool.map(ask, range(8))):
            (image,) = answer["images"]
            assert image["image"] == str(number) and len(image["instances"]) == 1
            np.testing.assert_allclose(
                image["instances"][0]["box"], (5 + number, 10, 60 + number, 100), atol=2
            )


PALE = tuple(side + 15 for side in RED)
BOTH_REDS = scene((RED, BOX), (PALE, (70, 30, 110, 90)))


def boxes_of(answer, number=0):
    return [each["box"] for each in answer.json()["images"][number]["instances"]]


def shown(colour):
    """A picture of a thing to be sent as what must not be found."""
    return ("not_references", ("n.png", file_of(scene((colour, BOX)))))


def ask(client, picture, *files, **fields):
    files = [
        ("images", ("p.png", file_of(picture))),
        ("references", ("r.png", file_of(scene((RED, BOX))))),
        *files,
    ]
    fields = {"boxes": json.dumps([[BOX]])} | fields
    return client.post("/api/search", files=files, data=fields)


def test_what_must_not_be_found_is_left_out(client, service):
    assert len(boxes_of(ask(client, BOTH_REDS))) == 2
    answer = ask(client, BOTH_REDS, shown(PALE), not_boxes=json.dumps([[BOX]]))
    (box,) = boxes_of(answer)
    np.testing.assert_allclose(box, BOX, atol=2)
    assert list(answer.json()["images"][0]["presence"]) == ["reference"]
    keep(client, "pale", PALE)
    assert boxes_of(ask(client, BOTH_REDS, **{"not": "pale"})) == [box]
    assert service.engine.model.batches == [(1, 1), (1, 2), (1, 2)]
    # each picture of what must not be found is a thing of its own
    two = [shown(PALE), shown(GREEN)]
    assert boxes_of(ask(client, BOTH_REDS, *two, not_boxes=json.dumps([[BOX]] * 2))) == [box]
    assert service.engine.model.batches[-1] == (1, 3)
    assert len(boxes_of(ask(client, BOTH_REDS, shown(RED), not_boxes=json.dumps([[BOX]])))) == 2


def test_negatives_that_cannot_be_used_are_told(client):
    keep(client, "pale", PALE)
    both = ask(client, PAIR, names="pale", **{"not": "pale"})
    assert "'pale' is to be found and not to be found" in refused(both, 422)
    assert "no 'mug'" in refused(ask(client, PAIR, **{"not": "mug"}), 404)
    many = ask(client, PAIR, *[shown(RED)] * 9)
    assert "may have 8 references of what must not be found, but has 9" in refused(many, 422)
    wrong = ask(client, PAIR, shown(RED), not_boxes=json.dumps([[[0, 0, 999, 5]]]))
    assert "does not fit n.png" in refused(wrong, 422)


SMALL = [(y, x, y + 14, x + 11) for y in range(40, 700, 150) for x in range(30, 950, 170)]
LARGE = (800, 100, 1150, 950)


def test_tiles_find_small_things_once_in_the_pixels_of_the_picture(client, service):
    picture = scene(*[(RED, box) for box in (*SMALL, LARGE)], size=(1200, 1000))
    answer = ask(client, picture, tiles="true")
    found = np.array(boxes_of(answer))
    assert len(found) == len(SMALL) + 1
    for box in (*SMALL, LARGE):
        assert np.abs(found - box).max(axis=1).min() <= 5  # the whole is seen at a fifth
    for each in answer.json()["images"][0]["instances"]:
        mask = rle_tools.decode(each["mask"]).astype(bool)
        y1, x1, y2, x2 = each["box"]
        assert mask.shape == (1200, 1000) and mask.sum() == mask[y1:y2, x1:x2].sum()
        assert mask.sum() == each["area"] >= 14 * 11
    batches = service.engine.model.batches
    assert sum(count for count, _ in batches) == 1 + 30 + 9 + 2 and max(batches)[0] == 8
    assert len(boxes_of(ask(client, picture))) == 1


def test_a_piece_of_what_must_not_be_found_is_left_out_of_tiles(client):
    picture = scene((RED, (20, 30, 60, 90)), (PALE, (300, 30, 330, 590)), size=(600, 600))
    assert len(boxes_of(ask(client, picture, tiles="true"))) == 2
    answer = ask(client, picture, shown(PALE), not_boxes=json.dumps([[BOX]]), tiles="true")
    (box,) = boxes_of(answer)
    np.testing.assert_allclose(box, (20, 30, 60, 90), atol=3)


def test_too_many_tiles_are_refused(tmp_path):
    with client_of(colour_service(tmp_path, tiles=30)) as client:
        answer = ask(client, scene((RED, BOX), size=(1200, 1000)), tiles="true")
        assert "With p.png the pictures have more than 30 tiles" in refused(answer, 413)
        assert ask(client, PAIR, tiles="true").status_code == 200


def test_searches_in_tiles_take_turns(client, service):
    picture = scene((RED, BOX), size=(300, 300))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ask(client, picture, tiles="true"), range(4)))
    assert [len(boxes_of(answer)) for answer in answers] == [1] * 4

"""The page in a browser: from a photo to a found thing, by mouse, finger and keys.

Needs Chromium and the package playwright, and is skipped without. test_walk.py goes all the way.
"""

import io
import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as rle_tools

from browsing import (
    PATIENCE,
    cards,
    draw,
    needs_chromium,
    running_browser,
    saved,
    silent_page,
    slide,
)
from browsing import search as search_all
from colour_search import BLUE, GREEN, RED, colour_service, file_of, running_service, scene
from siamese_mrcnn.service.photos import Photos

BOX = (20, 30, 60, 90)
SCENES = {
    "both.png": scene((RED, BOX), (GREEN, (70, 20, 110, 60))),
    "pale.png": scene((tuple(side + 15 for side in RED), (30, 40, 70, 80))),
    "none.png": scene((BLUE, BOX)),
    "=two.png": scene((RED, (10, 10, 30, 40)), (RED, (60, 60, 110, 150))),
}

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser():
    with running_browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name, picture in SCENES.items():
        (folder / name).write_bytes(file_of(picture))
    return folder


@pytest.fixture
def service(tmp_path):
    offered = Photos(list(SCENES), list(SCENES.values()), ("0", BOX))
    return colour_service(tmp_path, offered)


@pytest.fixture
def address(service):
    with running_service(service) as where:
        yield where
        service.engine.model.gate.set()


@pytest.fixture
def page(browser, address):
    with silent_page(browser, address, viewport={"width": 1280, "height": 900}) as opened:
        yield opened


def choose(page, files, box=BOX):
    """Open the first photo, draw a box around the red patch, and add all photos."""
    page.set_input_files("#photo", files / "both.png")
    page.locator("#canvas").wait_for()
    draw(page, box)
    page.locator("#shots li").wait_for()
    page.set_input_files("#photos", [files / name for name in SCENES])


def search(page, total=4):
    search_all(page, total)


def red_share(page, canvas):
    """How much of a canvas is of a mask's colour on the red patch."""
    return page.locator(canvas).first.evaluate(
        """canvas => {
            const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
            copy.drawImage(canvas, 0, 0);
            const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
            let count = 0;
            for (let at = 0; at < data.length; at += 4)
                count += data[at] > 225 && data[at + 1] > 60 && data[at + 2] < 30;
            return count * 4 / data.length;
        }"""
    )


def test_a_thing_is_found_and_the_slider_redraws_without_another_search(page, files, service):
    choose(page, files)
    search(page)
    assert cards(page) == ["=two.png", "both.png", "pale.png"]  # the best first
    assert page.inner_text("#summary") == "4 found, not found in 1 of 4"
    searches = len(service.engine.model.batches)
    assert red_share(page, "#gallery canvas") > 0.1
    slide(page, 0.95)
    page.locator("#summary", has_text="3 found, not found in 2 of 4").wait_for()
    assert cards(page) == ["=two.png", "both.png"]
    slide(page, 0)
    page.locator("#summary", has_text="4 found, not found in 1 of 4").wait_for()
    assert page.inner_text("#missing summary") == "Not found in 1 of 4"
    page.click("#missing summary")
    assert page.locator("#missing li").all_inner_texts() == ["none.png (best 0.00)"]
    assert len(service.engine.model.batches) == searches


def test_masks_go_one_by_one_and_a_found_thing_is_the_next_reference(page, files):
    choose(page, files)
    search(page)
    page.click("#gallery button >> nth=0")
    rows = page.locator("#instances li")
    rows.nth(1).wait_for()
    both = red_share(page, "#large-canvas")
    rows.nth(0).locator("input").uncheck()
    one = red_share(page, "#large-canvas")
    assert 0 < one < both / 2
    page.click("#after")
    page.locator("#large-name", has_text="both.png").wait_for()
    page.keyboard.press("ArrowLeft")
    page.locator("#large-name", has_text="=two.png").wait_for()
    assert not rows.nth(0).locator("input").is_checked()
    page.locator("#large-canvas").click(position={"x": 5, "y": 5})
    rows.nth(1).locator("button", has_text="Find this").click()
    page.locator("#status", has_text="The found thing is the reference now").wait_for()
    assert page.locator("#shots li").count() == 1
    search(page)
    assert cards(page)[0] in ("=two.png", "both.png")
    assert page.inner_text("#summary").startswith("4 found")


def test_exports_hold_what_is_shown(page, files):
    choose(page, files)
    search(page)
    page.click("#gallery button >> nth=0")
    page.locator("#instances input").nth(1).uncheck()
    page.click("#close")
    coco = json.loads(saved(page, "coco"))
    assert [each["file_name"] for each in coco["images"]] == ["=two.png", "both.png", "pale.png"]
    assert len(coco["annotations"]) == 3
    of_both = next(each for each in coco["annotations"] if each["image_id"] == 2)
    mask = rle_tools.decode(of_both["segmentation"])
    assert mask.shape == (120, 160) and mask.sum() == of_both["area"]
    np.testing.assert_allclose(of_both["bbox"], (30, 20, 60, 40), atol=2)
    table = saved(page, "csv").decode().split("\r\n")
    assert table[0].startswith('"image","name","score"') and len(table) == 4
    assert table[1].startswith('"\'=two.png","reference",')
    masks = pictures_of(saved(page, "masks"))
    assert list(masks) == ["001__two_1.png", "002_both_1.png", "003_pale_1.png"]
    assert np.array_equal(masks["002_both_1.png"][..., 0] > 128, mask.astype(bool))
    cut = pictures_of(saved(page, "cutouts"))["002_both_1.png"]
    assert cut.shape[:2] == tuple(of_both["bbox"][:1:-1]) and cut.shape[2] == 4
    assert np.abs(cut[20, 30, :3].astype(int) - RED).max() < 5


def pictures_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {
            name: np.asarray(Image.open(io.BytesIO(archive.read(name))))
            for name in archive.namelist()
        }


def test_the_library_keeps_things_over_a_reload_and_finds_several(page, files):
    choose(page, files)
    page.fill("#name", "red <b>thing")
    page.click("text=Keep in the library")
    page.locator("#library li", has_text="red <b>thing").wait_for()
    page.click("#forget")
    draw(page, (70, 20, 110, 60))
    page.fill("#name", "green")
    page.keyboard.press("Enter")
    page.locator("#library li", has_text="green").wait_for()
    page.reload()
    page.locator("#library li").nth(1).wait_for()
    assert page.locator("#library img").first.evaluate("image => image.naturalWidth") > 0
    page.on("dialog", lambda dialog: dialog.accept("red"))
    page.click("[aria-label^='Rename red']")
    page.locator("#library label", has_text=re.compile("^red$")).wait_for()
    for box in page.locator("#library input").all():
        box.check()
    search(page)
    assert page.inner_text("#summary") == "5 found, not found in 1 of 4"
    page.click("#gallery button:has-text('both.png')")
    page.locator("#instances li").nth(1).wait_for()
    assert {text.split()[1] for text in page.locator("#instances span").all_inner_texts()} == {
        "red",
        "green",
    }
    page.click("#close")
    page.click("[aria-label='Delete red']")
    page.locator("#library li").nth(1).wait_for(state="detached")


def test_what_it_is_not_is_left_out(page, files, service):
    choose(page, files)
    draw(page, (70, 20, 110, 60))  # the green patch, so that the photo keeps its red one
    page.locator("#shots li").nth(1).wait_for()
    page.click("[aria-label='Box 2 shows what it is not']")
    assert page.locator("#shots [aria-pressed=true]").count() == 1
    search(page)
    assert cards(page) == ["=two.png", "both.png", "pale.png"]
    page.click("#gallery button:has-text('pale.png')")
    page.click("[aria-label='Leave out things like number 1']")
    page.locator("#status", has_text="Such things will be left out").wait_for()
    assert page.locator("#shots li.no").count() == 2 and page.locator("#shots li").count() == 3
    search(page)
    assert cards(page) == ["=two.png", "both.png"]
    assert service.engine.model.batches[-1][1] == 3
    page.locator("#shots .no .remove").first.click()
    page.locator("#shots .no .remove").first.click()
    search(page)
    assert len(cards(page)) == 3
    page.click("[aria-label='Box 1 shows what it is not']")
    assert page.locator("#search").is_disabled() and not page.locator("#keep").is_visible()


def test_a_thing_of_the_library_is_left_out(page, files):
    page.set_input_files("#photo", files / "pale.png")
    page.locator("#canvas").wait_for()
    draw(page, (30, 40, 70, 80))
    page.fill("#name", "pale")
    page.keyboard.press("Enter")
    page.locator("#library li", has_text="pale").wait_for()
    page.click("#forget")
    choose(page, files)
    page.click("[aria-label='Leave out pale']")
    search(page)
    assert cards(page) == ["=two.png", "both.png"]
    page.check("#library input")
    assert page.locator("#library [aria-pressed=true]").count() == 0
    search(page)
    assert len(cards(page)) == 3
    assert page.locator("#gallery button", has_text="pale.png").count() == 1


def test_small_things_of_a_large_photo_are_found_in_tiles(page, files, tmp_path):
    boxes = [(y, x, y + 15, x + 15) for y in (50, 600) for x in range(100, 1500, 300)]
    large = scene(*[(RED, box) for box in boxes], size=(1200, 1600))
    (tmp_path / "large.png").write_bytes(file_of(large))
    page.set_input_files("#photo", files / "both.png")
    page.locator("#canvas").wait_for()
    draw(page, BOX)
    page.locator("#shots li").wait_for()
    page.set_input_files("#photos", tmp_path / "large.png")
    search(page, 1)
    assert page.inner_text("#summary").startswith("0 found")
    page.check("#tiles")
    search(page, 1)
    assert page.inner_text("#summary").startswith("10 found")


def test_a_long_search_can_be_cancelled(page, files, service):
    choose(page, files)
    service.engine.model.gate.clear()
    page.click("#search")
    page.locator("#progress").wait_for()
    page.click("#cancel")
    page.locator("#status", has_text="Cancelled: 0 of 4 searched").wait_for()
    service.engine.model.gate.set()
    search(page)


def test_a_box_is_drawn_by_keys(page, files):
    page.set_input_files("#photo", files / "both.png")
    page.locator("#canvas").focus()
    page.keyboard.press("Enter")
    for _ in range(10):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Enter")
    page.locator("#shots li").wait_for()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    assert page.locator("#shots li").count() == 1
    page.set_input_files("#photos", [files / "both.png"])
    page.focus("#search")
    page.keyboard.press("Enter")
    page.locator("#status", has_text="1 of 1 searched").wait_for()


def test_problems_are_told_on_the_page(page, files, tmp_path):
    (tmp_path / "broken.png").write_bytes(file_of(SCENES["both.png"])[:150])
    page.set_input_files("#photo", files / "both.png")
    draw(page, BOX)
    page.set_input_files("#photos", [tmp_path / "broken.png", files / "both.png"])
    page.click("#search")
    page.locator("#problem", has_text="1 of 2 cannot be searched").wait_for()
    assert cards(page) == ["both.png"]
    assert all("status of 422" in message for message in page.said)  # Chromium's own
    page.said.clear()


def test_the_page_fits_a_phone_and_asks_for_the_token(browser, tmp_path):
    photos = Photos(list(SCENES), list(SCENES.values()), ("0", BOX))
    service = colour_service(tmp_path, photos)
    with running_service(service, token="open sesame") as address:
        context = browser.new_context(
            viewport={"width": 390, "height": 800}, color_scheme="dark", has_touch=True
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(address)
        page.fill("#token", "open sesame")
        page.click("#login button")
        page.click("#example")
        page.locator("#status", has_text="4 of 4 searched").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert max(map(int, re.findall(r"\d+", dark))) < 60
        page.click("#gallery button >> nth=0")
        page.locator("#large").wait_for()
        assert page.locator("#large").bounding_box()["width"] <= 390
        page.goto(f"{address}/docs")
        page.locator("h2", has_text="POST /api/search").wait_for()
        context.close()

"""The whole way of a new user through the page, at the width of a screen and of a phone.

`--guide docs/serve` goes it with the model for photographs, and writes the pictures of the guide.
"""

import io
import json

import numpy as np
import pytest
from PIL import Image

from browsing import draw, needs_chromium, running_browser, saved, search, silent_page, slide
from colour_search import BLUE, GREEN, RED, colour_service, running_service, scene
from siamese_mrcnn.photo_demo import COIN, photographs
from siamese_mrcnn.service.photos import Photos

pytestmark = needs_chromium

BOX = (20, 30, 60, 90)
SCREEN, PHONE = 1280, 390  # pixels
HEIGHTS = {SCREEN: 860, PHONE: 780}
COLOURS = 128  # of the pictures, which keeps them small
HALVES = (0, 190, 384)  # columns of the photograph of coins
PATIENCE = 120_000  # milliseconds, with the model


def drawn_photos():
    """Patches that the stand-in finds by their colours."""
    pictures = {
        "both.png": scene((RED, BOX), (GREEN, (70, 20, 110, 60))),
        "pale.png": scene((tuple(side + 15 for side in RED), (30, 40, 70, 80))),
        "none.png": scene((BLUE, BOX)),
    }
    return pictures, BOX


def photos_of_guide():
    """Photographs of scikit-image, that of coins as four."""
    known = photographs()
    coins = known.pop("coins")
    pictures = {
        f"coins {2 * row + column + 1}": coins[top:bottom, left:right]
        for row, (top, bottom) in enumerate([(0, 155), (155, 303)])
        for column, (left, right) in enumerate([HALVES[:2], HALVES[1:]])
    }
    y1, x1, y2, x2 = COIN
    return pictures | known, (y1, x1 - HALVES[1], y2, x2 - HALVES[1])


@pytest.fixture(scope="module")
def browser():
    with running_browser() as opened:
        yield opened


@pytest.fixture
def guide(request):
    """The folder for pictures, or None."""
    return request.config.getoption("--guide")


@pytest.fixture
def service(tmp_path, guide):
    """A service, the photo that shows the thing, and where."""
    pictures, box = photos_of_guide() if guide else drawn_photos()
    first = "coins 2" if guide else "both.png"
    photos = Photos(list(pictures), list(pictures.values()), (str([*pictures].index(first)), box))
    if guide:
        return real_service(tmp_path, photos), pictures[first], box
    return colour_service(tmp_path, photos), pictures[first], box


def real_service(folder, photos):
    from siamese_mrcnn.model import SiameseMaskRCNN
    from siamese_mrcnn.search.library import ReferenceLibrary
    from siamese_mrcnn.service.application import Service
    from siamese_mrcnn.service.engine import Engine
    from siamese_mrcnn.service.limits import Limits
    from siamese_mrcnn.service.uploads import Uploads

    (folder / "uploads").mkdir()
    limits, model = Limits(), SiameseMaskRCNN.from_preset("photos")
    engine, uploads = Engine(model, limits), Uploads(folder / "uploads", limits)
    engine.warm_up()
    return Service(engine, uploads, ReferenceLibrary(folder / "lib"), photos, limits, "photos")


@pytest.mark.parametrize("width", [SCREEN, PHONE])
def test_the_whole_way(browser, service, guide, tmp_path, width):
    service, picture, box = service
    Image.fromarray(picture).save(tmp_path / "mine.png")
    settings = {"viewport": {"width": width, "height": HEIGHTS[width]}, "has_touch": width == PHONE}
    if guide and width == PHONE:
        settings["color_scheme"] = "dark"
    with running_service(service) as address, silent_page(browser, address, **settings) as page:
        if guide:
            page.set_default_timeout(PATIENCE)

        def shoot(name, place=None):
            assert page.evaluate("document.documentElement.scrollWidth") == width
            if guide:
                take(page, f"{guide}/{name}_{width}.png", place)

        walk(page, shoot, tmp_path / "mine.png", picture.shape[1], box)


def walk(page, shoot, file, file_width, box):
    """Go all the way: what is asked of the page at each step is asserted."""
    shoot("start")
    page.set_input_files("#photo", file)
    page.locator("#canvas").wait_for()
    draw(page, box, file_width)
    page.locator("#shots li").wait_for()
    shoot("box", "#what")

    total = int(page.locator("#offer-text").inner_text().split()[0])
    search(page, total)
    found = page.locator("#gallery button")
    assert found.count() > 0 and page.locator("#summary").inner_text().split()[1] == "found,"
    shoot("found", "#results")

    before = page.inner_text("#summary")
    slide(page, 0.9)
    page.wait_for_function(
        "before => document.getElementById('summary').innerText != before", arg=before
    )
    assert int(page.inner_text("#summary").split()[0]) < int(before.split()[0])
    shoot("threshold", "#results")

    found.first.click()
    page.locator("#instances li").first.wait_for()
    shoot("large")
    page.locator("#instances button", has_text="Find this").first.click()
    page.locator("#status", has_text="The found thing is the reference now").wait_for()
    search(page, total)
    found.last.click()
    page.locator("#instances button", has_text="Not this").last.click()
    page.locator("#status", has_text="Such things will be left out").wait_for()
    shoot("not", "#what")
    page.locator("#shots .no .remove").click()

    page.fill("#name", "coin")
    page.click("text=Keep in the library")
    page.locator("#library li", has_text="coin").wait_for()
    coco = json.loads(saved(page, "coco"))
    assert coco["images"] and coco["annotations"]
    assert saved(page, "csv").startswith(b'"image","name","score"')

    page.reload()
    page.locator("#library li", has_text="coin").wait_for()
    assert page.locator("#shots li").count() == 0 and found.count() == 0
    page.check("#library input")
    search(page, total)
    assert found.count() > 0
    shoot("library", "#kept")


def take(page, path, place):
    """A picture of what is to be seen, with a part of the page at its top, in few colours."""
    page.evaluate("scrollTo(0, 0)")
    if place:
        page.locator(place).evaluate("part => scrollBy(0, part.getBoundingClientRect().top - 70)")
    page.wait_for_timeout(300)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    few = shot.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    assert np.asarray(few).any()
    few.save(path, optimize=True)

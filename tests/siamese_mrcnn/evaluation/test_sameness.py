"""The same thing and the same category are asked for apart."""

import itertools
import json

import cv2
import numpy as np
import pytest

from siamese_mrcnn.data.coco import CocoDataset
from siamese_mrcnn.evaluation.one_shot import evaluate
from siamese_mrcnn.evaluation.sameness import SamenessError, things_asked_for
from stand_ins import TruthDetector

# Of one category: images 1 and 2 show the red mug, 2 and 3 the blue one, 4 another.
SHOWN = {1: ["red"], 2: ["red", "blue"], 3: ["blue"], 4: ["green"]}
SIDE, PLACES = 96, ((4, 4), (50, 50))


@pytest.fixture
def folder(tmp_path):
    numbers = itertools.count(1)
    content = {
        "images": [
            {"id": number, "file_name": f"{number}.png", "height": SIDE, "width": SIDE}
            for number in SHOWN
        ],
        "categories": [{"id": 1, "name": "mug"}],
        "annotations": [
            annotation(next(numbers), image_id, place, thing)
            for image_id, things in SHOWN.items()
            for place, thing in zip(PLACES, things, strict=False)
        ],
    }
    for image in content["images"]:
        picture = np.random.default_rng(image["id"]).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        cv2.imwrite(str(tmp_path / image["file_name"]), picture)
    (tmp_path / "mugs.json").write_text(json.dumps(content))
    return tmp_path


def annotation(number, image_id, place, thing):
    x, y = place
    return {
        "id": number,
        "image_id": image_id,
        "category_id": 1,
        "iscrowd": 0,
        "bbox": [x, y, 40, 40],
        "area": 1600,
        "segmentation": [[x, y, x + 40, y, x + 40, y + 40, x, y + 40]],
        "thing": thing,
    }


def asked(folder, same, **keywords):
    """The report, and {image: things shown by its references in 8 runs}."""
    dataset = CocoDataset.from_json(folder / "mugs.json", folder)
    report = evaluate(
        TruthDetector(dataset),
        dataset,
        runs=8,
        progress=False,
        same=same,
        output=folder / str(same),
        **keywords,
    )
    things = {number: set() for number in SHOWN}
    record = json.loads((folder / str(same) / "references.json").read_text())
    for image in record["images"]:
        for query in image["queries"]:
            for each in query.get("references", ()):
                things[image["image_id"]].add(dataset.coco.anns[each["annotation_id"]]["thing"])
    return report, things


def test_references_show_the_same_thing_or_another_one(folder):
    report, things = asked(folder, "thing")
    assert things == {1: {"red"}, 2: {"red", "blue"}, 3: {"blue"}, 4: set()}
    assert report["failures"] == {"no reference could be drawn": 8}  # nobody else shows the green
    report, things = asked(folder, "category")
    assert things[1] == {"blue", "green"} and things[2] == {"green"}
    assert things[3] == {"red", "green"} and things[4] == {"red", "blue"}
    assert report["same"] == "category" and not report["failures"]
    report, things = asked(folder, None)
    assert len(things[1]) > 1 and "same" not in report
    assert "another view of a thing" in (folder / "thing" / "report.md").read_text()
    assert "another thing" in (folder / "category" / "report.md").read_text()


def test_other_things_of_the_category_are_neither_right_nor_wrong(folder):
    truth = CocoDataset.from_json(folder / "mugs.json", folder).coco
    red, blue = (each["id"] for each in truth.imgToAnns[2])
    failed = {"run": 2, "category_id": 1, "failure": "no reference could be drawn"}
    log = [{"image_id": 2, "queries": [query(0, red), query(1, blue), failed]}]
    crowds = lambda run, same="thing": {  # noqa: E731
        each["id"]
        for each in things_asked_for(truth, log, run, same).dataset["annotations"]
        if each["iscrowd"]
    }
    assert (crowds(0), crowds(1), crowds(2), crowds(3)) == ({blue}, {red}, {red, blue}, set())
    assert (crowds(0, "category"), crowds(2, "category")) == (set(), {red, blue})
    assert not any(each["iscrowd"] for each in truth.dataset["annotations"])


def query(run, annotation_id):
    references = [{"image_id": 1, "annotation_id": annotation_id}]
    return {"run": run, "category_id": 1, "references": references}


def test_whoever_finds_all_of_the_category_is_right_either_way(folder):
    report, _ = asked(folder, "category")
    assert report["bbox"]["AP50"]["mean"] == pytest.approx(1)
    content = (folder / "mugs.json").read_text()
    (folder / "mugs.json").write_text(content.replace('"green"', '"blue"'))
    report, _ = asked(folder, "thing")
    assert report["bbox"]["AP50"]["mean"] == pytest.approx(1)


def test_files_that_name_no_things_are_refused(folder):
    content = json.loads((folder / "mugs.json").read_text())
    del content["annotations"][2]["thing"]
    (folder / "mugs.json").write_text(json.dumps(content))
    with pytest.raises(SamenessError, match=r'must name its "thing".*2\.png'):
        asked(folder, "thing")
    with pytest.raises(SamenessError, match="must be"):
        asked(folder, "kind")

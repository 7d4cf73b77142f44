"""The service gives what the model gives, of which it holds one."""

import json

import numpy as np
from pycocotools import mask as rle_tools

from colour_search import client_of, file_of
from siamese_mrcnn.config import make_config
from siamese_mrcnn.model import PRESETS, SiameseMaskRCNN
from siamese_mrcnn.search.library import ReferenceLibrary
from siamese_mrcnn.service.application import Service
from siamese_mrcnn.service.engine import Engine
from siamese_mrcnn.service.limits import Limits
from siamese_mrcnn.service.photos import drawn_examples, examples_of
from siamese_mrcnn.service.uploads import Uploads


def glyph_model():
    config = make_config("glyphs", DETECTION_MIN_CONFIDENCE=0.0)
    model = SiameseMaskRCNN("inference", "logs", config)
    model.load_weights(PRESETS["glyphs"])
    return model


def test_answers_are_what_the_model_detects(tmp_path):
    photos, model, limits = drawn_examples(), glyph_model(), Limits()
    number, (y1, x1, y2, x2) = photos.example
    pictures = [photos.read(0), photos.read(1)[:200, :150]]
    crop = photos.read(int(number))[y1:y2, x1:x2]
    expected = model.detect(crop, pictures)
    service = Service(
        Engine(model, limits),
        Uploads(tmp_path, limits),
        ReferenceLibrary(tmp_path / "library"),
        photos,
        limits,
        "glyphs",
    )
    files = [("images", ("p.png", file_of(each))) for each in pictures]
    files.append(("references", ("r.png", file_of(pictures[0]))))
    fields = {"boxes": json.dumps([[[y1, x1, y2, x2]]]), "threshold": "0"}
    with client_of(service) as client:
        answer = client.post("/api/search", files=files, data=fields).json()
    for found, image, picture in zip(expected, answer["images"], pictures, strict=True):
        assert len(image["instances"]) == len(found) > 0
        assert (image["height"], image["width"]) == picture.shape[:2]
        for row, instance in enumerate(image["instances"]):
            np.testing.assert_allclose(instance["score"], found.scores[row], atol=1e-4)
            np.testing.assert_allclose(instance["box"], found.rois[row], atol=1)
            mask = rle_tools.decode(instance["mask"]).astype(bool)
            assert mask.shape == picture.shape[:2]
            assert (mask != found.masks[..., row]).sum() < 10


def test_weights_of_the_box_bring_pictures_to_try():
    photos = examples_of("photos")
    number, (y1, x1, y2, x2) = photos.example
    coins = photos.read(photos.index(number))
    assert photos.names[0] == "coins" and coins[y1:y2, x1:x2].std() > 30
    assert examples_of("glyphs").names[0] == "scene 1"
    assert not examples_of("mug").names

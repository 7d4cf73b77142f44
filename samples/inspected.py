"""What the inspection notebooks look at: data, configuration and model, by one word for all.

"shapes" are the drawings of shapes/shapes.py, "coco" is what coco/coco.py trains on.
"""

import keras
import numpy as np
from coco import coco
from shapes import shapes

import mrcnn.model as modellib
from mrcnn.data.preprocessing import windows_of
from mrcnn.training.random_start import prepare_random_start
from mrcnn.training.starting_weights import coco_weights
from mrcnn.weights import checkpoints

CONFIGS = {"shapes": shapes.ShapesConfig, "coco": coco.CocoConfig}
MEASURED_IMAGES = 8  # that random weights are normalised on


def configuration(data, **settings):
    """The configuration of a data set for one image at a time.

    Args:
        data: "shapes" or "coco".
        settings: others than those of its `Config`.
    """
    _check(data)
    return type("InspectedConfig", (CONFIGS[data],), {"IMAGES_PER_GPU": 1} | settings)()


def open_data(data, folder):
    """Images that training does not see, as a prepared data set.

    Args:
        data: "shapes" or "coco".
        folder: where COCO is; shapes are drawn.
    """
    _check(data)
    if data == "coco":
        return coco.open_coco(folder, ("val",))
    return shapes.shapes(shapes.FRESH_IMAGES, shapes.FRESH_SEED)


def open_model(data, config, dataset, weights=None, logs="../logs"):
    """A model that detects, and a printed line about where its weights are from.

    Args:
        data: "shapes" or "coco".
        config: as of `configuration`.
        dataset: as of `open_data`.
        weights: a file. None takes the last checkpoint of `logs`; where nothing was trained, it is
            the published weights for COCO, and random ones, whose detections all count, for shapes.
        logs: folder of checkpoints.
    """
    _check(data)
    if weights is None:
        weights = _last(data, config, logs)
    if weights is None:
        return _random_model(config, dataset, logs)
    model = modellib.MaskRCNN(mode="inference", config=config, model_dir=logs)
    model.load_weights(weights, by_name=True)
    print(f"The weights are those of {weights}.")
    return model


def truth(dataset, config, image_id):
    """A prepared image with its instances, crowds apart.

    Returns:
        image uint8 [H, W, 3]; class ids int32 [N]; boxes [N, (y1, x1, y2, x2)], pixels of the
        image; masks bool [H, W, N].
    """
    image, _, class_ids, boxes, masks = modellib.load_image_gt(dataset, config, image_id)
    single = class_ids > 0
    return image, class_ids[single], boxes[single], masks[..., single]


def _last(data, config, logs):
    try:
        return checkpoints.find_last(logs, config.NAME)
    except FileNotFoundError:
        return coco_weights(coco.CHECKPOINTS) if data == "coco" else None


def _random_model(config, dataset, logs):
    print(
        f"Nothing was trained below {logs} yet (python samples/shapes/shapes.py train), so the "
        "weights are random: all steps can be seen, but what is found means nothing."
    )
    config.DETECTION_MIN_CONFIDENCE = 0  # or there would be no detections to look at
    keras.utils.set_random_seed(config.SEED)
    model = modellib.MaskRCNN(mode="inference", config=config, model_dir=logs)
    images = [dataset.load_image(image_id) for image_id in dataset.image_ids[:MEASURED_IMAGES]]
    prepared = model.prepare(images)
    inputs = {
        "images": np.stack([image for image, _ in prepared]),
        "windows": windows_of([geometry for _, geometry in prepared]),
    }
    prepare_random_start(model.keras_model, [(inputs, None)])
    return model


def _check(data):
    if data not in CONFIGS:
        raise ValueError(f'DATA must be "shapes" or "coco", but is {data!r}.')

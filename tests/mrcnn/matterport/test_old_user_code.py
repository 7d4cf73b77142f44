"""A program as people wrote them for Matterport's Mask R-CNN, from data to evaluation.

What stands here is how users call the library; only the model has fewer weights than theirs.
"""

import os
import random

import cv2
import keras
import numpy as np
import pytest

import mrcnn.model as modellib
from found import assert_same_found
from mrcnn import utils, visualize
from mrcnn.config import Config, ConfigError
from mrcnn.model import log
from mrcnn.training import fit
from mrcnn.weights.hdf5 import named_variables, save_original_weights, weight_array
from mrcnn.weights.layout import backbone_layers, flat
from tiny import arrays_of, few_weights, picture


class ShapesConfig(Config):
    NAME = "shapes"
    GPU_COUNT = 1
    IMAGES_PER_GPU = 2
    BACKBONE = "resnet50"
    NUM_CLASSES = 1 + 3  # background + 3 shapes
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    TRAIN_ROIS_PER_IMAGE = 12
    POST_NMS_ROIS_TRAINING = 40
    POST_NMS_ROIS_INFERENCE = 40
    TOP_DOWN_PYRAMID_SIZE = 16
    FPN_CLASSIF_FC_LAYERS_SIZE = 16
    MAX_GT_INSTANCES = 5
    STEPS_PER_EPOCH = 1
    VALIDATION_STEPS = 1
    MY_OWN_SETTING = "kept"


class InferenceConfig(ShapesConfig):
    GPU_COUNT = 1
    IMAGES_PER_GPU = 1
    DETECTION_MIN_CONFIDENCE = 0


class ShapesDataset(utils.Dataset):
    """Shapes that are drawn when asked for, from what `add_image` was told."""

    def load_shapes(self, count, height, width):
        self.add_class("shapes", 1, "square")
        self.add_class("shapes", 2, "circle")
        self.add_class("shapes", 3, "triangle")
        for i in range(count):
            bg_color, shapes = self.random_image(height, width)
            self.add_image("shapes", image_id=i, path=None, width=width, height=height,
                           bg_color=bg_color, shapes=shapes)  # fmt: skip

    def load_image(self, image_id):
        info = self.image_info[image_id]
        image = np.ones([info["height"], info["width"], 3], dtype=np.uint8)
        image = (image * np.array(info["bg_color"]).reshape([1, 1, 3])).astype(np.uint8)
        for shape, color, dims in info["shapes"]:
            image = self.draw_shape(image, shape, dims, color)
        return image

    def image_reference(self, image_id):
        info = self.image_info[image_id]
        if info["source"] == "shapes":
            return info["shapes"]
        return super(self.__class__, self).image_reference(image_id)

    def load_mask(self, image_id):
        info = self.image_info[image_id]
        shapes = info["shapes"]
        mask = np.zeros([info["height"], info["width"], len(shapes)], dtype=np.uint8)
        for i, (shape, _, dims) in enumerate(shapes):
            mask[:, :, i : i + 1] = self.draw_shape(mask[:, :, i : i + 1].copy(), shape, dims, 1)
        class_ids = np.array([self.class_names.index(s[0]) for s in shapes])
        return mask.astype(bool), class_ids.astype(np.int32)

    def draw_shape(self, image, shape, dims, color):
        x, y, s = dims
        color = color if isinstance(color, int) else tuple(int(c) for c in color)
        image = np.ascontiguousarray(image)
        if shape == "square":
            cv2.rectangle(image, (x - s, y - s), (x + s, y + s), color, -1)
        elif shape == "circle":
            cv2.circle(image, (x, y), s, color, -1)
        else:
            points = np.array([[(x, y - s), (x - s, y + s), (x + s, y + s)]], dtype=np.int32)
            cv2.fillPoly(image, points, color)
        return image

    def random_image(self, height, width):
        shapes = []
        for left in (30, 90):
            kind = random.choice(["square", "circle", "triangle"])
            color = [random.randint(0, 255) for _ in range(3)]
            dims = (left, random.randint(30, height - 31), random.randint(14, 22))
            shapes.append((kind, color, dims))
        return np.array([random.randint(0, 255) for _ in range(3)]), shapes


@pytest.fixture
def dataset():
    random.seed(0)
    dataset = ShapesDataset()
    dataset.load_shapes(4, 100, 128)
    dataset.prepare()
    return dataset


def fewer_weights(**arguments):
    with few_weights():
        return modellib.MaskRCNN(**arguments)


def test_from_data_to_evaluation(tmp_path, dataset, capsys):
    MODEL_DIR = os.path.join(str(tmp_path), "logs")
    config = ShapesConfig()
    config.display()
    assert "RPN_ANCHOR_SCALES" in capsys.readouterr().out

    # look at the data
    image_ids = np.random.choice(dataset.image_ids, 2)  # noqa: NPY002
    for image_id in image_ids:
        image = dataset.load_image(image_id)
        mask, class_ids = dataset.load_mask(image_id)
        visualize.display_top_masks(image, mask, class_ids, dataset.class_names)

    # train the heads
    model = fewer_weights(mode="training", config=config, model_dir=MODEL_DIR)
    seen = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    model.train(dataset, None, learning_rate=config.LEARNING_RATE, epochs=1, layers="heads",
                custom_callbacks=[watch])  # fmt: skip
    assert seen == [0] and model.epoch == 1
    assert os.path.dirname(model.checkpoint_path) == model.log_dir
    assert os.path.exists(model.checkpoint_path.format(epoch=1))
    found = sorted(name for name in os.listdir(model.log_dir) if name.startswith("mask_rcnn"))
    assert found[-1] == "mask_rcnn_shapes_0001.weights.h5"
    model_path = os.path.join(MODEL_DIR, "mask_rcnn_shapes.h5")
    model.keras_model.save_weights(model_path)

    # detect with what was trained
    inference_config = InferenceConfig()
    trained = arrays_of(model.keras_model)
    for find in (lambda model: model.find_last(), lambda model: model_path):
        model = fewer_weights(mode="inference", config=inference_config, model_dir=MODEL_DIR)
        path = find(model)
        assert isinstance(path, str)
        model.load_weights(path, by_name=True)
        for name, array in arrays_of(model.keras_model).items():
            np.testing.assert_array_equal(array, trained[name])
    original_image, image_meta, gt_class_id, gt_bbox, gt_mask = modellib.load_image_gt(
        dataset, inference_config, 0, use_mini_mask=False
    )
    log("original_image", original_image)
    log("image_meta", image_meta)
    log("gt_bbox", gt_bbox)
    visualize.display_instances(
        original_image, gt_bbox, gt_mask, gt_class_id, dataset.class_names, figsize=(8, 8)
    )
    capsys.readouterr()
    results = model.detect([original_image], verbose=1)
    r = results[0]
    assert capsys.readouterr().out == f"Found [{len(r['rois'])}] instances.\n"
    visualize.display_instances(
        original_image, r["rois"], r["masks"], r["class_ids"], dataset.class_names, r["scores"]
    )

    # evaluate
    APs = []
    for image_id in dataset.image_ids[:2]:
        image, _, gt_class_id, gt_bbox, gt_mask = modellib.load_image_gt(
            dataset, inference_config, image_id, use_mini_mask=False
        )
        molded_images = np.expand_dims(modellib.mold_image(image, inference_config), 0)
        assert molded_images.shape == (1, 128, 128, 3)
        r = model.detect(molded_images, verbose=0)[0]
        assert_same_found(r, model.detect([image], verbose=0)[0])
        AP, precisions, recalls, overlaps = utils.compute_ap(
            gt_bbox, gt_class_id, gt_mask, r["rois"], r["class_ids"], r["scores"], r["masks"]
        )
        APs.append(AP)
        assert len(precisions) == len(recalls) == len(r["rois"]) + 2
        visualize.plot_precision_recall(AP, precisions, recalls)
        visualize.plot_overlaps(
            gt_class_id, r["class_ids"], r["scores"], overlaps, dataset.class_names
        )
    assert 0 <= np.mean(APs) <= 1


def test_the_truth_as_a_detection_is_perfect(dataset):
    config = InferenceConfig()
    for image_id in dataset.image_ids:
        _, _, class_ids, boxes, masks = modellib.load_image_gt(dataset, config, image_id)
        truth = (boxes, class_ids, masks)
        AP, *_ = utils.compute_ap(*truth, boxes, class_ids, np.ones(len(boxes)), masks)
        assert AP == 1
        assert utils.compute_ap_range(*truth, boxes, class_ids, np.ones(2), masks, verbose=0) == 1


def test_starting_from_coco(tmp_path):
    coco = type("Coco", (ShapesConfig,), {"NUM_CLASSES": 81, "NAME": "coco"})()
    trained = fewer_weights(mode="inference", config=coco, model_dir=str(tmp_path))
    path = os.path.join(str(tmp_path), "mask_rcnn_coco.h5")
    trained.keras_model.save_weights(path)
    model = fewer_weights(mode="training", config=ShapesConfig(), model_dir=str(tmp_path))
    model.load_weights(path, by_name=True,
                       exclude=["mrcnn_class_logits", "mrcnn_bbox_fc",
                                "mrcnn_bbox", "mrcnn_mask"])  # fmt: skip
    expected = arrays_of(trained.keras_model)
    found = arrays_of(model.keras_model)
    np.testing.assert_array_equal(found["fpn_p2/kernel"], expected["fpn_p2/kernel"])
    np.testing.assert_array_equal(
        found["mrcnn_class_conv1/kernel"], expected["mrcnn_class_conv1/kernel"]
    )
    assert found["mrcnn_mask/kernel"].shape[-1] == 4 and model.epoch == 0


def test_starting_from_imagenet(tmp_path, monkeypatch):
    """A file of a backbone alone loads if `by_name` says so, and only then."""
    monkeypatch.chdir(tmp_path)
    model = fewer_weights(mode="training", config=ShapesConfig(), model_dir="logs")
    before = arrays_of(model.keras_model)
    with few_weights():
        layers = backbone_layers("resnet50")
        tensors = {
            name: weight_array(each) + 1
            for name, each in named_variables(model.keras_model).items()
            if name.split("/")[0] in layers
        }
        save_original_weights(tensors, "checkpoints/imagenet_1k.h5", flat(layers))
    path = model.get_imagenet_weights()
    assert isinstance(path, str)
    with pytest.raises(ValueError, match="fpn_c5p5/kernel"):
        model.load_weights(path)
    model.load_weights(path, by_name=True)
    after = arrays_of(model.keras_model)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array + (name in tensors), err_msg=name)


@pytest.mark.parametrize("mode", ["training", "inference"])
def test_folders_are_texts_from_the_beginning(tmp_path, mode):
    for folder in (str(tmp_path), tmp_path):
        model = fewer_weights(mode=mode, config=ShapesConfig(), model_dir=folder)
        assert model.model_dir + "/" in model.log_dir + "/"
        assert os.path.join(model.log_dir, "a") == model.log_dir + os.sep + "a"
        assert model.checkpoint_path == model.log_dir + "/mask_rcnn_shapes_{epoch:04d}.weights.h5"
        assert model.model_dir == str(tmp_path) and not os.listdir(tmp_path)


def test_a_new_run_or_the_run_of_a_checkpoint(tmp_path):
    model = fewer_weights(mode="training", config=ShapesConfig(), model_dir=str(tmp_path))
    model.set_log_dir(str(tmp_path / "shapes20180527T1234" / "mask_rcnn_shapes_0008.h5"))
    assert model.epoch == 8 and model.log_dir == str(tmp_path / "shapes20180527T1234")
    assert model.checkpoint_path == model.log_dir + "/mask_rcnn_shapes_{epoch:04d}.weights.h5"
    model.set_log_dir(str(tmp_path / "shapes20180527T1234" / "shapes_0008.weights.h5"))
    assert model.checkpoint_path == model.log_dir + "/shapes_{epoch:04d}.weights.h5"
    model.set_log_dir()
    assert model.epoch == 0 and os.path.basename(model.log_dir).startswith("shapes2")
    assert model.checkpoint_path.format(epoch=3).endswith("/mask_rcnn_shapes_0003.weights.h5")


def test_images_of_some_sources_are_not_augmented_in_training(tmp_path, dataset, monkeypatch):
    seen = []

    def watch(image, masks, rng):
        seen.append(image.shape)
        return image, masks

    def ask_for_a_batch(keras_model, config, batches, *others):
        _ = batches[0]
        batches.close()
        history = keras.callbacks.History()
        history.epoch = [model.epoch]
        return history

    monkeypatch.setattr(fit, "run_phase", ask_for_a_batch)
    model = fewer_weights(mode="training", config=ShapesConfig(), model_dir=str(tmp_path))
    for epoch, sources in enumerate((["shapes"], ["others"]), start=1):
        model.train(dataset, None, 0.001, epoch, "heads", watch, None, sources)
        assert bool(seen) == (sources == ["others"])


def test_classes_of_several_sources(dataset):
    class Mixed(ShapesDataset):
        pass

    mixed = Mixed(class_map={"farm.2": "shapes.1"})
    mixed.load_shapes(1, 100, 128)
    mixed.add_class("farm", 2, "field")
    mixed.add_class("farm", 5, "cow,cattle")
    mixed.add_image("farm", image_id=77, path="cow.jpg")
    mixed.prepare()
    assert mixed.class_names == ["BG", "square", "circle", "triangle", "cow"]
    assert mixed.map_source_class_id("farm.5") == 4
    assert mixed.map_source_class_id("farm.2") == 1
    assert mixed.get_source_class_id(4, "farm") == 5
    assert mixed.num_classes == 5 and mixed.image_ids.tolist() == [0, 1]
    assert mixed.source_image_link(1) == "cow.jpg" and mixed.image_info[1]["id"] == 77
    assert mixed.source_class_ids["farm"] == [0, 1, 4]
    assert set(mixed.sources) == {"", "shapes", "farm"}
    assert mixed.class_from_source_map["shapes.3"] == 3


def test_old_settings(tmp_path):
    config = ShapesConfig()
    assert config.BATCH_SIZE == 2 and config.IMAGE_META_SIZE == 12 + 4
    assert config.IMAGE_SHAPE.tolist() == [128, 128, 3] and config.MY_OWN_SETTING == "kept"
    for name, value in [("IMAGE_CHANNEL_COUNT", 3), ("IMAGE_PADDING", True)]:
        assert type("Same", (ShapesConfig,), {name: value})()
    for name, value, words in [
        ("IMAGE_CHANNEL_COUNT", 4, "IMAGE_CHANNEL_COUNT can only be 3, but is 4. Make images of"),
        ("IMAGE_PADDING", False, "IMAGE_PADDING can only be True, but is False. Set IMAGE_RESIZE"),
        ("COMPUTE_BACKBONE_SHAPE", len, "COMPUTE_BACKBONE_SHAPE can only be None, but is"),
    ]:
        with pytest.raises(ConfigError, match=words):
            type("Other", (ShapesConfig,), {name: value})()


def test_old_argument_names():
    box, mask = np.array([[2, 3, 12, 13]]), np.zeros((20, 20, 1), bool)
    mask[2:12, 3:13] = True
    np.testing.assert_array_equal(utils.extract_bboxes(mask=mask), box)
    assert utils.compute_iou(box=box[0], boxes=box, box_area=100, boxes_area=[100]) == [1]
    np.testing.assert_array_equal(utils.compute_overlaps(boxes1=box, boxes2=box), [[1]])
    assert utils.non_max_suppression(boxes=box, scores=np.ones(1), threshold=0.5).tolist() == [0]
    deltas = utils.box_refinement(box=box, gt_box=box)
    np.testing.assert_allclose(utils.apply_box_deltas(boxes=box, deltas=deltas), box)
    mini = utils.minimize_mask(bbox=box, mask=mask, mini_shape=(28, 28))
    np.testing.assert_array_equal(
        utils.expand_mask(bbox=box, mini_mask=mini, image_shape=(20, 20)), mask
    )
    np.testing.assert_array_equal(
        utils.unmold_mask(mask=np.ones((28, 28)), bbox=box[0], image_shape=(20, 20)), mask[..., 0]
    )
    normalized = utils.norm_boxes(boxes=box, shape=(20, 20))
    assert normalized.dtype == np.float32
    restored = utils.denorm_boxes(boxes=normalized, shape=(20, 20))
    assert restored.dtype == np.int32 and restored.tolist() == box.tolist()
    assert len(visualize.random_colors(N=4, bright=True)) == 4
    shapes = modellib.compute_backbone_shapes(config=Config(), image_shape=(1024, 512, 3))
    assert shapes.tolist() == [[256, 128], [128, 64], [64, 32], [32, 16], [16, 8]]
    image, _, scale, *_ = utils.resize_image(
        image=picture(40, 50), min_dim=64, max_dim=128, min_scale=None, mode="square"
    )
    assert image.shape == (128, 128, 3) and scale == 1.6

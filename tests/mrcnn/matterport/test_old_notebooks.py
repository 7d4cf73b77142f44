"""The calls of Matterport's notebooks in their order: data, model, weights, one after the other.

What the single calls answer is tested elsewhere; here the answer of one is what the next is given.
"""

import numpy as np
import pytest
from matplotlib import pyplot as plt

import mrcnn.model as modellib
from mrcnn import utils, visualize
from mrcnn.model import log
from mrcnn.visualize import display_images
from tiny import BoxesDataset, TinyConfig, tiny_model


class InferenceConfig(TinyConfig):
    GPU_COUNT = 1
    IMAGES_PER_GPU = 1


@pytest.fixture(scope="module")
def dataset():
    return BoxesDataset()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model("inference", tmp_path_factory.mktemp("logs"), IMAGES_PER_GPU=1)


@pytest.fixture(autouse=True)
def no_open_figures():
    plt.switch_backend("agg")
    yield
    plt.close("all")


def get_ax(rows=1, cols=1, size=4):
    return plt.subplots(rows, cols, figsize=(size * cols, size * rows))[1]


def tensor(model, layer):
    return model.keras_model.get_layer(layer).output


def picked(values, ids):
    """Row by row the values of the row's class."""
    return values[np.arange(len(ids)), ids]


# --- the data ---------------------------------------------------------------------------------


def test_images_masks_and_anchors(dataset):
    config = InferenceConfig()
    image, (mask, class_ids) = dataset.load_image(1), dataset.load_mask(1)
    image, window, scale, padding, _ = utils.resize_image(
        image,
        min_dim=config.IMAGE_MIN_DIM,
        max_dim=config.IMAGE_MAX_DIM,
        mode=config.IMAGE_RESIZE_MODE,
    )
    mask = utils.resize_mask(mask, scale, padding)
    bbox = utils.extract_bboxes(mask)
    log("image", image)
    visualize.display_instances(image, bbox, mask, class_ids, dataset.class_names)
    assert bbox.min() >= 0 and (bbox[:, 2] <= window[2]).all()
    image, _, class_ids, bbox, mini = modellib.load_image_gt(
        dataset, config, 1, augment=True, use_mini_mask=True
    )
    display_images([image] + [mini[:, :, i] for i in range(min(mini.shape[-1], 7))])
    mask = utils.expand_mask(bbox, mini, image.shape)
    visualize.display_instances(image, bbox, mask, class_ids, dataset.class_names)
    shapes = modellib.compute_backbone_shapes(config, config.IMAGE_SHAPE)
    anchors = utils.generate_pyramid_anchors(
        config.RPN_ANCHOR_SCALES,
        config.RPN_ANCHOR_RATIOS,
        shapes,
        config.BACKBONE_STRIDES,
        config.RPN_ANCHOR_STRIDE,
    )
    assert len(anchors) == 3 * np.prod(shapes, axis=1).sum()


def test_batches_with_what_is_to_be_learnt(dataset, model):
    config = InferenceConfig()
    np.random.seed(0)  # noqa: NPY002  as a notebook does it
    generator = modellib.data_generator(
        dataset, config, shuffle=True, random_rois=2000, batch_size=4, detection_targets=True
    )
    inputs, [class_ids, deltas, masks] = next(generator)
    [normalized_images, image_meta, rpn_match, rpn_bbox, _, gt_boxes, _, _, rois] = inputs
    image_id = modellib.parse_image_meta(image_meta)["image_id"][0]
    assert dataset.image_reference(image_id) == f"box{image_id}.png"
    image = modellib.unmold_image(normalized_images[0], config)
    model.get_anchors(image.shape)
    positive = np.where(rpn_match[0] == 1)[0]
    refined = utils.apply_box_deltas(
        model.anchors[positive], rpn_bbox[0, : len(positive)] * config.RPN_BBOX_STD_DEV
    )
    visualize.draw_boxes(image, boxes=model.anchors[positive], refined_boxes=refined, ax=get_ax())
    reached = utils.compute_overlaps(refined, gt_boxes[0][gt_boxes[0].any(axis=1)])
    assert (reached.max(axis=1) > 0.99).all()
    ids = class_ids[:, :, 0][0]
    refined = utils.apply_box_deltas(
        rois[0].astype(np.float32), picked(deltas[0], ids)[:, :4] * config.BBOX_STD_DEV
    )
    specific = masks[0, np.arange(len(ids)), :, :, ids]
    visualize.draw_rois(image, rois[0], refined, specific, ids, dataset.class_names)
    framed = visualize.draw_box(image.copy(), rois[0, 0, :4].astype(np.int32), [255, 0, 0])
    framed = visualize.draw_box(framed, refined[0].astype(np.int64), [0, 255, 0])
    display_images([framed, specific[0] * 255], ["RoI", "mask"], cols=4, cmap="Blues")
    reached = utils.compute_overlaps(refined[ids > 0], gt_boxes[0])
    assert len(reached) and (reached.max(axis=1) > 0.99).all()


# --- the model --------------------------------------------------------------------------------


def test_detections_and_their_precision(dataset, model):
    image, meta, class_ids, bbox, mask = modellib.load_image_gt(
        dataset, model.config, 2, use_mini_mask=False
    )
    ax = get_ax(1)
    for r in (
        model.detect([image], verbose=1)[0],
        model.detect_molded(image[np.newaxis], meta[np.newaxis])[0],
    ):
        truth = (bbox, class_ids, mask)
        found = (r["rois"], r["class_ids"], r["scores"], r["masks"])
        visualize.display_instances(image, r["rois"], r["masks"], r["class_ids"],
                                    dataset.class_names, r["scores"], ax=ax)  # fmt: skip
        AP, precisions, recalls, overlaps = utils.compute_ap(*truth, *found)
        visualize.plot_precision_recall(AP, precisions, recalls)
        visualize.plot_overlaps(
            class_ids, r["class_ids"], r["scores"], overlaps, dataset.class_names
        )
        assert overlaps.shape == (len(r["rois"]), len(bbox))
        assert 0 <= utils.compute_ap_range(*truth, *found, verbose=0) <= 1
        visualize.display_differences(image, *truth, *found, dataset.class_names, ax=get_ax(),
                                      show_box=False, show_mask=False)  # fmt: skip


def test_from_anchors_to_proposals(dataset, model):
    image, _, class_ids, bbox, _ = modellib.load_image_gt(dataset, model.config, 2)
    model.get_anchors(image.shape)
    match, deltas = modellib.build_rpn_targets(
        image.shape, model.anchors, class_ids, bbox, model.config
    )
    positive = model.anchors[np.where(match[:] == 1)[0]]
    refined = utils.apply_box_deltas(
        positive, deltas[: len(positive)] * model.config.RPN_BBOX_STD_DEV
    )
    visualize.draw_boxes(image, boxes=positive, refined_boxes=refined, ax=get_ax())
    pillar = tensor(model, "ROI")
    nms = model.ancestor(pillar, "ROI/rpn_non_max_suppression:0")
    rpn = model.run_graph(
        [image],
        [
            ("rpn_class", tensor(model, "rpn_class")),
            ("pre_nms_anchors", model.ancestor(pillar, "ROI/pre_nms_anchors:0")),
            ("refined_anchors", model.ancestor(pillar, "ROI/refined_anchors:0")),
            ("refined_anchors_clipped", model.ancestor(pillar, "ROI/refined_anchors_clipped:0")),
            ("post_nms_anchor_ix", nms),
            ("proposals", pillar),
        ],
    )
    best = np.argsort(rpn["rpn_class"][:, :, 1].flatten())[::-1][:100]
    visualize.draw_boxes(image, boxes=model.anchors[best], ax=get_ax())
    before, after, clipped = (
        utils.denorm_boxes(rpn[name][0], image.shape[:2])
        for name in ("pre_nms_anchors", "refined_anchors", "refined_anchors_clipped")
    )
    ax = get_ax(1, 2)
    visualize.draw_boxes(image, boxes=before[:50], refined_boxes=after[:50], ax=ax[0])
    visualize.draw_boxes(image, refined_boxes=clipped[rpn["post_nms_anchor_ix"][:50]], ax=ax[1])
    h, w = model.config.IMAGE_SHAPE[:2]
    proposals = rpn["proposals"][0, :50] * np.array([h, w, h, w])
    visualize.draw_boxes(image, refined_boxes=proposals, ax=get_ax())
    recall, positive_ids = utils.compute_recall(model.anchors, bbox, 0.3)
    assert recall == 1 and positive_ids.shape[0] >= 2


def test_from_proposals_to_masks(dataset, model):
    image, *_ = modellib.load_image_gt(dataset, model.config, 2)
    mrcnn = model.run_graph(
        [image],
        [
            ("proposals", tensor(model, "ROI")),
            ("probs", tensor(model, "mrcnn_class")),
            ("deltas", tensor(model, "mrcnn_bbox")),
            ("masks", tensor(model, "mrcnn_mask")),
            ("detections", tensor(model, "mrcnn_detection")),
        ],
    )
    det_ids = np.trim_zeros(mrcnn["detections"][0, :, 4].astype(np.int32), "b")
    assert len(det_ids)
    boxes = utils.denorm_boxes(mrcnn["detections"][0, : len(det_ids), :4], image.shape[:2])
    captions = [dataset.class_names[class_id] for class_id in det_ids]
    visualize.draw_boxes(image, refined_boxes=boxes, visibilities=[2] * len(boxes),
                         captions=captions, title="Detections", ax=get_ax())  # fmt: skip
    h, w = model.config.IMAGE_SHAPE[:2]
    proposals = np.around(mrcnn["proposals"][0] * np.array([h, w, h, w])).astype(np.int32)
    ids = np.argmax(mrcnn["probs"][0], axis=1)
    scores = picked(mrcnn["probs"][0], ids)
    refined = utils.apply_box_deltas(
        proposals, picked(mrcnn["deltas"][0], ids) * model.config.BBOX_STD_DEV
    ).astype(np.int32)
    visualize.draw_boxes(image, boxes=proposals, refined_boxes=refined, ax=get_ax(),
                         visibilities=np.where(ids > 0, 1, 0))  # fmt: skip
    keep = np.where(ids > 0)[0]
    kept = utils.non_max_suppression(refined[keep], scores[keep], 0.3)
    assert 0 < len(kept) <= len(keep)
    specific = np.array([mrcnn["masks"][0, i, :, :, c] for i, c in enumerate(det_ids)])
    full = np.array(
        [utils.unmold_mask(mask, boxes[i], image.shape) for i, mask in enumerate(specific)]
    )
    display_images(specific[:4] * 255, cmap="Blues", interpolation="none")
    display_images(full[:4] * 255, cmap="Blues", interpolation="none")
    (expected,) = model.detect([image])
    np.testing.assert_array_equal(np.moveaxis(full, 0, -1), expected["masks"])


# --- the weights ------------------------------------------------------------------------------


def test_histograms_of_weights_and_activations(model, capsys):
    visualize.display_weight_stats(model)
    assert "res2a_branch2a/kernel" in capsys.readouterr().out
    layers = [
        layer for layer in model.get_trainable_layers() if layer.__class__.__name__ in ["Conv2D"]
    ]
    assert {"conv1", "res2a_branch2a", "fpn_c2p2"} <= {layer.name for layer in layers}
    _, ax = plt.subplots(len(layers), 2, figsize=(10, 3 * len(layers)))
    for number, layer in enumerate(layers):
        for w, weight in enumerate(layer.get_weights()):
            ax[number, w].set_title(layer.weights[w].name)
            ax[number, w].hist(weight[w].flatten(), 50)
    names = ["input_image", "res2a_out", "rpn_bbox", "ROI"]
    found = model.run_graph(
        [np.zeros((90, 70, 3), np.uint8)], [(name, tensor(model, name)) for name in names]
    )
    plt.imshow(modellib.unmold_image(found["input_image"][0], model.config))
    display_images(np.transpose(found["res2a_out"][0, :, :, :4], [2, 0, 1]), cols=4)
    plt.hist(found["rpn_bbox"][0, :, 0], 50)
    plt.scatter(found["ROI"][0, :, 0], found["ROI"][0, :, 1])

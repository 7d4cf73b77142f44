"""What flows through the network, to look at: values of layers and of the steps between them."""

import logging
from collections import OrderedDict

import keras
import numpy as np
from keras import ops

from mrcnn.data.preprocessing import windows_of
from mrcnn.matterport.layer_names import Intermediate, NamedModel
from mrcnn.matterport.molding import geometries_of, mold_inputs
from mrcnn.modeling.compiled_functions import compiled
from mrcnn.modeling.proposals import UNIT_WINDOW
from mrcnn.ops import anchors, boxes
from mrcnn.ops.gather import top_k
from mrcnn.ops.nms import first_kept, suppress
from mrcnn.weights.hdf5 import named_variables

logger = logging.getLogger(__name__)

# Nodes of TensorFlow 1's graph, whose values can be computed from those of the layers.
STEPS = ("pre_nms_anchors", "refined_anchors", "refined_anchors_clipped", "post_nms_anchor_ix")
NODES = {f"ROI/{step}": step for step in STEPS[:3]}
NMS_NODE = "ROI/rpn_non_max_suppression"  # and what lies below: it has had several names


def log(text, array=None):
    """Print a text and, for an array, its shape, range and type."""
    if array is not None:
        array = np.asarray(array)
        span = f"{array.min():10.5f} {array.max():10.5f}" if array.size else f"{'empty':>21}"
        text = f"{text:25} {array.shape!s:20} {span} {array.dtype}"
    print(text)


def ancestor(name):
    """The value of a node of Matterport's graph, for `run_graph`; None if there is no such node.

    Args:
        name: say "ROI/refined_anchors:0". Known are the steps from anchors to RoIs.
    """
    node = name.removesuffix(":0")
    if node == NMS_NODE or node.startswith(f"{NMS_NODE}/"):
        return Intermediate("post_nms_anchor_ix")
    if node in NODES:
        return Intermediate(NODES[node])
    logger.warning(
        "Keras 3 has no graph of named nodes, so there is no ancestor %r. Known are %s and %s:0; "
        "everything that is a layer: keras_model.get_layer(name).output.",
        name,
        ", ".join(f"{known}:0" for known in NODES),
        NMS_NODE,
    )
    return None


def run_graph(model, images, outputs, image_metas=None):
    """Values of layers for some images.

    Args:
        model: `mrcnn.model.MaskRCNN`.
        images: arrays [height, width(, channels)] or paths; with image_metas: molded images
            [B, h, w, 3].
        outputs: [(name, tensor)]; tensors of `model.keras_model.get_layer(...).output` or of
            `ancestor`.
        image_metas: [B, 12 + classes] of `mold_inputs`, for molded images.

    Returns:
        OrderedDict: the array of each name. Prints their shapes and ranges.

    Raises:
        ValueError: an output is none, or needs inputs that images do not give.
    """
    outputs = {key: Intermediate.from_tensor(each) for key, each in dict(outputs).items()}
    for name, tensor in outputs.items():
        if not isinstance(tensor, Intermediate | keras.KerasTensor):
            raise ValueError(
                f"The output {name!r} must be a tensor of keras_model or a value of ancestor(), "
                f"but is {tensor!r}."
            )
    molded = images
    if image_metas is None:
        molded, image_metas, _ = mold_inputs(images, model.config)
    molded = np.asarray(molded)
    keras_model, tensors = _for_shape(model, tuple(molded.shape[1:3]), outputs)
    select = keras_model.get_layer("ROI") if _has_steps(outputs) else None
    if select is not None:
        tensors |= {name: keras_model.get_layer(name).output for name in ("rpn_class", "rpn_bbox")}
    values = _run(keras_model, tensors, _inputs(model.config, molded, image_metas))
    computed = {
        "input_image": lambda: molded.astype(np.float32),
        "input_image_meta": lambda: np.asarray(image_metas, np.float32),
        "input_anchors": lambda: _anchors_of(model.config, molded),
    }
    if select is not None:
        steps = proposal_steps(select, values["rpn_class"], values["rpn_bbox"])
        computed |= {name: lambda name=name: steps[name] for name in steps}
    found = OrderedDict()
    for name, tensor in outputs.items():
        is_step = isinstance(tensor, Intermediate)
        found[name] = computed[tensor.name]() if is_step else values[f"output {name}"]
        log(name, found[name])
    return found


def _has_steps(outputs):
    names = {each.name for each in outputs.values() if isinstance(each, Intermediate)}
    return not names.isdisjoint(STEPS)


def _inputs(config, molded, image_metas):
    return {
        "images": (molded + config.MEAN_PIXEL).astype(np.float32),
        "windows": windows_of(geometries_of(image_metas)).astype(np.float32),
        "image_metas": np.asarray(image_metas, np.float32),
    }


def _anchors_of(config, molded):
    shape = molded.shape[1:3]
    normalized = boxes.normalize(anchors.pyramid_anchors(config, shape), shape)
    return np.broadcast_to(normalized, (len(molded), *normalized.shape))


def _for_shape(model, shape, outputs):
    """A model for images of this shape, and {"output <name>": its tensor}."""
    own = model.keras_model
    tensors = {
        f"output {name}": tensor
        for name, tensor in outputs.items()
        if isinstance(tensor, keras.KerasTensor)
    }
    if tuple(own.input["images"].shape[1:3]) == shape:
        return own, tensors
    names = {key: _layer_of(own, tensor, key) for key, tensor in tensors.items()}
    other = model.make_network(model.config).detection_model(shape)
    other = NamedModel(inputs=other.input, outputs=other.output)
    values = named_variables(own)
    for name, variable in named_variables(other).items():
        variable.assign(values[name])
    return other, {key: other.get_layer(name).output for key, name in names.items()}


def _layer_of(model, tensor, key):
    """Name of the layer whose output a tensor is."""
    heads = model.head_outputs().items()
    for name, output in [*heads, *((layer.name, layer.output) for layer in model.layers)]:
        if output is tensor:
            return name
    raise ValueError(
        f"The {key} is no output of a layer, so it cannot be had for images of another shape than "
        f"{tuple(model.input['images'].shape[1:3])}, for which keras_model was made."
    )


def _run(keras_model, tensors, available):
    if not tensors:
        return {}
    inputs = {name: each for name, each in keras_model.input.items() if name in available}
    try:
        part = keras.Model(inputs, tensors)
    except ValueError as error:
        lacking = sorted(set(keras_model.input) - set(available))
        raise ValueError(
            f"run_graph gives the model images and their metas only, but an output needs more: "
            f"this one also takes {', '.join(lacking) or 'inputs of another model'}. Make the "
            f'model in mode "inference". Keras says: {error}'
        ) from error
    values = compiled(part)({name: available[name] for name in inputs})
    return {name: keras.ops.convert_to_numpy(value) for name, value in values.items()}


def proposal_steps(layer, rpn_class, rpn_bbox):
    """The intermediate values of a `mrcnn.modeling.proposals.Proposals` layer, computed again.

    Args:
        layer: the layer.
        rpn_class: float32 [batch, A, 2]; rpn_bbox: float32 [batch, A, 4], its inputs.

    Returns:
        dict of pre_nms_anchors, refined_anchors, refined_anchors_clipped: float32 [batch, K, 4],
        normalised, best first; post_nms_anchor_ix: int32 [n], which of the K boxes of the first
        image become RoIs.
    """
    count = min(layer.pre_limit, rpn_class.shape[1])
    _, positions = top_k(ops.convert_to_tensor(rpn_class[..., 1]), count)
    positions = ops.convert_to_numpy(positions).astype(np.int64)
    anchors = layer.anchors_normalized[positions]
    deltas = np.take_along_axis(rpn_bbox, positions[..., None], axis=1) * layer.deviations
    refined = boxes.decode_deltas(anchors, deltas).astype(np.float32)
    clipped = boxes.clip(refined, UNIT_WINDOW)
    first = ops.convert_to_tensor(clipped[:1])
    kept = suppress(first, ops.ones_like(first[..., 0], dtype="bool"), layer.threshold)
    places, valid = (ops.convert_to_numpy(each[0]) for each in first_kept(kept, layer.limit))
    return {
        "pre_nms_anchors": anchors,
        "refined_anchors": refined,
        "refined_anchors_clipped": clipped,
        "post_nms_anchor_ix": places[valid],
    }

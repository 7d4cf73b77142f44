"""Weights as other programs name them: every name of theirs spelled out, few channels each."""

import pickle
import struct

import numpy as np

BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
ANCHORS, CLASSES = 3, 5


def numbers(name, *shape):
    """Numbers that differ from name to name; every vector has a negative zero."""
    array = np.random.default_rng(sum(name.encode())).normal(size=shape).astype(np.float32)
    if array.ndim == 1:
        array[0] = -0.0
    return array


def pytorch_blobs(backbone):
    """The state_dict of pytorch-mask-rcnn."""
    blobs = {}

    def convolution(name, outputs, *rest):
        blobs[f"{name}.weight"] = numbers(name, outputs, *rest)
        blobs[f"{name}.bias"] = numbers(f"{name} b", outputs)

    def norm(name, outputs):
        for kind in ("weight", "bias", "running_mean"):
            blobs[f"{name}.{kind}"] = numbers(f"{name} {kind}", outputs)
        blobs[f"{name}.running_var"] = np.abs(numbers(f"{name} v", outputs))

    convolution("fpn.C1.0", 4, 3, 7, 7)
    norm("fpn.C1.1", 4)
    for stage, blocks in zip((2, 3, 4, 5), BLOCKS[backbone], strict=True):
        for block in range(blocks):
            for position, size in ((1, 1), (2, 3), (3, 1)):
                convolution(f"fpn.C{stage}.{block}.conv{position}", 4, 2, size, size)
                norm(f"fpn.C{stage}.{block}.bn{position}", 4)
        convolution(f"fpn.C{stage}.0.downsample.0", 4, 2, 1, 1)
        norm(f"fpn.C{stage}.0.downsample.1", 4)
    for level in (2, 3, 4, 5):
        convolution(f"fpn.P{level}_conv1", 4, 2, 1, 1)
        convolution(f"fpn.P{level}_conv2.1", 4, 4, 3, 3)
    convolution("rpn.conv_shared", 6, 4, 3, 3)
    convolution("rpn.conv_class", 2 * ANCHORS, 6, 1, 1)
    convolution("rpn.conv_bbox", 4 * ANCHORS, 6, 1, 1)
    convolution("classifier.conv1", 8, 4, 7, 7)
    convolution("classifier.conv2", 8, 8, 1, 1)
    norm("classifier.bn1", 8)
    norm("classifier.bn2", 8)
    convolution("classifier.linear_class", CLASSES, 8)
    convolution("classifier.linear_bbox", 4 * CLASSES, 8)
    for number in (1, 2, 3, 4):
        convolution(f"mask.conv{number}", 4, 4, 3, 3)
        norm(f"mask.bn{number}", 4)
    blobs["mask.deconv.weight"] = numbers("deconv", 4, 5, 2, 2)
    blobs["mask.deconv.bias"] = numbers("deconv b", 5)
    convolution("mask.conv5", CLASSES, 5, 1, 1)
    return blobs


def detectron_blobs(backbone, pyramid):
    """The blobs of Detectron's Mask R-CNN."""
    blobs = {}

    def convolution(name, outputs, *rest, bias=True):
        blobs[f"{name}_w"] = numbers(name, outputs, *rest)
        if bias:
            blobs[f"{name}_b"] = numbers(f"{name} b", outputs)

    def affine(name, outputs):
        blobs[f"{name}_s"] = numbers(f"{name} s", outputs)
        blobs[f"{name}_b"] = numbers(f"{name} b", outputs)

    convolution("conv1", 4, 3, 7, 7, bias=False)
    affine("res_conv1_bn", 4)
    for stage, blocks in zip((2, 3, 4, 5), BLOCKS[backbone], strict=True):
        for block in range(blocks):
            branches = [("2a", 1), ("2b", 3), ("2c", 1)] + ([("1", 1)] if block == 0 else [])
            for branch, size in branches:
                name = f"res{stage}_{block}_branch{branch}"
                convolution(name, 4, 2, size, size, bias=False)
                affine(f"{name}_bn", 4)
    level = "_fpn2" if pyramid else ""
    convolution(f"conv_rpn{level}", 4, 4, 3, 3)
    convolution(f"rpn_cls_logits{level}", ANCHORS, 4, 1, 1)
    convolution(f"rpn_bbox_pred{level}", 4 * ANCHORS, 4, 1, 1)
    convolution("cls_score", CLASSES, 8)
    convolution("bbox_pred", 4 * CLASSES, 8)
    blobs["conv5_mask_w"] = numbers("deconv", 4, 5, 2, 2)
    blobs["conv5_mask_b"] = numbers("deconv b", 5)
    convolution("mask_fcn_logits", CLASSES, 5, 1, 1)
    if pyramid:
        ends = (2, 3, 5 if backbone == "resnet50" else 22, 2)
        for stage, last in zip((2, 3, 4, 5), ends, strict=True):
            lateral = "" if stage == 5 else "_lateral"
            convolution(f"fpn_inner_res{stage}_{last}_sum{lateral}", 4, 2, 1, 1)
            convolution(f"fpn_res{stage}_{last}_sum", 4, 4, 3, 3)
        convolution("fc6", 8, 4 * 7 * 7)
        convolution("fc7", 8, 8)
        for number in (1, 2, 3, 4):
            convolution(f"_[mask]_fcn{number}", 4, 4, 3, 3)
    return blobs


def assert_same_bits(found, expected):
    """Two dicts of arrays are the same, the signs of zeros included."""
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape, name
        assert found[name].tobytes() == array.tobytes(), name


# --- pickles instruction by instruction, independent of the writer --------------------------------


def text(value):
    """An str, as protocol 2 writes it."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def byte_string(value):
    """An str of Python 2."""
    return b"T" + struct.pack("<i", len(value)) + value


def python_2_array(array):
    """A float32 array as Python 2 and numpy 1 pickle it with protocol 2."""
    return b"".join(
        [
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR",
            b"(K\x01(",
            *(b"M" + struct.pack("<H", length) for length in array.shape),
            b"tcnumpy\ndtype\n(U\x02f4K\x00K\x01tR",
            b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
            b"\x89" + byte_string(array.astype("<f4").tobytes()) + b"tb",
        ]
    )


def python_2_pickle(arrays):
    """{"blobs": arrays, "cfg": text} as Detectron writes it."""
    items = (byte_string(name.encode()) + python_2_array(a) for name, a in arrays.items())
    blobs = b"}(" + b"".join(items) + b"u"
    return b"\x80\x02}(" + b"U\x05blobs" + blobs + b"U\x03cfgU\x04A: 1u."


def torch_tensor(key, shape, view=b""):
    """A float32 tensor of its own storage; `view` is what the stream adds about storages."""
    count = int(np.prod(shape))
    strides = np.cumprod([1, *reversed(shape)])[:-1][::-1]

    def lengths(values):
        return b"(" + b"".join(b"J" + struct.pack("<i", n) for n in values) + b"t"

    return b"".join(
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n((",
            text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu"),
            b"J" + struct.pack("<i", count) + view + b"tQ",
            b"K\x00" + lengths(shape) + lengths(strides),
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
    )


def torch_pickle(arrays, view=b""):
    """The pickle of a state_dict, as PyTorch writes it: an OrderedDict with a version."""
    items = (
        text(name) + torch_tensor(str(number), array.shape, view)
        for number, (name, array) in enumerate(arrays.items())
    )
    version = b"}" + text("_metadata") + b"ccollections\nOrderedDict\n)Rsb"
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + b"".join(items) + b"u" + version + b"."


def torch_stream(arrays):
    """A .pth file as PyTorch wrote it before 1.6."""
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    start = [0x1950A86A20F9469CFC6C, 1001, system]
    keys = sorted(map(str, range(len(arrays))))
    values = list(arrays.values())
    storages = (
        struct.pack("<q", values[int(key)].size) + values[int(key)].astype("<f4").tobytes()
        for key in keys
    )
    return b"".join(
        [
            *(pickle.dumps(each, 2) for each in start),
            torch_pickle(arrays, view=b"N"),
            pickle.dumps(keys, 2),
            *storages,
        ]
    )

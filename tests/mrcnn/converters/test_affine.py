"""A trained normalisation becomes the scale and shift that do the same."""

import numpy as np
import pytest

from foreign_weights import detectron_blobs
from mrcnn.converters.affine import without_constants
from mrcnn.converters.detectron import detectron_table
from mrcnn.converters.translate import to_ours

RNG = np.random.default_rng(0)


@pytest.fixture
def tensors():
    return to_ours(detectron_blobs("resnet50", True), detectron_table("resnet50", True), "W")[0]


def trained(tensors, *names):
    """The same with these tensors moved."""
    moved = {name: tensors[name] + RNG.uniform(0.1, 1, tensors[name].shape) for name in names}
    return tensors | {name: array.astype(np.float32) for name, array in moved.items()}


def normalized(tensors, convolution, norm, outputs):
    """What a normalised convolution makes of sums that its kernel gave, in float64."""
    gamma, beta, mean, variance = (
        tensors[f"{norm}/{kind}"].astype(np.float64)
        for kind in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    return (outputs + tensors[f"{convolution}/bias"] - mean) / np.sqrt(
        variance + 1e-3
    ) * gamma + beta


@pytest.mark.parametrize("kind", ["moving_mean", "moving_variance", "bias", "all"])
def test_the_backbone_s_goes_into_scale_and_shift(tensors, kind):
    constants = detectron_table("resnet50", True).constants
    names = ["bn3a_branch1/moving_mean", "bn3a_branch1/moving_variance", "res3a_branch1/bias"]
    names = [name for name in names if kind in (name.split("/")[1], "all")]
    moved = trained(tensors, *names)
    reduced = without_constants(moved, constants)
    sums = RNG.normal(size=(10, 4))
    expected = normalized(moved, "res3a_branch1", "bn3a_branch1", sums)
    found = sums * reduced["bn3a_branch1/gamma"] + reduced["bn3a_branch1/beta"]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert not set(reduced) & set(constants)
    kernel = "res3a_branch1/kernel"
    np.testing.assert_array_equal(reduced[kernel], tensors[kernel])


def test_a_head_s_goes_into_the_convolution(tensors):
    constants = detectron_table("resnet50", True).constants
    kinds = ("gamma", "beta", "moving_mean", "moving_variance")
    moved = trained(tensors, *(f"mrcnn_mask_bn2/{kind}" for kind in kinds))
    reduced = without_constants(moved, constants)
    patches = RNG.normal(size=(10, 3 * 3 * 4))
    kernel, bias = moved["mrcnn_mask_conv2/kernel"], reduced["mrcnn_mask_conv2/bias"]
    sums = patches @ kernel.reshape(-1, 4)
    expected = normalized(moved, "mrcnn_mask_conv2", "mrcnn_mask_bn2", sums)
    found = patches @ reduced["mrcnn_mask_conv2/kernel"].reshape(-1, 4) + bias
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    untouched = "mrcnn_mask_conv1/kernel"
    np.testing.assert_array_equal(reduced[untouched], tensors[untouched])

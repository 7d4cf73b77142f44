import keras
import numpy as np
import pytest
from keras import ops

from crops import slow_crop
from detectron_program import roi_align
from mrcnn.ops.roi_align import PyramidAverages, PyramidRoIAlign, align_by_gather, roi_levels
from on_backend import compile_function, gradient

pytestmark = pytest.mark.backends
IMAGE = (1024, 1024)


def square(side, image_side=1024):
    """A normalised square RoI with sides in pixels."""
    return [0.1, 0.1, 0.1 + side / image_side, 0.1 + side / image_side]


def level_of(roi, image_shape):
    """Equation 1 of the pyramid paper, in plain numbers."""
    side = np.sqrt(max((roi[2] - roi[0]) * (roi[3] - roi[1]), 0) * np.prod(image_shape))
    return int(np.clip(np.round(4 + np.log2(max(side, 1e-9) / 224)), 2, 5))


@pytest.fixture
def pyramid():
    rng = np.random.default_rng(0)
    return [
        rng.normal(size=(2, 64 // stride, 128 // stride, 3)).astype(np.float32)
        for stride in (4, 8, 16, 32)
    ]


@pytest.fixture
def rois():
    """In an image of 512 x 1024 pixels: small ones, whole images, nothing, of all levels."""
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 0.5, (2, 40, 2))
    sides = np.exp(rng.uniform(np.log(0.02), 0, (2, 40, 2)))
    rois = np.clip(np.concatenate([corners, corners + sides], axis=-1), 0, 1)
    rois[:, 0], rois[:, 1] = [0, 0, 1, 1], 0
    return rois.astype(np.float32)


@pytest.mark.parametrize(
    ("side", "level"),
    [(224, 4), (112, 3), (448, 5), (56, 2), (20, 2), (920, 5), (0, 2), (159, 4), (158, 3)],
)
def test_level_by_hand(side, level):
    found = roi_levels(ops.array([square(side)], "float32"), IMAGE)
    np.testing.assert_array_equal(ops.convert_to_numpy(found), [level])


def test_the_pyramid_of_one_image_serves_the_whole_batch(pyramid, rois):
    align, one = PyramidRoIAlign(7, (512, 1024)), [level[1:] for level in pyramid]
    expected = align([rois, *(np.repeat(level, 2, axis=0) for level in one)])
    np.testing.assert_array_equal(align([rois, *one]), expected)


def test_a_batch_whose_size_is_known_stays_known(pyramid, rois):
    shapes = []

    def align(rois, *pyramid):
        pooled = PyramidRoIAlign(7, (512, 1024))([rois, *pyramid])
        shapes.append(tuple(pooled.shape))
        return pooled

    compile_function(align)(*map(ops.array, (rois, *pyramid)))
    assert shapes == [(2, 40, 7, 7, 3)]


def test_level_depends_on_the_size_of_the_image():
    roi = ops.array([[0, 0, 0.5, 0.5]], "float32")
    levels = [int(roi_levels(roi, shape)[0]) for shape in ((256, 256), (512, 512), (1024, 1024))]
    assert levels == [3, 4, 5]


def test_level_of_a_roi_that_is_not_square():
    wide = ops.array([[0, 0, 0.25, 1]], "float32")  # 128 x 512 pixels, as much as 256 x 256
    assert int(roi_levels(wide, (512, 512, 3))[0]) == 4


@pytest.mark.parametrize("side", [np.nan, np.inf, -np.inf])
def test_boxes_of_diverged_weights_have_a_level(side):
    boxes = ops.array([[0, 0, side, side], [side, side, side, 1]], "float32")
    assert {int(level) for level in roi_levels(boxes, IMAGE)} <= {2, 3, 4, 5}


def test_every_roi_is_cut_from_its_level(pyramid, rois):
    layer = PyramidRoIAlign(7, (512, 1024))
    pooled = ops.convert_to_numpy(compile_function(layer)([rois, *pyramid]))
    levels = set()
    for image in range(2):
        for number, roi in enumerate(rois[image]):
            level = level_of(roi, (512, 1024))
            levels.add(level)
            expected = slow_crop(pyramid[level - 2][image], roi, (7, 7))
            np.testing.assert_allclose(pooled[image, number], expected, atol=1e-5)
    assert levels == {2, 3, 4, 5}


def test_levels_without_rois(pyramid):
    rois = np.tile(np.array([0, 0, 0.03, 0.03], np.float32), (2, 3, 1))
    pooled = ops.convert_to_numpy(PyramidRoIAlign(2, (512, 1024))([rois, *pyramid]))
    expected = [[slow_crop(pyramid[0][image], rois[0, 0], (2, 2))] * 3 for image in range(2)]
    np.testing.assert_allclose(pooled, expected, atol=1e-5)


def test_gather_equals_the_layer(pyramid, rois):
    expected = ops.convert_to_numpy(PyramidRoIAlign(5, (512, 1024))([rois, *pyramid]))
    flat = ops.array(rois.reshape(-1, 4))
    indices = ops.array(np.repeat([0, 1], 40), "int32")
    levels = roi_levels(flat, (512, 1024)) - 2
    pooled = align_by_gather([ops.array(level) for level in pyramid], flat, indices, levels, 5)
    pooled = ops.convert_to_numpy(pooled).reshape(expected.shape)
    np.testing.assert_allclose(pooled, expected, atol=1e-5)


def test_gradients_flow_into_the_maps_but_not_into_the_rois(pyramid, rois):
    layer = PyramidRoIAlign(3, (512, 1024))
    to_rois = gradient(lambda x: layer([x, *pyramid]), rois)
    np.testing.assert_array_equal(to_rois, 0)
    to_maps = gradient(lambda x: layer([rois, *pyramid[:3], x]), pyramid[3])
    large = sum(level_of(roi, (512, 1024)) == 5 for roi in rois.reshape(-1, 4))
    # Every sample inside of the map gives a weight of 1 to it, distributed over its neighbours.
    assert large * 3 * 3 * 3 * 0.5 < to_maps.sum() <= large * 3 * 3 * 3 + 1e-3


def test_symbolic_shape_and_configuration(pyramid):
    layer = PyramidRoIAlign(7, (64, 128, 3), name="align")
    inputs = [keras.Input((40, 4)), *(keras.Input(level.shape[1:]) for level in pyramid)]
    assert layer(inputs).shape == (None, 40, 7, 7, 3)
    again = PyramidRoIAlign.from_config(layer.get_config())
    assert (again.name, again.pool_size, again.image_shape) == ("align", 7, (64, 128))


class TestAverages:
    """RoIAlign as Detectron's, on levels whose sizes and strides fit an image."""

    SHAPE = (256, 512)

    def pooled(self, rois):
        """Boxes (x1, y1, x2, y2), x2 and y2 inside: what the layer gives, and what it should."""
        rng = np.random.default_rng(0)
        sizes = [(1, 256 // stride, 512 // stride, 3) for stride in (4, 8, 16, 32)]
        pyramid = [rng.normal(size=size).astype(np.float32) for size in sizes]
        rois = np.array(rois, np.float64)
        scale = np.array([256, 512, 256, 512])
        ours = ((rois + np.array([0, 0, 1, 1]))[None, :, [1, 0, 3, 2]] / scale).astype(np.float32)
        found = compile_function(PyramidAverages(3, self.SHAPE))([ours, *pyramid])
        side = np.sqrt((rois[:, 2] - rois[:, 0] + 1) * (rois[:, 3] - rois[:, 1] + 1))
        levels = np.clip(np.floor(4 + np.log2(side / 224 + 1e-6)), 2, 5).astype(int)
        expected = [
            roi_align(pyramid[level - 2][0].transpose(2, 0, 1), roi, 2.0**-level, 3, 2)
            for level, roi in zip(levels, rois, strict=True)
        ]
        return ops.convert_to_numpy(found)[0], np.transpose(expected, (0, 2, 3, 1)), levels

    def test_against_loops(self):
        rng = np.random.default_rng(1)
        corners = rng.uniform(0, [400, 200], (12, 2))
        sides = rng.uniform(0, [512, 256] - corners - 1)
        rois = np.hstack([corners, corners + sides])
        odd = [[0, 0, 511, 255], [7, 7, 7, 7], [509, 253, 511, 255], [31, 15, 254, 238]]
        found, expected, levels = self.pooled([*rois, *odd, [0, 5, 511, 120]])
        assert set(levels) == {2, 3, 4}
        np.testing.assert_allclose(found, expected, atol=1e-4)

    def test_a_level_begins_at_its_canonical_size(self):
        """224 pixels belong to level 4, a pixel less to level 3, where others round to 4."""
        _, _, levels = self.pooled([[0, 0, 223, 223], [0, 0, 222, 222]])
        found = roi_levels(
            ops.array([[0, 0, 224 / 256, 224 / 512], [0, 0, 223 / 256, 223 / 512]], "float32"),
            self.SHAPE,
            floor=True,
        )
        np.testing.assert_array_equal(ops.convert_to_numpy(found), levels)
        np.testing.assert_array_equal(levels, [4, 3])

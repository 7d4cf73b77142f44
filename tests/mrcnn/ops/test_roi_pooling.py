import keras
import numpy as np
import pytest
from keras import ops

from crops import slow_crop
from detectron_program import roi_align
from mrcnn.ops.roi_pooling import MapAverages, MapCrops, MapMaxima
from on_backend import compile_function, gradient

pytestmark = [pytest.mark.backends, pytest.mark.long_on_jax]
IMAGE, ROWS, COLUMNS = (320, 512), 20, 32  # 16 pixels a cell
EVERY = pytest.mark.parametrize("pooling", [MapCrops, MapAverages, MapMaxima])
# (x1, y1, x2, y2), pixels, x2 and y2 inside: usual, a pixel, at the border, long, the whole image.
ROIS = np.float64(
    [
        [33.3, 60.1, 210.7, 250.2],
        [100, 100, 100, 100],
        [498.7, 301.3, 511, 319],
        [0, 100, 511, 109],
        [0, 0, 511, 319],
        [250, 3, 259, 317],
        [7.9, 8.1, 23.9, 24.1],
    ]
)


@pytest.fixture
def maps():
    return np.random.default_rng(0).normal(size=(2, ROWS, COLUMNS, 3)).astype(np.float32)


def normalized(rois, edges):
    """As the network has them: [2, R, 4], the other way round for the second image."""
    height, width = IMAGE
    scale = [height, width] * 2 if edges else [height - 1, width - 1] * 2
    ours = rois[:, [1, 0, 3, 2]] + (np.array([0, 0, 1, 1]) if edges else 0)
    return np.stack([ours / scale, ours[::-1] / scale]).astype(np.float32)


def pool(pooling, maps, size=14, step=2, edges=True):
    layer = pooling(size, IMAGE, step, edges)
    found = compile_function(lambda rois, maps: layer([rois, maps]))(normalized(ROIS, edges), maps)
    return ops.convert_to_numpy(found)


def expected_of(slow, maps, step):
    """A slow function of a map [channels, rows, columns] and a RoI, for all of `pool`."""
    pooled = [
        [slow(maps[image].transpose(2, 0, 1), roi) for roi in rois]
        for image, rois in enumerate((ROIS, ROIS[::-1]))
    ]
    return np.array(pooled).transpose(0, 1, 3, 4, 2)[:, :, ::step, ::step]


def slow_maxima(features, roi, cells):
    """RoI max pooling, cell by cell."""
    x1, y1, x2, y2 = (int(np.floor(side / 16 + 0.5)) for side in roi)
    pooled = np.zeros((len(features), cells, cells))
    for i in range(cells):
        for j in range(cells):
            top = max(y1 + i * (y2 - y1 + 1) // cells, 0)
            left = max(x1 + j * (x2 - x1 + 1) // cells, 0)
            bottom = y1 - (-(i + 1) * (y2 - y1 + 1) // cells)
            right = x1 - (-(j + 1) * (x2 - x1 + 1) // cells)
            part = features[:, top:bottom, left:right]
            if part.size:
                pooled[:, i, j] = part.max(axis=(1, 2))
    return pooled


@pytest.mark.parametrize(("size", "step", "edges"), [(14, 2, True), (14, 1, False), (6, 2, True)])
class TestAgainstLoops:
    def test_averages(self, maps, size, step, edges):
        expected = expected_of(lambda *each: roi_align(*each, 1 / 16, size, 0), maps, step)
        found = pool(MapAverages, maps, size, step, edges)
        np.testing.assert_allclose(found, expected, atol=1e-4)

    def test_maxima(self, maps, size, step, edges):
        expected = expected_of(lambda *each: slow_maxima(*each, size), maps, step)
        if size == 14:
            assert (expected == 0).all(axis=-1).any()  # cells without a pixel
        np.testing.assert_allclose(pool(MapMaxima, maps, size, step, edges), expected)

    def test_crops(self, maps, size, step, edges):
        rois = normalized(ROIS, edges)
        expected = [
            [slow_crop(maps[image], roi, (size, size)) for roi in rois[image]] for image in (0, 1)
        ]
        found = pool(MapCrops, maps, size, step, edges)
        inside = slice(0, -1 if step == 1 else None)  # rounding decides about the last, at 1
        expected = np.array(expected)[:, :, ::step, ::step][:, :, inside, inside]
        np.testing.assert_allclose(found[:, :, inside, inside], expected, atol=1e-4)


@EVERY
def test_gradients_flow_into_the_map_but_not_into_the_rois(pooling, maps):
    layer, rois = pooling(14, IMAGE, 2, True), normalized(ROIS[:1], True)
    to_rois = gradient(lambda x: layer([x, maps]), rois)
    np.testing.assert_array_equal(to_rois, 0)
    to_maps = gradient(lambda x: layer([rois, x]), maps)
    # The RoI touches no border: each of 7 x 7 cells gives a weight of 1 to every channel.
    np.testing.assert_allclose(to_maps.sum(axis=(1, 2)), 49, rtol=1e-4)
    assert not to_maps[:, 17:].any() and not to_maps[:, :, 15:].any()


@EVERY
def test_symbolic_shape_and_configuration(pooling):
    layer = pooling(14, (*IMAGE, 3), 2, True, name="pool")
    inputs = [keras.Input((9, 4)), keras.Input((ROWS, COLUMNS, 5))]
    assert layer(inputs).shape == (None, 9, 7, 7, 5)
    again = pooling.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()

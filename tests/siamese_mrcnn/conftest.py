"""What several tests of the package need."""

import pytest

from coco_server import serving_coco
from siamese_mrcnn.synthetic.shapes import make_shapes


@pytest.fixture(scope="session")
def shapes_folder(tmp_path_factory):
    """A small COCO folder of drawn shapes: 30 training images, 8 test images, 96 pixels."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return make_shapes(folder, train_images=30, val_images=8, image_size=96, seed=1)


@pytest.fixture
def server(monkeypatch):
    """Three small archives under COCO's paths, see `coco_server`."""
    with serving_coco(monkeypatch) as running:
        yield running


@pytest.fixture
def data(tmp_path):
    """Where COCO is to be downloaded to; not there yet."""
    return tmp_path / "coco"

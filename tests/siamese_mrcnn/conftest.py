"""What several tests of the package need."""

import pytest

from siamese_mrcnn.shapes import make_shapes


@pytest.fixture(scope="session")
def shapes_folder(tmp_path_factory):
    """A small COCO folder of drawn shapes: 30 training images, 8 test images, 96 pixels."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    return make_shapes(folder, train_images=30, val_images=8, image_size=96, seed=1)

"""Pictures: right pixels where it can be said which, and no trace of a window."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from mrcnn import visualize

NAMES = ["BG", "cat", "dog"]


@pytest.fixture
def scene():
    image = np.full((60, 80, 3), 200, np.uint8)
    masks = np.zeros((60, 80, 2), bool)
    masks[10:30, 20:50, 0] = True
    masks[40:60, 60:80, 1] = True
    boxes = np.array([[10, 20, 30, 50], [40, 60, 60, 80]])
    return image, boxes, masks, np.array([2, 1])


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def test_mask_is_tinted_by_hand(scene):
    image, _, masks, _ = scene
    for dtype in (np.uint8, np.uint32, np.float32):
        canvas = image.astype(dtype)
        tinted = visualize.apply_mask(canvas, masks[:, :, 0], (1.0, 0.0, 0.5), alpha=0.5)
        assert tinted is canvas  # programs do not take what it returns
        assert (tinted[10:30, 20:50] == [228, 100, 164]).all()
        assert (tinted[~masks[:, :, 0]] == 200).all()
    np.testing.assert_array_equal(visualize.apply_mask(image, masks[:, :, 0], (0, 0, 0), 0), image)


def test_colors_differ_and_repeat():
    colors = visualize.random_colors(30)
    distances = [np.abs(np.subtract(a, b)).max() for a, b in itertools.pairwise(colors)]
    assert min(distances) > 0.3 and colors[:7] == visualize.random_colors(7)
    assert max(visualize.random_colors(9, bright=False)[0]) == pytest.approx(0.7)
    shuffled = visualize.random_colors(30, rng=np.random.default_rng(0))
    assert shuffled != colors and sorted(shuffled) == sorted(colors)


def test_captions_and_shapes(scene):
    image, boxes, masks, class_ids = scene
    figure = visualize.display_instances(image, boxes, masks, class_ids, NAMES, [0.91, 0.5])
    assert isinstance(figure, Figure)
    assert sorted(texts(figure)) == ["cat 0.50", "dog 0.91"]
    assert len(figure.axes[0].patches) == 4  # two boxes, two outlines
    figure = visualize.display_instances(
        image, boxes, masks, class_ids, NAMES, show_mask=False, captions=["first", None]
    )
    assert texts(figure) == ["first"] and len(figure.axes[0].patches) == 2
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), image)


def test_outlines_alone_leave_every_pixel(scene):
    image, boxes, masks, class_ids = scene
    figure = visualize.display_instances(image, boxes, masks, class_ids, NAMES, filled=False)
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), image)
    assert len(figure.axes[0].patches) == 4  # two boxes, two outlines


def test_box_without_area_is_left_out(scene):
    image, boxes, masks, class_ids = scene
    boxes[0] = 0
    figure = visualize.display_instances(image, boxes, masks, class_ids, NAMES)
    assert texts(figure) == ["cat"]


def test_nothing_to_draw(scene):
    image, boxes, masks, _ = scene
    figure = visualize.display_instances(image, boxes[:0], masks[:, :, :0], [], NAMES, [])
    assert not texts(figure) and not figure.axes[0].patches


def test_draws_into_given_axes(scene):
    image, boxes, masks, class_ids = scene
    ax = Figure().add_subplot()
    assert visualize.display_instances(image, boxes, masks, class_ids, NAMES, ax=ax) is ax.figure
    assert len(ax.patches) == 4


def test_outline_follows_the_pixels(scene):
    _, _, masks, _ = scene
    (line,) = visualize.outlines(masks[:, :, 0])
    assert (line.min(axis=0) == [20, 10]).all() and (line.max(axis=0) == [50, 30]).all()
    (line,) = visualize.outlines(masks[:, :, 1])  # closed at the image's border
    assert (line[0] == line[-1]).all() and (line.max(axis=0) == [80, 60]).all()
    ring = masks[:, :, 0].copy()
    ring[15:20, 30:40] = False
    assert len(visualize.outlines(ring)) == 2
    assert visualize.outlines(np.zeros((5, 5), bool)) == []


def test_wrong_counts_are_named(scene):
    image, boxes, masks, class_ids = scene
    with pytest.raises(ValueError, match="2 boxes need as many masks, but got 1"):
        visualize.display_instances(image, boxes, masks[:, :, :1], class_ids, NAMES)
    with pytest.raises(ValueError, match="2 boxes need as many captions, but got 1"):
        visualize.display_instances(image, boxes, masks, class_ids, NAMES, captions=["a"])
    with pytest.raises(ValueError, match="2 images need as many titles, but got 1"):
        visualize.display_images([image, image], titles=["a"])
    with pytest.raises(ValueError, match="A grid needs images and columns, but got 1 and 0"):
        visualize.display_images([image], cols=0)


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_written_files(scene, tmp_path, ending, start):
    image, boxes, masks, class_ids = scene
    figure = visualize.display_instances(image, boxes, masks, class_ids, NAMES)
    path = tmp_path / "new" / f"picture.{ending}"
    figure.write(path)
    assert path.read_bytes().startswith(start)


def test_grid_shows_every_image(scene):
    image = scene[0]
    figure = visualize.display_images([image] * 5, titles="abcde", cols=2)
    assert [ax.get_title() for ax in figure.axes] == list("abcde")
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_pyplot_is_not_used():
    code = "import sys, mrcnn.visualize; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0

"""Results with their reference in the emptiest corner."""

from types import SimpleNamespace

import numpy as np
import pytest

from siamese_mrcnn.figures import detections as visualize


@pytest.fixture
def image():
    return np.full((100, 140, 3), 90, np.uint8)


def found(*boxes):
    boxes = np.array(boxes, np.int32).reshape(-1, 4)
    masks = np.zeros((100, 140, len(boxes)), bool)
    for index, (y1, x1, y2, x2) in enumerate(boxes):
        masks[y1:y2, x1:x2, index] = True
    return {"rois": boxes, "scores": np.linspace(0.9, 0.1, len(boxes)), "masks": masks}


def padded(height, width, value=250, side=40):
    picture = np.zeros((side, side, 3), np.uint8)
    picture[5 : 5 + height, 3 : 3 + width] = value
    return picture


def inset_corner(figure):
    """(left, right, bottom, top) of the reference, the second image drawn."""
    return figure.axes[0].images[1].get_extent()


def test_inset_takes_the_emptiest_corner(image):
    reference = padded(20, 20)
    left, right, bottom, top = inset_corner(visualize.draw_result(image, reference, found()))
    assert left > 70 and right < 140 and top > 0 and bottom < 50
    upper_right, all_but_lower_left = [0, 60, 50, 140], [(0, 0, 50, 140), (50, 70, 100, 140)]
    left, *_, top = inset_corner(visualize.draw_result(image, reference, found(upper_right)))
    assert not (left > 70 and top < 50)
    left, _, _, top = inset_corner(
        visualize.draw_result(image, reference, found(*all_but_lower_left))
    )
    assert left < 70 and top > 50


def test_outlines_alone_are_drawn_where_asked_for(image):
    detections = found((10, 10, 40, 40))
    row = ("cat", image, padded(9, 9), detections, detections)
    for filled in (True, False):
        drawn = [
            visualize.draw_result(image, padded(9, 9), detections, filled=filled).axes[0],
            *visualize.draw_panels([row], filled=filled).axes[2:],
        ]
        assert len(drawn) == 3
        for ax in drawn:
            pixels = np.asarray(ax.images[0].get_array())
            assert (pixels == image).all() == (not filled)


def test_inset_keeps_the_picture_in_place(image):
    ax = visualize.draw_result(image, padded(20, 20), found((10, 10, 30, 30))).axes[0]
    assert ax.get_xlim() == (0, 140) and ax.get_ylim() == (100, 0)


def test_references_lose_their_padding_and_stand_side_by_side():
    assert visualize.picture_of(padded(20, 30)).shape == (20, 30, 3)
    both = visualize.picture_of([padded(20, 30), SimpleNamespace(picture=padded(24, 10))])
    assert both.shape == (24, 30 + 1 + 30, 3)
    stacked = np.stack([padded(20, 30), padded(20, 30)])
    assert visualize.picture_of(stacked).shape == (20, 61, 3)
    assert visualize.picture_of(np.zeros((8, 9, 3), np.uint8)).shape == (8, 9, 3)


def test_scores_and_names_are_written(image):
    detections = found((10, 10, 40, 40), (50, 50, 90, 90))
    figure = visualize.draw_result(image, padded(9, 9), detections)
    assert sorted(text.get_text() for text in figure.axes[0].texts) == ["0.10", "0.90"]
    figure = visualize.draw_result(image, padded(9, 9), detections, name="cat")
    assert "cat 0.90" in [text.get_text() for text in figure.axes[0].texts]


def test_boxes_without_masks(image):
    detections = found((10, 10, 40, 40)) | {"masks": None}
    figure = visualize.draw_result(image, padded(9, 9), detections, inset=False)
    assert len(figure.axes[0].patches) == 1


def test_files(image, tmp_path):
    detections = found((10, 10, 40, 40))
    result = (image, padded(9, 9), detections)
    visualize.draw_result(*result, path=tmp_path / "one.png")
    row = ("cat", *result, detections)
    figure = visualize.draw_panels([row, row], path=tmp_path / "panels.png")
    titles = ["reference: cat", "searched", "found: 1", "truth: 1"]
    assert [ax.get_title() for ax in figure.axes] == titles * 2
    assert len(visualize.draw_panels([("", *result, None)]).axes) == 3
    for name in ("one.png", "panels.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_figures_are_saved_whole_and_always_alike(image, tmp_path):
    formats = ("png", "pdf", "svg")

    def save(name):
        figure = visualize.draw_result(image, padded(9, 9), found((10, 10, 40, 40)), title="a cat")
        paths = visualize.save_figure(figure, tmp_path / name / "one.two", formats)
        assert [path.name for path in paths] == ["one.two.png", "one.two.pdf", "one.two.svg"]
        assert sorted(paths) == sorted((tmp_path / name).iterdir())
        return [path.read_bytes() for path in paths]

    first, second = save("first"), save("second")
    assert first == second
    assert first[0].startswith(b"\x89PNG") and first[1].startswith(b"%PDF")
    assert b"a cat" in first[2]  # text, not outlines


def test_a_figure_that_cannot_be_saved_leaves_the_old_file(image, tmp_path):
    figure = visualize.draw_result(image, padded(9, 9), found())
    (tmp_path / "one.png").write_text("old")
    with pytest.raises(ValueError, match="nonsense"):
        visualize.save_figure(figure, tmp_path / "one", ("nonsense",))
    figure.axes[0].set_title("$x_{$")  # cannot be drawn
    with pytest.raises(ValueError, match="x_"):
        visualize.save_figure(figure, tmp_path / "one", ("png",))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("sides", [(10, 90), (90, 10), (30, 30)])
def test_oblong_references_take_as_much_room_as_square_ones(image, sides):
    figure = visualize.draw_result(image, np.full((*sides, 3), 250, np.uint8), found())
    left, right, bottom, top = inset_corner(figure)
    width, height = right - left, bottom - top
    assert width / height == pytest.approx(sides[1] / sides[0])
    if sides == (90, 10):  # limited by the picture's height
        assert height == pytest.approx(0.6 * 100)
    else:
        assert width * height == pytest.approx(26**2)

"""Cells and grids: what is drawn how, checked on the figure itself."""

import itertools
from types import SimpleNamespace

import matplotlib.colors
import numpy as np
import pytest

from mrcnn.images.run_lengths import encode_mask
from siamese_mrcnn.figures.judged_queries import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE, Judged
from siamese_mrcnn.figures.query_grids import (
    COLORS,
    MISSED,
    boxes_of,
    justified_axes,
    query_grid,
)

SHAPE = (80, 120)


def shape(x, y, width, height, **content):
    mask = np.zeros(SHAPE, bool)
    mask[y : y + height, x : x + width] = True
    return {"bbox": [x, y, width, height], "segmentation": encode_mask(mask)} | content


@pytest.fixture
def answer():
    results = (shape(5, 5, 20, 30, score=0.9), shape(60, 30, 20, 20, score=0.75))
    outcomes, missed = (TRUE_POSITIVE, FALSE_POSITIVE), (shape(90, 2, 20, 20),)

    def judge(kind, min_score):
        kept = [n for n, result in enumerate(results) if result["score"] >= min_score]
        return Judged(tuple(results[n] for n in kept), tuple(outcomes[n] for n in kept), missed)

    return SimpleNamespace(
        name="cat",
        image=lambda: np.full((*SHAPE, 3), 100, np.uint8),
        reference_pictures=lambda: [np.full((20, 20, 3), 200, np.uint8)],
        judge=judge,
        is_absent=False,
    )


def lines(ax, kind):
    """The lines of a colour."""
    color = matplotlib.colors.to_rgba(COLORS[kind])
    return [patch for patch in ax.patches if patch.get_edgecolor() == color]


def corners(patch):
    """(x1, y1, x2, y2) in pixels."""
    return tuple(patch.get_path().get_extents(patch.get_patch_transform()).extents)


def test_lines_tell_what_is_right_wrong_and_missed(answer):
    (ax,) = query_grid([answer]).axes
    right, wrong, missed = (lines(ax, kind) for kind in (TRUE_POSITIVE, FALSE_POSITIVE, MISSED))
    assert [len(each) for each in (right, wrong, missed)] == [2, 2, 1]  # outline and box
    assert {corners(patch) for patch in right} == {(5, 5, 25, 35)}
    assert {corners(patch) for patch in wrong} == {(60, 30, 80, 50)}
    assert corners(missed[0]) == (90, 2, 110, 22)
    styles = [{str(patch.get_linestyle()) for patch in each} for each in (right, wrong, missed)]
    assert all(len(each) == 1 for each in styles) and len(set.union(*styles)) == 3
    assert sorted(text.get_text() for text in ax.texts) == ["0.75", "0.90"]
    assert ax.get_title() == "cat"


def test_titles_stay_above_their_own_cells(answer):
    answer.name, answer.is_absent = "cyrillic small letter iotified big yus with a long tail", True
    figure = query_grid([answer] * 4, columns=4)
    figure.canvas.draw()
    assert figure.axes[0].get_title().endswith("… (not there)")
    places = [ax.title.get_window_extent() for ax in figure.axes]
    for left, right in itertools.pairwise(places):
        assert left.x1 < right.x0
    answer.name = "cat"
    assert query_grid([answer]).axes[0].get_title() == "cat (not there)"


def test_masks_are_tinted_by_what_they_are(answer):
    canvas = query_grid([answer]).axes[0].images[0].get_array()
    assert canvas[0, 119].tolist() == canvas[10, 100].tolist() == [100, 100, 100]  # missed
    assert canvas[20, 15, 2] > 150 > canvas[20, 15, 0]  # bluer
    assert canvas[40, 70, 0] > 150 > canvas[40, 70, 2]  # redder


def test_what_is_left_away(answer):
    (ax,) = query_grid([answer], min_score=0.8, show_missed=False, show_masks=False).axes
    assert not lines(ax, FALSE_POSITIVE) and not lines(ax, MISSED)
    assert len(lines(ax, TRUE_POSITIVE)) == 1
    assert (np.asarray(ax.images[0].get_array()) == 100).all()


def test_outlines_alone_leave_every_pixel(answer):
    ax = query_grid([answer], filled=False, legend=False).axes[0]
    assert (np.asarray(ax.images[0].get_array()) == 100).all()
    assert [len(lines(ax, kind)) for kind in (TRUE_POSITIVE, FALSE_POSITIVE, MISSED)] == [2, 2, 1]


def test_results_without_masks(answer):
    judged = Judged(({"bbox": [5, 5, 20, 30], "score": 0.9},), (IGNORED,), ())
    answer.judge = lambda kind, min_score: judged
    (ax,) = query_grid([answer], kind="bbox").axes
    assert [corners(patch) for patch in lines(ax, IGNORED)] == [(5, 5, 25, 35)]


def test_reference_leaves_what_was_found_free(answer):
    ax = query_grid([answer]).axes[0]
    left, right, bottom, top = ax.images[1].get_extent()
    for x, y, width, height in ((5, 5, 20, 30), (60, 30, 20, 20), (90, 2, 20, 20)):
        assert left >= x + width or right <= x or top >= y + height or bottom <= y


def test_legend_explains_what_is_drawn(answer):
    (legend,) = query_grid([answer]).legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts == ["true positive", "false positive", "missed instance"]
    (legend,) = query_grid([answer], min_score=0.8, show_missed=False).legends
    assert [text.get_text() for text in legend.get_texts()] == ["true positive"]
    assert not query_grid([answer], legend=False).legends


def test_rows_and_columns(answer, tmp_path):
    assert len(query_grid([answer] * 7, columns=3, rows=2).axes) == 6
    assert len(query_grid([answer] * 7, columns=3).axes) == 7
    query_grid([answer], path=tmp_path / "new" / "grid")
    assert (tmp_path / "new" / "grid.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "new" / "grid.pdf").read_bytes().startswith(b"%PDF")
    assert len(list((tmp_path / "new").iterdir())) == 2
    with pytest.raises(ValueError, match="A grid needs queries and columns, but got 0 and 4"):
        query_grid([])


def test_images_of_a_row_have_equal_heights_and_their_own_proportions():
    shapes = [(100, 200), (100, 50), (100, 150), (300, 100), (300, 100)]
    axes = justified_axes(shapes, 3, legend=True)
    width, height = axes[0].figure.get_size_inches()
    boxes = [ax.get_position() for ax in axes]
    inches = [(box.width * width, box.height * height) for box in boxes]
    for (its_width, its_height), (rows, columns) in zip(inches, shapes, strict=True):
        assert its_width / its_height == pytest.approx(columns / rows)
    assert inches[0][1] == pytest.approx(inches[1][1]) == pytest.approx(inches[2][1])
    assert inches[3][1] == pytest.approx(inches[0][1])  # the short last row does not stand out
    assert boxes[0].x1 < boxes[1].x0 and boxes[1].x1 < boxes[2].x0 and boxes[3].y1 < boxes[0].y0
    assert boxes[0].x0 == pytest.approx(1 - boxes[2].x1)  # centred
    assert min(box.y0 for box in boxes) > 0 and max(box.y1 for box in boxes) < 1


def test_boxes_are_y1_x1_y2_x2():
    assert boxes_of([shape(5, 6, 20, 30)]).tolist() == [[6, 5, 36, 25]]
    assert boxes_of([]).shape == (0, 4)

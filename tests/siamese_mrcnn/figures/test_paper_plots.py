"""Bars have the heights and errors of the reports."""

import matplotlib.colors
import pytest

from evaluated import labelled
from siamese_mrcnn.figures.paper_plots import (
    COLORS,
    PlotError,
    classes_figure,
    sizes_figure,
    splits_figure,
)


def heights(ax, color=None):
    """The heights of all bars, or of those of a full colour, from left to right."""
    wanted = color and matplotlib.colors.to_rgba(color)
    bars = [bar for bar in ax.patches if wanted in (None, bar.get_facecolor())]
    return [round(bar.get_height(), 4) for bar in sorted(bars, key=lambda bar: bar.get_x())]


def legend_of(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_measured_bars_stand_beside_the_published():
    reports = [labelled(split, [0.1 * split, 0.2]) for split in (1, 2, 3, 4)]
    figure = splits_figure(reports)
    boxes, masks = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["boxes", "masks"]
    assert heights(boxes, COLORS["novel"]) == [15, 20, 25, 30, 22.5]
    # The published of split 1, seen and novel, then the measured one.
    assert heights(boxes)[:3] == [39.08, 15.28, 15] and len(heights(masks)) == 15
    labels = [label.get_text() for label in boxes.get_xticklabels()]
    assert labels == ["split 1", "split 2", "split 3", "split 4", "mean"]
    assert boxes.get_ylabel() == "AP50 (%)"
    assert legend_of(figure) == [
        "seen classes, published",
        "novel classes, published",
        "novel classes, small",
        "random boxes",
    ]


def segments(ax):
    """The ((x, y), (x, y)) of all lines that belong to no bar: error bars and chance."""
    return [line.tolist() for lines in ax.collections for line in lines.get_segments()]


def test_error_bars_are_intervals():
    (boxes, _) = splits_figure([labelled(1, [0.1, 0.3])]).axes
    upright = [(low, high) for (x, low), (end, high) in segments(boxes) if x == end]
    (ours,) = [high - low for low, high in upright if low + high == pytest.approx(40)]
    # Deviation of (.1, .3) is .1; 2 * 1.96 * 10 / sqrt(2).
    assert ours == pytest.approx(27.7186, abs=1e-4)


def test_what_was_not_measured_has_no_bar():
    (boxes, _) = splits_figure([labelled(3, [0.25])], metric="AP").axes
    assert heights(boxes, COLORS["novel"]) == [25]
    figure = splits_figure([labelled(3, [0.25])], shots=5)
    assert legend_of(figure) == ["seen classes, published", "novel classes, published"]
    with pytest.raises(PlotError, match="nothing to show"):
        splits_figure([], shots=3)
    with pytest.raises(PlotError, match="but is 'AP60'"):
        splits_figure([], metric="AP60")


def test_chance_is_a_line():
    (boxes, _) = splits_figure([]).axes
    levels = [start[1] for start, end in segments(boxes) if start[1] == end[1]]
    assert levels == pytest.approx([0.84, 1.66, 0.8, 1.36, 1.165])


def test_several_models_differ_in_hatching():
    reports = [labelled(1, [0.2], model=model) for model in ("large", "small")]
    (boxes, _) = splits_figure(reports).axes
    full = [bar for bar in boxes.patches if bar.get_facecolor()[:3] == rgb(COLORS["novel"])]
    assert len({bar.get_hatch() for bar in full}) == len(full) == 2


def rgb(color):
    return matplotlib.colors.to_rgb(color)


def test_sizes():
    reports = [labelled(split, [0.1 * split]) for split in (1, 2, 3, 4)]
    (boxes, _) = sizes_figure(reports).axes
    assert heights(boxes, COLORS["novel"]) == [25, 25, 25]
    assert len(heights(boxes)) == 9
    (boxes, _) = sizes_figure(reports, split=3).axes
    assert heights(boxes, COLORS["novel"]) == [30, 30, 30]
    (boxes, _) = sizes_figure([], split="all").axes
    assert heights(boxes) == [11.08, 21.78, 30.76]


def test_classes_are_sorted_and_coloured(tmp_path):
    reports = [
        labelled(1, [0.2], "novel", names=[("cat", 0.4), ("dog", 0.1)]),
        labelled(1, [0.2], "seen", names=[("cow", 0.3), ("bus", -1.0), ("car", 0.5)]),
    ]
    figure = classes_figure(reports, path=tmp_path / "classes")
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_xticklabels()] == ["car", "cat", "cow", "dog"]
    assert heights(ax) == [50, 40, 30, 10]
    assert heights(ax, COLORS["novel"]) == [40, 10] and heights(ax, COLORS["seen"]) == [50, 30]
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["mean of seen classes: 40.0 %", "mean of novel classes: 25.0 %"]
    assert heights(classes_figure(reports, kind="segm").axes[0]) == [25, 20, 15, 5]
    assert {path.name for path in tmp_path.iterdir()} == {"classes.png", "classes.pdf"}


def test_classes_need_one_measured_model():
    with pytest.raises(PlotError, match="needs a measured report of split 1"):
        classes_figure([])
    reports = [labelled(1, [0.2], model=model, names=[("cat", 0.4)]) for model in ("a", "b")]
    with pytest.raises(PlotError, match="There are the models a, b"):
        classes_figure(reports)
    assert heights(classes_figure(reports, model="b").axes[0]) == [40]

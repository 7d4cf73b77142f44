"""The pictures of Matterport's notebooks: what is drawn, where it goes."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from mrcnn import visualize
from mrcnn.drawing import canvas
from mrcnn.images.image import read_image
from siamese_mrcnn.figures.detections import draw_panels, draw_result

NAMES = ["BG", "cat", "dog"]


@pytest.fixture
def image():
    return np.full((60, 80, 3), 200, np.uint8)


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def corners(patch):
    """(y1, x1, y2, x2) of a drawn rectangle."""
    (x, y), width, height = patch.get_xy(), patch.get_width(), patch.get_height()
    return [y, x, y + height, x + width]


# --- boxes ------------------------------------------------------------------------------------


def test_boxes_before_and_after_refinement(image):
    boxes = np.array([[10, 20, 30, 50], [0, 0, 0, 0], [5, 5, 9, 9]])
    refined = np.array([[12, 22, 32, 52], [0, 0, 0, 0], [0, 0, 0, 0]])
    figure = visualize.draw_boxes(image, boxes, refined, captions=["a", "b", "c"], title="t")
    (ax,) = figure.axes
    drawn = [(corners(patch), patch.get_linestyle()) for patch in ax.patches]
    assert drawn == [
        ([10, 20, 30, 50], "dashed"),
        ([12, 22, 32, 52], "solid"),
        ([5, 5, 9, 9], "dashed"),
    ]
    (line,) = ax.lines
    np.testing.assert_array_equal(line.get_xydata(), [[20, 10], [22, 12]])
    places = {text.get_text(): text.xy for text in ax.texts}
    assert places == {"a": (22, 12), "c": (5, 5)} and ax.get_title() == "t"


def test_visibilities_are_grey_coloured_solid(image):
    boxes = np.array([[0, 0, 5, 5], [10, 10, 20, 20], [30, 30, 40, 40]])
    figure = visualize.draw_boxes(image, boxes=boxes, visibilities=[0, 1, 2])
    grey, coloured, solid = figure.axes[0].patches
    assert grey.get_edgecolor() == (0.5, 0.5, 0.5, 0.5)
    assert coloured.get_alpha() == solid.get_alpha() == 1
    assert [each.get_linestyle() for each in (grey, coloured, solid)] == [
        "dashed",
        "dashed",
        "solid",
    ]


def test_masks_of_boxes_are_tinted(image):
    mask = np.zeros((60, 80, 1), bool)
    mask[10:30, 20:50] = True
    figure = visualize.draw_boxes(image, refined_boxes=[[10, 20, 30, 50]], masks=mask)
    shown = figure.axes[0].images[0].get_array()
    assert (shown[~mask[..., 0]] == 200).all() and (shown[mask[..., 0]] != 200).any(axis=-1).all()
    assert (image == 200).all()


def test_draw_boxes_into_given_axes(image):
    ax = Figure().add_subplot()
    assert visualize.draw_boxes(image, [[1, 2, 3, 4]], ax=ax) is ax.figure
    assert len(ax.patches) == 1


def test_wrong_boxes_are_told(image):
    with pytest.raises(ValueError, match="needs boxes, refined_boxes or both"):
        visualize.draw_boxes(image)
    box = [[0, 0, 5, 5]]
    for keywords, words in [
        ({"refined_boxes": box * 2}, "1 boxes need as many refined_boxes, but got 2"),
        ({"captions": []}, "1 boxes need as many captions, but got 0"),
        ({"masks": np.zeros((60, 80, 3))}, "1 boxes need as many masks, but got 3"),
    ]:
        with pytest.raises(ValueError, match=words):
            visualize.draw_boxes(image, boxes=box, **keywords)


def test_rois_positive_and_negative(image, capsys):
    rois = np.array([[10, 20, 30, 50], [40, 40, 50, 50], [0, 0, 0, 0]])
    mask = np.zeros((3, 28, 28))
    mask[0] = 1
    figure = visualize.draw_rois(image, rois, rois + 2, mask, [2, 0, 0], NAMES)
    drawn = [corners(patch) for patch in figure.axes[0].patches if hasattr(patch, "get_width")]
    assert sorted(drawn) == [[10, 20, 30, 50], [12, 22, 32, 52], [40, 40, 50, 50]]
    shown = figure.axes[0].images[0].get_array()
    tinted = (shown != 200).any(axis=-1)  # the mask fills the RoI, not what it is moved to
    assert tinted[10:30, 20:50].all() and tinted.sum() == 20 * 30
    assert texts(figure) == ["dog"]
    printed = capsys.readouterr().out
    assert "Positive RoIs: 1. Negative RoIs: 1." in printed and "0.50" in printed
    many = np.tile(rois[:1], (30, 1)) + np.arange(30)[:, None] % 5
    figure = visualize.draw_rois(
        image, many, many, np.zeros((30, 28, 28)), [0] * 30, NAMES, limit=7
    )
    assert len(figure.axes[0].patches) == 7


def test_a_box_is_written_into_pixels(image):
    before = image.copy()
    written = visualize.draw_box(image, np.array([10, 20, 30, 50]), [255, 0, 0])
    assert written is image
    changed = (image != before).any(axis=-1)
    expected = np.zeros((60, 80), bool)
    expected[10:30, 20:50] = True
    expected[12:28, 22:48] = False
    np.testing.assert_array_equal(changed, expected)
    assert (image[expected] == [255, 0, 0]).all()
    visualize.draw_box(image, [-9, -9, 99, 99], [0, 0, 255])  # cut off at the border
    assert (image[0, 0] == [0, 0, 255]).all() and (image[59, 79] == [0, 0, 255]).all()
    copy = image.copy()
    visualize.draw_box(image, [70, 90, 80, 99], [1, 2, 3])  # outside
    np.testing.assert_array_equal(image, copy)


# --- instances --------------------------------------------------------------------------------


def test_truth_is_green_and_predictions_are_red(image):
    gt = np.array([[10, 20, 30, 50]])
    pred = np.array([[0, 0, 9, 9], [10, 20, 30, 35]])
    masks = [np.zeros((60, 80, len(boxes)), bool) for boxes in (gt, pred)]
    for boxes, planes in zip((gt, pred), masks, strict=True):
        for index, (y1, x1, y2, x2) in enumerate(boxes):
            planes[y1:y2, x1:x2, index] = True
    figure = visualize.display_differences(
        image, gt, np.array([1]), masks[0], pred, np.array([1, 1]), np.array([0.6, 0.9]),
        masks[1], NAMES, show_mask=False,
    )  # fmt: skip
    drawn = {tuple(patch.get_edgecolor()[:3]): [] for patch in figure.axes[0].patches}
    for patch in figure.axes[0].patches:
        drawn[tuple(patch.get_edgecolor()[:3])].append(corners(patch))
    assert drawn == {(0, 1, 0): [[10, 20, 30, 50]], (1, 0, 0): [[10, 20, 30, 35], [0, 0, 9, 9]]}
    assert sorted(texts(figure)) == ["0.60 / 0.00", "0.90 / 0.50"]


def test_the_classes_that_cover_most_come_first(image):
    mask = np.zeros((60, 80, 3), bool)
    mask[:5, :5, 0] = True
    mask[10:40, :20, 1] = True
    mask[50:, :, 2] = True
    figure = visualize.display_top_masks(image, mask, np.array([1, 2, 2]), NAMES)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["60 x 80 pixels", "dog", "cat", "-", "-"]
    shown = [np.asarray(ax.images[0].get_array()) for ax in figure.axes]
    np.testing.assert_array_equal(shown[1] > 0, mask[..., 1] | mask[..., 2])
    np.testing.assert_array_equal(shown[2] > 0, mask[..., 0])
    assert not shown[3].any()
    figure = visualize.display_top_masks(image, mask, np.array([1, 2, 2]), NAMES, limit=1)
    assert [ax.get_title() for ax in figure.axes] == ["60 x 80 pixels", "dog"]


def test_colours_beyond_one_are_bytes(image):
    figure = visualize.display_images([image.astype(float), image[..., 0] * 1.0])
    colours, plane = (ax.images[0].get_array() for ax in figure.axes)
    assert colours.dtype == np.uint8 and (colours == 200).all()
    assert plane.dtype == float


def test_nothing_found_is_an_empty_picture(image):
    assert not visualize.display_images(np.zeros((0, 28, 28))).axes
    figure = visualize.display_instances(
        image, np.zeros((0, 4)), np.zeros((60, 80, 0)), np.zeros(0, int), NAMES, np.zeros(0)
    )
    assert len(figure.axes[0].images) == 1 and not figure.axes[0].patches


def test_colours_may_be_an_array(image):
    figure = visualize.display_instances(
        image, [[1, 2, 3, 4], [5, 6, 9, 9]], None, [1, 2], NAMES, colors=np.eye(3)[:2]
    )
    drawn = [patch.get_edgecolor() for patch in figure.axes[0].patches]
    assert drawn == [(1, 0, 0, 1), (0, 1, 0, 1)]


# --- numbers ----------------------------------------------------------------------------------


def test_the_precision_recall_curve():
    figure = visualize.plot_precision_recall(0.25, [1, 0.5, 0], [0, 0.5, 1])
    (ax,) = figure.axes
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[0, 1], [0.5, 0.5], [1, 0]])
    assert "0.250" in ax.get_title()


def test_the_table_of_overlaps():
    overlaps = np.array([[0.8, 0.1], [0.6, 0.3], [0.0, 0.9]])
    figure = visualize.plot_overlaps([1, 2, 0], [1, 2, 2, 0], [0.9, 0.8, 0.7], overlaps, NAMES)
    (ax,) = figure.axes
    assert texts(figure) == ["0.80\nmatch", "0.10", "0.60\nwrong", "0.30", "0.00", "0.90\nmatch"]
    assert [each.get_text() for each in ax.get_xticklabels()] == ["cat", "dog"]
    labels = [each.get_text() for each in ax.get_yticklabels()]
    assert labels == ["cat (0.90)", "dog (0.80)", "dog (0.70)"]
    assert not texts(visualize.plot_overlaps([1], [], [], np.zeros((0, 1)), NAMES))


def test_tables_are_printed(capsys):
    visualize.display_table([["name", "n"], ["a<b", 10]])
    assert capsys.readouterr().out == "name    n\n─────────\na<b    10\n"


def test_tables_are_shown_in_a_notebook(monkeypatch, capsys):
    IPython = pytest.importorskip("IPython")
    shown = []
    monkeypatch.setattr(IPython, "get_ipython", lambda: object())
    monkeypatch.setattr("IPython.display.display", shown.append)
    visualize.display_table([["name", "n"], ["a<b", 10]])
    assert not capsys.readouterr().out
    assert shown[0]._repr_markdown_() == "| name | n |\n| --- | ---: |\n| a\\<b | 10 |\n"


def test_statistics_of_weights(capsys):
    class Variable:
        def __init__(self, name):
            self.name = name

    class Layer:
        name = "conv"
        weights = [Variable("kernel"), Variable("bias")]

        def get_weights(self):
            return [np.full((1, 2), 0.5), np.array([-1.0, 3.0])]

    class Model:
        def get_trainable_layers(self):
            return [Layer()]

    visualize.display_weight_stats(Model())
    _, _, kernel, bias = capsys.readouterr().out.splitlines()
    assert kernel.split() == [
        "conv/kernel",
        "(dead?)",
        "1",
        "x",
        "2",
        "+0.5000",
        "+0.5000",
        "+0.0000",
    ]
    assert bias.split() == ["conv/bias", "2", "-1.0000", "+3.0000", "+2.0000"]


# --- pyplot -----------------------------------------------------------------------------------


@pytest.fixture
def pyplot():
    """pyplot without figures."""
    plt = pytest.importorskip("matplotlib.pyplot")
    plt.switch_backend("agg")
    plt.close("all")
    yield plt
    plt.close("all")


def test_programs_with_pyplot_find_the_picture_there(pyplot, image, tmp_path):
    figure = visualize.display_images([image])
    assert pyplot.gcf() is figure
    pyplot.savefig(tmp_path / "picture.png")
    assert pyplot.imread(tmp_path / "picture.png").std() > 0.1  # not blank
    figure._ipython_display_()  # a notebook shows it, so its own list of figures need not
    assert not pyplot.get_fignums()


def test_pictures_that_nothing_shows_do_not_pile_up(pyplot, image):
    closed = [visualize.display_images([image]) for _ in range(3)]
    pyplot.close("all")
    theirs = pyplot.figure()
    assert theirs.number == closed[0].number  # numbers are given anew
    pictures = [visualize.display_images([image]) for _ in range(canvas.KEPT_PICTURES + 3)]
    numbers = pyplot.get_fignums()
    assert len(numbers) == canvas.KEPT_PICTURES + 1 and theirs.number in numbers
    assert pyplot.gcf() is pictures[-1] and pictures[3].number in numbers
    assert pictures[2].number not in numbers


def test_pictures_of_our_own_are_not_given_to_pyplot(pyplot, image):
    found = {"rois": np.array([[1, 2, 30, 40]]), "masks": None, "scores": np.ones(1)}
    for _ in range(3):
        draw_result(image, image[:20, :20], found)
        draw_panels([("a", image, image[:20, :20], found, None)])
    assert not pyplot.get_fignums()


@pytest.mark.filterwarnings("ignore:More than 20 figures:RuntimeWarning")
def test_a_notebook_keeps_the_pictures_of_a_cell(pyplot, image, monkeypatch):
    monkeypatch.setattr(pyplot, "get_backend", lambda: "inline")
    for _ in range(canvas.KEPT_PICTURES + 1):
        visualize.display_images([image])
    assert len(pyplot.get_fignums()) == canvas.KEPT_PICTURES + 1


def test_lists_may_be_longer_than_the_boxes(image):
    box = np.array([[10, 20, 30, 50]])
    more = {"scores": [0.5, 0.4], "colors": [(1, 0, 0), (0, 1, 0)]}
    figure = visualize.display_instances(image, box, None, [1], NAMES, **more)
    assert texts(figure) == ["cat 0.50"]
    figure = visualize.display_instances(image, box, None, [1], NAMES, captions=["a", "b"], **more)
    assert texts(figure) == ["a"]
    figure = visualize.draw_boxes(image, boxes=box, captions=["a", "b"], visibilities=[2, 1])
    assert texts(figure) == ["a"]
    assert (image == 200).all()


def test_what_programs_take_out_of_the_module():
    (line,) = visualize.find_contours(np.pad(np.ones((2, 2)), 1), 0.5)
    patch = visualize.Polygon(np.fliplr(line) - 1)
    assert isinstance(patch, visualize.patches.Polygon) and visualize.lines.Line2D


def test_given_axes_stay_theirs(pyplot, image):
    figure, ax = pyplot.subplots()
    visualize.draw_boxes(image, [[1, 2, 3, 4]], ax=ax)
    assert pyplot.get_fignums() == [figure.number]


def test_pyplot_may_be_imported_after_the_picture_was_drawn(tmp_path):
    """As helpers do inside of functions; nothing else of this program has imported it."""
    program = """if True:
        import sys, numpy
        from mrcnn import visualize
        assert "matplotlib.pyplot" not in sys.modules
        visualize.display_images([numpy.eye(40)])
        from matplotlib import pyplot
        pyplot.savefig(sys.argv[1])"""
    path = tmp_path / "picture.png"
    subprocess.run([sys.executable, "-c", program, path], check=True, timeout=300)
    assert read_image(path).std() > 20  # not blank


def test_windows_open_where_there_are_any(pyplot, image, monkeypatch):
    shown = []
    monkeypatch.setattr(pyplot, "show", lambda: shown.append(1))
    visualize.display_images([image])
    assert not shown  # Agg has none
    monkeypatch.setattr(pyplot, "get_backend", lambda: "TkAgg")
    figure = visualize.display_images([image])
    assert shown == [1]
    assert canvas.present(figure) is figure and shown == [1, 1]
    canvas.present(Figure())
    assert shown == [1, 1]

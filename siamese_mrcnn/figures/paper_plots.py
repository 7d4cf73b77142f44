"""The paper's numbers as pictures: average precision by split, by class and by object size.

Seen classes are blue and novel ones orange (Okabe and Ito's, for colour-blind readers too);
published results are pale, what was measured is full. Error bars are 95 % intervals.
"""

import itertools
import statistics

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from mrcnn.visualize import Picture
from siamese_mrcnn.evaluation.coco_metrics import METRICS
from siamese_mrcnn.evaluation.reports import KIND_TITLES
from siamese_mrcnn.evaluation.saved_reports import PUBLISHED, select
from siamese_mrcnn.figures.detections import save_figure
from siamese_mrcnn.figures.paper_tables import (
    MEAN,
    SPLITS,
    models_of,
    shown_reports,
    split_cells,
    summary_of,
)

COLORS = {"seen": "#0072B2", "novel": "#D55E00", "all": "#595959"}
HATCHES = ("", "////", "....", "xxxx")  # tell several models apart
SIZES = ("small", "medium", "large")
PANEL_SIZE = (5.0, 3.3)  # inches
CLASS_WIDTH = 0.17  # inches of a class's bar
LABEL_SIZE, TICK_SIZE, CLASS_SIZE = 11, 10, 8  # points
BAR_ROOM = 0.8  # of a group's width


class PlotError(ValueError):
    """A plot of nothing."""


def splits_figure(reports, metric="AP50", shots=1, profile="official", path=None):
    """Bars of a metric for each split and their mean: boxes on the left, masks on the right.

    Args:
        reports: list of `LabelledReport`, see `saved_reports.load_reports`; of an empty one
            the published results remain. Black lines are random boxes, the level of chance.
        metric: one of `coco_results.METRICS`.
        shots, profile: of the evaluations to show.
        path: file to write without ending, as .png and .pdf; None writes nothing.

    Returns:
        the figure.

    Raises:
        PlotError: there is no such metric, or nothing to show.
    """
    if metric not in METRICS:
        raise PlotError(f"The metric must be one of {', '.join(METRICS)}, but is {metric!r}.")
    shown = shown_reports(reports, shots, profile)
    groups = [*[f"split {split}" for split in SPLITS], MEAN]

    def values_of(chosen, kind):
        return split_cells(chosen, kind, metric)[0]

    return _bar_figure(shown, groups, values_of, metric, path)


def sizes_figure(reports, shots=1, profile="official", split=MEAN, path=None):
    """Bars of AP for small, medium and large objects: boxes on the left, masks on the right.

    Args:
        reports, shots, profile, path: as in `splits_figure`.
        split: 1 to 4, "mean", or "all" for weights trained on all classes.
    """
    shown = shown_reports(reports, shots, profile)
    if split != MEAN:
        shown = select(shown, split=split)

    def values_of(chosen, kind):
        metrics = [f"AP_{size}" for size in SIZES]
        if split == MEAN:
            return [split_cells(chosen, kind, metric)[0][-1] for metric in metrics]
        return [summary_of(chosen, kind, metric) for metric in metrics]

    return _bar_figure(shown, [f"{size} objects" for size in SIZES], values_of, "AP", path)


def classes_figure(
    reports, split=1, kind="bbox", shots=1, profile="official", model=None, path=None
):
    """AP of every class of a split, sorted, with the mean of seen and of novel classes.

    Args:
        reports, shots, profile, path: as in `splits_figure`; published results do not tell AP by
            class, so a measured report is needed.
        split: 1 to 4, or "all".
        kind: "bbox" or "segm".
        model: the name of one, where there are several.

    Raises:
        PlotError: there is no report of it, or there are several models.
    """
    chosen = select(reports, split=split, shots=shots, profile=profile, random_boxes=False)
    models = models_of(chosen) if model is None else [model]
    if len(models) > 1:
        raise PlotError(f"There are the models {', '.join(models)}: name one of them.")
    chosen = select(chosen, model=models[0]) if models else []
    bars = sorted(
        (
            (entry[kind]["mean"], entry["name"], labels["classes"], entry[kind]["interval"])
            for labels, report in chosen
            for entry in report["classes"]
            if kind in entry and entry[kind]["mean"] >= 0
        ),
        reverse=True,
    )
    if not bars:
        raise PlotError(
            f"AP by class needs a measured report of split {split!r} with {shots} reference(s) "
            f"under profile {profile}, but there is none."
        )
    width = max(PANEL_SIZE[0], 1.0 + CLASS_WIDTH * len(bars))
    figure = Picture(figsize=(width, PANEL_SIZE[1]), layout="constrained")
    ax = figure.add_subplot()
    _draw_classes(ax, bars)
    ax.set_ylabel(f"AP of {KIND_TITLES[kind]} (%)", fontsize=LABEL_SIZE)
    return _saved(figure, path)


def _draw_classes(ax, bars):
    means, names, subsets, intervals = zip(*bars, strict=True)
    heights = 100 * np.array(means)
    ax.bar(
        range(len(bars)),
        heights,
        0.8,
        color=[COLORS[subset] for subset in subsets],
        yerr=100 * np.array(intervals) if any(intervals) else None,
        error_kw={"elinewidth": 0.8, "ecolor": "black"},
    )
    for subset in dict.fromkeys(sorted(subsets, reverse=True)):
        mean = statistics.fmean(
            height for height, its in zip(heights, subsets, strict=True) if its == subset
        )
        ax.axhline(
            mean,
            color=COLORS[subset],
            linestyle="dashed",
            linewidth=1.2,
            label=f"mean of {subset} classes: {mean:.1f} %",
        )
    ax.set_xticks(range(len(names)), names, rotation=90, fontsize=CLASS_SIZE, parse_math=False)
    ax.set_xlim(-0.8, len(names) - 0.2)
    ax.legend(frameon=False, fontsize=TICK_SIZE, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    _style(ax)


def _bar_figure(shown, groups, values_of, metric, path):
    """Two panels of grouped bars; values_of(reports of one model and subset, kind) -> cells."""
    figure = Picture(figsize=(2 * PANEL_SIZE[0], PANEL_SIZE[1] + 0.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    series = _series(shown, values_of)
    if not series:
        raise PlotError("There is nothing to show: no report and no published result is of this.")
    models = list(dict.fromkeys(model for _, model, _ in series))
    hatches = dict(zip([m for m in models if m != PUBLISHED], itertools.cycle(HATCHES)))
    has_chance = False
    for ax, kind in zip(panels, KIND_TITLES, strict=True):
        for number, (subset, model, cells) in enumerate(series):
            places = _places(len(groups), number, len(series))
            _draw_bars(ax, places, cells[kind], COLORS[subset], hatches.get(model))
            chance = select(shown, classes=subset, model=model, random_boxes=True)
            has_chance |= _draw_chance(ax, places, values_of(chance, kind))
        ax.set_xticks(range(len(groups)), groups, fontsize=TICK_SIZE)
        ax.set_title(KIND_TITLES[kind], fontsize=LABEL_SIZE)
        ax.tick_params(axis="x", length=0)
        _style(ax)
    panels[0].set_ylabel(f"{metric} (%)", fontsize=LABEL_SIZE)
    _draw_legend(figure, series, models, hatches, has_chance)
    return _saved(figure, path)


def _series(shown, values_of):
    """(subset, model, {kind: cells}) of all bars of one colour, left to right in a group."""
    series = []
    for subset in COLORS:
        of_subset = select(shown, classes=subset, random_boxes=False)
        for model in models_of(of_subset):
            chosen = select(of_subset, model=model)
            cells = {kind: values_of(chosen, kind) for kind in KIND_TITLES}
            if any(map(any, cells.values())):
                series.append((subset, model, cells))
    return series


def _places(groups, number, series):
    width = BAR_ROOM / series
    return np.arange(groups) - BAR_ROOM / 2 + (number + 0.5) * width, width


def _draw_bars(ax, places_and_width, cells, color, hatch):
    """Bars with their intervals; pale ones where hatch is None, which are the published."""
    places, width = places_and_width
    for place, cell in zip(places, cells, strict=True):
        if cell is not None and cell["mean"] >= 0:
            ax.bar(place, 100 * cell["mean"], 0.92 * width, **_look(color, hatch))
            if len(cell["runs"]) > 1:
                ax.errorbar(
                    place,
                    100 * cell["mean"],
                    100 * cell["interval"],
                    color="black",
                    elinewidth=1,
                    capsize=2,
                )


def _look(color, hatch):
    if hatch is None:
        return {"facecolor": _pale(color), "edgecolor": color, "linewidth": 0.8}
    return {"facecolor": color, "edgecolor": "white", "hatch": hatch, "linewidth": 0}


def _pale(color):
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    return tuple(0.35 * part + 0.65 for part in parts)


def _draw_chance(ax, places_and_width, cells):
    """Lines at the level of chance across bars. Returns whether there was any."""
    places, width = places_and_width
    known = [
        (100 * cell["mean"], place)
        for place, cell in zip(places, cells, strict=True)
        if cell is not None and cell["mean"] >= 0
    ]
    for height, place in known:
        ax.hlines(height, place - width / 2, place + width / 2, color="black")
    return bool(known)


def _draw_legend(figure, series, models, hatches, has_chance):
    """A column for each model, below the panels."""
    ordered = sorted(series, key=lambda each: models.index(each[1]))
    handles = [
        Patch(label=f"{subset} classes, {model}", **_look(COLORS[subset], hatches.get(model)))
        for subset, model, _ in ordered
    ]
    if has_chance:
        handles.append(Line2D([], [], color="black", label="random boxes"))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(models) + has_chance, 4),
        frameon=False,
        fontsize=TICK_SIZE,
    )


def _style(ax):
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_ylim(bottom=0)
    ax.tick_params(axis="y", labelsize=TICK_SIZE)
    ax.grid(axis="y", color="0.88", linewidth=0.8)
    ax.set_axisbelow(True)


def _saved(figure, path):
    if path is not None:
        save_figure(figure, path)
    return figure

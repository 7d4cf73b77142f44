"""How well a model says whether a thing is there, as curves."""

import numpy as np
from matplotlib.ticker import PercentFormatter

from mrcnn.drawing.canvas import Picture
from siamese_mrcnn.evaluation.presence import (
    average_precision,
    precision_recall_curve,
    reliability,
    roc_curve,
)

SIZE = (10.5, 3.6)  # inches
COLOUR, DIAGONAL = "#1f6f8b", "0.7"


def draw_presence(answers, numbers):
    """Reliability of scores, ROC and precision-recall of "is it there?", side by side.

    Args:
        answers: `siamese_mrcnn.evaluation.presence.Answers`.
        numbers: `presence_numbers` of them.

    Returns:
        `mrcnn.drawing.canvas.Picture`
    """
    figure = Picture(figsize=SIZE, layout="constrained")
    axes = figure.subplots(1, 3)
    _draw_reliability(axes[0], answers, numbers)
    present, best = answers.present, answers.best
    axes[1].plot(*roc_curve(present, best), color=COLOUR)
    axes[1].plot([0, 1], [0, 1], color=DIAGONAL, linewidth=0.8, zorder=0)
    _label(axes[1], f"ROC, area {numbers['auroc']:.3f}", "images without it", "images with it")
    recall, precision = precision_recall_curve(present, best)
    axes[2].step(recall, precision, where="pre", color=COLOUR)
    title = f"Precision and recall, AP {average_precision(present, best):.3f}"
    _label(axes[2], title, "recall of images with it", "precision")
    return figure


def _draw_reliability(ax, answers, numbers):
    scores, right = np.concatenate(answers.scores), np.concatenate(answers.right)
    means, shares, counts = reliability(scores, right)
    width = 1 / len(counts)
    edges = np.arange(len(counts)) * width
    share = counts / max(counts.max(), 1)
    ax.bar(edges, 0.25 * share, width, align="edge", color="0.88", zorder=0, label="detections")
    ax.plot([0, 1], [0, 1], color=DIAGONAL, linewidth=0.8, zorder=0)
    ax.plot(means, shares, "o-", color=COLOUR, markersize=4)
    ax.axvline(numbers["threshold"], color="#b5446e", linewidth=1, linestyle="--")
    ax.annotate(
        f"threshold {numbers['threshold']:.2f}",
        (numbers["threshold"], 1),
        xytext=(-3, -2),
        textcoords="offset points",
        rotation=90,
        ha="right",
        va="top",
        fontsize=8,
        color="#b5446e",
    )
    title = f"Scores, calibration error {numbers['calibration_error']:.3f}"
    _label(ax, title, "score of a detection", "share that is right")


def _label(ax, title, x, y):
    ax.set_title(title, fontsize=10)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.02)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1))
    ax.spines[["top", "right"]].set_visible(False)

"""How good detections are, drawn: the precision-recall curve and the table of overlaps."""

import numpy as np

from mrcnn.drawing.canvas import present, user_picture

SIDE = 5  # inches of a picture
CELL = 0.6  # inches of a cell in the table of overlaps


def plot_precision_recall(AP, precisions, recalls):
    """Draw the precision-recall curve of `mrcnn.metrics.compute_ap`; returns the figure.

    Args:
        AP: average precision, for the title.
        precisions, recalls: of the same length, each 0..1.
    """
    figure = user_picture(figsize=(SIDE, SIDE), layout="constrained")
    ax = figure.add_subplot()
    ax.set_title(f"Precision-recall curve, AP {AP:.3f}")
    ax.set_xlabel("Recall")
    ax.set_ylabel("Precision")
    ax.set_xlim(0, 1.1)
    ax.set_ylim(0, 1.1)
    ax.plot(recalls, precisions)
    return present(figure)


def plot_overlaps(gt_class_ids, pred_class_ids, pred_scores, overlaps, class_names, threshold=0.5):
    """Draw how much each prediction (row) overlaps each instance of the truth (column).

    Args:
        gt_class_ids: int [G]; zeros are padding.
        pred_class_ids: int [P]; zeros are padding.
        pred_scores: [P].
        overlaps: [P, G], intersection over union.
        class_names: names; the background's first.
        threshold: overlap from which on a cell says whether the classes agree.

    Returns:
        the figure.
    """
    gt_class_ids = np.asarray(gt_class_ids)[np.asarray(gt_class_ids) != 0]
    pred_class_ids = np.asarray(pred_class_ids)[np.asarray(pred_class_ids) != 0]
    rows, columns = len(pred_class_ids), len(gt_class_ids)
    size = (max(columns * CELL + 2, SIDE), max(rows * CELL + 2, SIDE))
    figure = user_picture(figsize=size, layout="constrained")
    ax = figure.add_subplot()
    cells = np.asarray(overlaps, np.float64).reshape(-1, columns)[:rows]
    if cells.size:
        ax.imshow(cells, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    names = [class_names[each] for each in gt_class_ids]
    ax.set_xticks(range(columns), names, rotation=90, parse_math=False)
    scored = zip(pred_class_ids, pred_scores, strict=False)
    shown = [f"{class_names[each]} ({score:.2f})" for each, score in scored]
    ax.set_yticks(range(rows), shown, parse_math=False)
    ax.set_xlabel("Ground truth")
    ax.set_ylabel("Predictions")
    for (row, column), value in np.ndenumerate(cells):
        same = gt_class_ids[column] == pred_class_ids[row]
        verdict = ("match" if same else "wrong") if value > threshold else ""
        ax.text(
            column,
            row,
            f"{value:.2f}\n{verdict}".strip(),
            ha="center",
            va="center",
            fontsize=9,
            color="white" if value > 0.5 else "black",
        )
    return present(figure)

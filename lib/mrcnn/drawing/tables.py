"""Tables of text: shown by a notebook, printed elsewhere."""

import html
import sys

import numpy as np

DEAD_KERNEL = 0.01  # spread of a kernel's weights below which a layer has probably died
HEADER = ["weight", "shape", "lowest", "highest", "spread"]


class Table:
    """Rows of cells, the first of them the header."""

    def __init__(self, rows):
        self.rows = [[str(cell) for cell in row] for row in rows]

    def _repr_html_(self):
        rows = [
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.rows
        ]
        return "<table>" + "".join(rows) + "</table>"

    def __str__(self):
        columns = max(map(len, self.rows), default=0)
        padded = [row + [""] * (columns - len(row)) for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*padded, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in padded)


def display_table(table):
    """Show rows of cells: as a table in a notebook, as lines of text elsewhere."""
    shown = Table(table)
    interactive = sys.modules.get("IPython")
    if interactive is not None and interactive.get_ipython() is not None:
        from IPython.display import display

        display(shown)
    else:
        print(shown)


def display_weight_stats(model):
    """Show shape, range and spread (standard deviation) of all weights of a `MaskRCNN`.

    Kernels with hardly any spread and negative variances get a remark.
    """
    rows = [HEADER]
    for layer in model.get_trainable_layers():
        kinds = [variable.name for variable in layer.weights]
        rows += [_row(layer, *each) for each in zip(kinds, layer.get_weights(), strict=True)]
    display_table(rows)


def _row(layer, kind, values):
    name = f"{layer.name}/{kind}"
    if kind == "kernel" and np.std(values) < DEAD_KERNEL:
        name += " (dead?)"
    if "variance" in kind and values.min() < 0:
        name += " (negative!)"
    shape = " x ".join(map(str, values.shape))
    numbers = (values.min(), values.max(), values.std()) if values.size else ()
    return [name, shape, *(f"{number:+9.4f}" for number in numbers)]

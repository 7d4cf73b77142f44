"""Tables: lines of text in a terminal, Markdown in notebooks and files."""

import io
import sys
from dataclasses import dataclass

import numpy as np
import rich.box
import rich.table
from rich.console import Console
from rich.text import Text

from mrcnn.harmless_text import for_markdown, for_terminal

DEAD_KERNEL = 0.01  # spread of a kernel's weights below which a layer has probably died
WIDEST = 10_000  # characters; lines are not wrapped


@dataclass(frozen=True)
class Table:
    """Rows of cells below their head; the first `texts` columns are texts, the others numbers."""

    head: list
    rows: list
    texts: int = 1

    def __str__(self):
        """Aligned columns of text, numbers to the right."""
        table = rich.table.Table(box=rich.box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for number, name in enumerate(self.head):
            side = "left" if number < self.texts else "right"
            table.add_column(Text(for_terminal(name)), justify=side)
        for row in self.rows:
            table.add_row(*(Text(for_terminal(cell)) for cell in row))
        text = io.StringIO()
        Console(file=text, width=WIDEST, color_system=None).print(table)
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())

    def to_markdown(self):
        """The table in Markdown, numbers to the right; nothing in a cell is markup."""
        rule = ["---"] * self.texts + ["---:"] * (len(self.head) - self.texts)
        head, *rows = [map(for_markdown, line) for line in (self.head, *self.rows)]
        return "".join("| " + " | ".join(line) + " |\n" for line in (head, rule, *rows))

    def _repr_markdown_(self):
        return self.to_markdown()


def display_table(table):
    """Show rows of cells, the first of them the head: in a notebook, or as lines of text."""
    head, *rows = table
    shown = Table([str(cell) for cell in head], rows)
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
    rows = [["weight", "shape", "lowest", "highest", "spread"]]
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
    if not values.size:
        return [name, shape, "", "", ""]
    numbers = (values.min(), values.max(), values.std())
    return [name, shape, *(f"{number:+.4f}" for number in numbers)]

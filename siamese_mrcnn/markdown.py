"""Tables in Markdown."""

from mrcnn.harmless_text import for_markdown


def markdown_table(head, rows):
    """Rows of texts below their head as a Markdown table, numbers to the right.

    Nothing in a cell is markup.
    """
    lines = [map(for_markdown, line) for line in (head, *rows)]
    lines.insert(1, ["---", *["---:"] * (len(head) - 1)])
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)

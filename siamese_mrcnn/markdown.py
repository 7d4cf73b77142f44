"""Tables in Markdown."""


def markdown_table(head, rows):
    """Rows of texts below their head as a Markdown table, numbers to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)

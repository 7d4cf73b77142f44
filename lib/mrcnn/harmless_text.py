"""Names from files and folders, made harmless for the terminal, CSV and Markdown.

A name may hold anything: escapes that clear a terminal, what a spreadsheet takes for a formula,
bars and tags of a table's own language, bytes that are no text.
"""

import re

# What a terminal or an editor acts on: controls, line and paragraph separators, marks that turn
# the direction of writing; and halves of characters, which stand for bytes that are no UTF-8.
ACTING = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
FORMULA = re.compile(r"[=+\-@\t\r]")  # what a cell must begin with to be calculated
MARKDOWN = re.compile(r"([\\`*\[\]<>|])")


def for_terminal(text, keep=""):
    """Text of one line, whose acting characters are written as escapes, say \\n or \\x1b.

    Args:
        text: anything with a `str`.
        keep: characters to leave as they are, say a newline.
    """
    return ACTING.sub(lambda found: _escaped(found[0], keep), str(text))


def for_csv(value):
    """A cell: a number as it is; of a text nothing is calculated, for it begins with an apostrophe.

    Raises nothing: what UTF-8 cannot write is escaped.
    """
    if isinstance(value, int | float):
        return value
    text = for_terminal(value)
    return f"'{text}" if FORMULA.match(text) else text


def for_markdown(text):
    """Text of a Markdown cell or line, in which nothing is markup."""
    return MARKDOWN.sub(r"\\\1", for_terminal(text).replace("&", "&amp;"))


def _escaped(character, keep):
    if character in keep:
        return character
    return character.encode("unicode_escape").decode("ascii")

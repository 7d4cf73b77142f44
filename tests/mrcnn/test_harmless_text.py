"""Names of strangers in CSV, in Markdown and on the terminal, by hand."""

import pytest

from mrcnn.harmless_text import for_csv, for_markdown, for_terminal

ACTING = {
    "a\x1b[2Jb": "a\\x1b[2Jb",  # clears a terminal
    "a\nb\tc\r": "a\\nb\\tc\\r",
    "a\x9b31mb\x7f": "a\\x9b31mb\\x7f",  # the same in a byte
    "photo\u202egnp.exe": "photo\\u202egnp.exe",  # turns the direction of writing
    "a\u2028b": "a\\u2028b",
    "a\udcffb": "a\\udcffb",  # a byte that is no UTF-8, in a file's name
    "Ärger 猫 🎈": "Ärger 猫 🎈",
}


@pytest.mark.parametrize(("text", "expected"), ACTING.items(), ids=map(ascii, ACTING))
def test_on_the_terminal(text, expected):
    assert for_terminal(text) == expected
    expected.encode()


def test_what_is_to_be_kept_is_kept():
    assert for_terminal("a\nb\tc", keep="\n") == "a\nb\\tc"
    assert for_terminal(3.5) == "3.5"


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_spreadsheet_calculates(start):
    assert for_csv(f"{start}HYPERLINK(1)") == f"'{start}HYPERLINK(1)"
    assert for_csv(f"a{start}") == f"a{start}"


def test_cells():
    assert [for_csv(each) for each in (-3, 0.5, "cat", "\t=1", "a\nb")] == [
        *(-3, 0.5, "cat", "\\t=1", "a\\nb"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a|b", "a\\|b"),
        ("<script>&lt;", "\\<script\\>&amp;lt;"),
        ("[x](y) *b* `c`", "\\[x\\](y) \\*b\\* \\`c\\`"),
        ("a\\|b\n", "a\\\\\\|b\\\\n"),
    ],
)
def test_nothing_is_markup(text, expected):
    assert for_markdown(text) == expected

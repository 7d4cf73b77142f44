"""How far long work is: one kind of bar, on stderr, so that results can be piped on."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


def progress_bar(unit, shown=True):
    """A bar that counts things and tells the time gone and left: a `rich.progress.Progress`.

    Args:
        unit: what is counted, say "images".
        shown: whether to show it at all; in a log of many lines it never is.
    """
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit},"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        disable=not (shown and (console.is_terminal or console.is_jupyter)),
    )


def byte_bar(shown=True):
    """A bar that counts bytes which arrive or are looked through: a `rich.progress.Progress`."""
    name, bar, _, left = Progress.get_default_columns()
    console = Console(stderr=True, quiet=not shown, soft_wrap=True)
    return Progress(name, bar, DownloadColumn(), TransferSpeedColumn(), left, console=console)


def track(items, title, unit, total=None, shown=True):
    """Yield items, counting them in a bar.

    Args:
        items: iterable.
        title: what is done with them.
        unit, shown: as of `progress_bar`.
        total: their number; by default their length, if they have one.
    """
    with progress_bar(unit, shown) as bar:
        yield from bar.track(items, total=total, description=title)

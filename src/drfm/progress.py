"""Progress bars: shown with an ETA on a terminal, silent everywhere else."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")


class Bar(Protocol):
    """What a loop may tell its progress bar."""

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Move on by ``amount`` steps and show ``note`` behind the bar."""


class _Silent:
    def advance(self, amount: int = 1, note: str = "") -> None:
        """Nothing is shown where output is not a terminal."""


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Bar]:
    """A bar over ``total`` steps with elapsed and remaining time, on stderr, only if that is a terminal.

    Without a ``total`` it counts the steps alone.
    """
    if not sys.stderr.isatty():
        yield _Silent()
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task(title, total=total, note="")

        class _Shown:
            def advance(self, amount: int = 1, note: str = "") -> None:
                display.update(task, advance=amount, note=note)

        yield _Shown()


def track(items: Iterable[T], title: str, total: int) -> Iterator[T]:
    """Yield from ``items`` while a progress bar follows."""
    with progress_bar(title, total) as bar:
        for item in items:
            yield item
            bar.advance()

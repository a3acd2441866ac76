"""`drfm report` and `drfm demo`: a run, told in one page of HTML."""

from pathlib import Path

from drfm.cli.output import say
from drfm.errors import DrfmError


def report(run: Path, /) -> None:
    """Write a run's report: curves, pseudo-label quality, distances, ranked lists, in one HTML file.

    Args:
        run: Folder that `drfm train` made.
    """
    if not run.is_dir():
        raise DrfmError(f"{run}: no such run folder; `drfm train` makes one")
    from drfm import recipes

    say(f"report: {recipes.report(run)}")


def demo(*, out: Path = Path("demo")) -> None:
    """Draw pedestrians, build a benchmark of them, train DRFM, and write a report. Needs no data set.

    Args:
        out: Folder for all that the demo makes.
    """
    from drfm import recipes

    say(f"report: {recipes.demo(out, say=say)}")

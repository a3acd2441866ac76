"""`drfm report` and `drfm demo`: a run, told in one page of HTML."""

from pathlib import Path

from drfm.cli.output import say
from drfm.errors import DrfmError


def report(run: str, /, *, out: Path | None = None) -> None:
    """Write the report of a run or a gallery as one HTML file that holds all it shows.

    Args:
        run: Folder that `drfm train` made, or a gallery of `drfm gallery create`, by folder or address.
        out: The file; report.html in the folder if not given.
    """
    from drfm.gallery.opening import exists, is_milvus

    if is_milvus(run) or exists(run):
        from drfm.recipes.gallery_report import report_gallery

        if out is None and is_milvus(run):
            raise DrfmError(f"{run}: name the file to write with --out")
        say(f"report: {report_gallery(run, out or Path(run) / 'report.html')}")
        return
    if not Path(run).is_dir():
        raise DrfmError(f"{run}: no such folder; `drfm train` makes a run, `drfm gallery create` a gallery")
    if out is not None:
        raise DrfmError("--out: the report of a run is written into the run; leave it out")
    from drfm import recipes

    say(f"report: {recipes.report(Path(run))}")


def demo(*, out: Path = Path("demo")) -> None:
    """Draw pedestrians, build a benchmark of them, train DRFM, and write a report. Needs no data set.

    Args:
        out: Folder for all that the demo makes.
    """
    from drfm import recipes

    say(f"report: {recipes.demo(out, say=say)}")

"""`drfm study`: grids of runs, and the tables and figures made of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from drfm.cli.options import RunOptions
from drfm.cli.output import say
from drfm.errors import DrfmError

if TYPE_CHECKING:
    from drfm.recipes.study.plan import Data, Study

app = App(name="study", help="Run grids of methods, ablations and parameters, and make their tables.")


@app.command
def run(
    study: str,
    /,
    *benchmarks: Path,
    out: Path,
    preset: str = "",
    seeds: tuple[int, ...] | None = None,
    at_once: int = 1,
    devices: tuple[str, ...] = (),
    split: int = 0,
    skip_bad: Annotated[bool, Parameter(negative=())] = False,
    options: Annotated[RunOptions, Parameter(name="*")] = RunOptions(),  # noqa: B008 - frozen
) -> None:
    """Train every run that a study is missing, then write its tables, figures and report.

    The same command goes on where a study was stopped, and trains nothing twice.

    Args:
        study: One of `drfm study list`, or a YAML file.
        benchmarks: Folders that `drfm data build` made.
        out: Folder of the study: its runs, tables, figures and report.
        preset: Preset over that of each cell, such as cpu.
        seeds: Seeds of the runs; the study's own if not given.
        at_once: Runs at a time on this machine's cores.
        devices: Devices with one run at a time each, such as cuda:0.
        split: Split of the benchmarks, counted from 0.
        skip_bad: Leave out images that cannot be read.
        options: Single options of all runs, over the presets.
    """
    if at_once < 1:
        raise DrfmError(f"--at-once = {at_once}: give 1 or more")
    from drfm.recipes import study as studies

    chosen, data = _asked(study, benchmarks, seeds, split)
    state = studies.run_study(
        chosen,
        data,
        out,
        preset=preset,
        given=options.overrides(),
        at_once=at_once,
        devices=devices,
        skip_bad=skip_bad,
        say=say,
    )
    report = studies.report_study(chosen, data, out)
    say(f"{state.line()}; {report}")
    if state.failed:
        raise DrfmError(f"{len(state.failed)} runs failed; {out / 'failed.json'} says why")


@app.command
def report(
    study: str, /, *benchmarks: Path, out: Path, seeds: tuple[int, ...] | None = None, split: int = 0
) -> None:
    """Write the tables, figures and report of what is finished so far, and train nothing.

    For a study that was stopped, is still under way, or was trained on another machine.

    Args:
        study: One of `drfm study list`, or a YAML file.
        benchmarks: Folders that `drfm data build` made.
        out: Folder of the study.
        seeds: Seeds of the runs; the study's own if not given.
        split: Split of the benchmarks, counted from 0.
    """
    from drfm.recipes import study as studies

    chosen, data = _asked(study, benchmarks, seeds, split)
    if not out.is_dir():
        raise DrfmError(f"{out}: no such folder; --out is the folder that `drfm study run` wrote")
    say(str(studies.report_study(chosen, data, out)))


@app.command(name="list")
def names() -> None:
    """Print the studies that come with the package."""
    from drfm.recipes.study import load_study, study_names

    for name in study_names():
        say(f"{name:<10}  {load_study(name).title}")


def _asked(
    study: str, benchmarks: Sequence[Path], seeds: Sequence[int] | None, split: int
) -> "tuple[Study, list[Data]]":
    """The study with the seeds asked for, and its benchmarks."""
    if not benchmarks:
        raise DrfmError("drfm study: no benchmark named; give folders that `drfm data build` made")
    from drfm.recipes.study import load_study
    from drfm.recipes.study.plan import open_data, with_seeds

    chosen = load_study(study)
    return with_seeds(chosen, seeds) if seeds else chosen, open_data(benchmarks, split)

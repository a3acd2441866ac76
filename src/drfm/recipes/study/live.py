"""The table that a terminal shows while a study runs."""

from typing import TYPE_CHECKING

from drfm.engine.journal import Journal
from drfm.files import read_json
from drfm.recipes.study.plan import Job

if TYPE_CHECKING:
    from rich.table import Table

    from drfm.recipes.study.run import State


def table(state: "State") -> "Table":
    """Cells by data sets: Rank-1 of finished runs, the epoch of running ones, a mark for failed ones."""
    from rich.table import Table

    shown = Table(caption=state.line(), caption_justify="left")
    shown.add_column("")
    names = list(dict.fromkeys(job.data.name for job in state.jobs))
    for name in names:
        shown.add_column(name)
    for cell in dict.fromkeys(job.cell.name for job in state.jobs):
        row = [
            [job for job in state.jobs if job.cell.name == cell and job.data.name == name] for name in names
        ]
        shown.add_row(cell, *("  ".join(_word(job, state) for job in jobs) for jobs in row))
    return shown


def _word(job: Job, state: "State") -> str:
    if job.run in state.failed:
        return "[red]failed[/red]"
    if job.run in state.done:
        return f"{read_json(job.run / 'record.json')['headline']['rank1']:.1%}"
    if job.run not in state.running:
        return "[dim]waiting[/dim]"
    entries = Journal(job.run / "journal.jsonl").read()
    begun = entries[-1]["epoch"] + 2 if entries else 1
    return f"[yellow]epoch {begun}/{job.resolved.config.train.epochs}[/yellow]"

"""The files that a study leaves beside its runs."""

import importlib.util
from collections.abc import Sequence
from html import escape
from pathlib import Path

from drfm.errors import DrfmError
from drfm.evaluation.page import page, section, unordered
from drfm.files import write_atomic, write_json
from drfm.recipes.reporting import explanations
from drfm.recipes.study.figures import drawn
from drfm.recipes.study.gather import SCORES, Gathered, gather, to_json
from drfm.recipes.study.plan import Cell, Data, Study
from drfm.recipes.study.tables import Difference, Spread, caption, csv, markdown, remark, rows


def report_study(study: Study, data: Sequence[Data], out: Path) -> Path:
    """Write what is finished of a study: tables, figures, one page.

    ``results.json`` (every run's record, epochs and test, nothing that is local to this machine),
    ``table.md``, ``table.csv``, ``report.html``, figures as SVG, and as PNG where the extra ``viz`` is there;
    explanation maps of the compared cell (Fig. 1) where the study is a table of methods.

    Returns:
        The page.
    """
    gathered = gather(study, data, out)
    write_json(out / "results.json", to_json(gathered))
    write_atomic(out / "table.csv", csv(gathered))
    write_atomic(out / "table.md", markdown(gathered))
    figures = drawn(gathered)
    endings = [".svg", ".png"] if importlib.util.find_spec("matplotlib") else [".svg"]
    for name, figure in figures.items():
        for ending in endings:
            figure.save(out / f"{name}{ending}")
    parts = [f"<h1>{escape(study.title)}</h1>{_summary(gathered)}"]
    parts += [
        section(
            each.name,
            "",
            _table(gathered, each, out),
            f'<p class="soft">{escape(caption(gathered, each))}</p>',
            _failures(gathered, each),
        )
        for each in data
    ]
    parts += [section(figure.title, "", figure.html()) for figure in figures.values()]
    parts += [_maps(gathered, each, out) for each in data if study.show == "table"]
    write_atomic(out / "report.html", page(study.title, "\n".join(parts)))
    return out / "report.html"


def _summary(gathered: Gathered) -> str:
    """How much of the study is there, and how to read it."""
    study = gathered.study
    trained = [cell for cell in study.cells if not cell.floor]
    total = len(trained) * len(gathered.data) * len(study.seeds)
    done = sum(len(gathered.of(data, cell)) for data in gathered.data for cell in trained)
    words = f"{done} of {total} runs are finished"
    words += f", {len(gathered.failed)} failed. " if gathered.failed else ". "
    words += f"Every other row is compared with {study.compare}"
    if len(trained) < len(study.cells):
        words += "; a method that does not beat the rows without training has learned nothing"
    return f'<p class="lead">{escape(words)}.</p>'


def _maps(gathered: Gathered, data: Data, out: Path) -> str:
    """Explanation maps of the compared cell's first run, in the page and as files; empty without a model."""
    compared = next(cell for cell in gathered.study.cells if cell.name == gathered.study.compare)
    outcomes = gathered.of(data, compared)
    if not outcomes or not (outcomes[0].run / "model" / "model.json").exists():
        return ""
    title = f"{compared.name} on {data.name}, explained"
    try:
        sheet = explanations(outcomes[0].run)
    except DrfmError as error:  # the benchmark was moved, say; the tables do not depend on it
        return section(title, "", f'<p class="soft">Not drawn. {escape(str(error))}</p>')
    write_atomic(out / f"maps-{data.name}.svg", sheet.svg())
    write_atomic(out / f"maps-{data.name}.png", sheet.png())
    words = "Where the similarity of a query and its match comes from, by Grad-CAM. It proves nothing."
    return section(title, words, sheet.html())


def _table(gathered: Gathered, data: Data, out: Path) -> str:
    """The benchmark's table; the number of seeds of a cell links to the record of each of its runs."""
    head = ["", *SCORES.values(), f"Rank-1 less {gathered.study.compare}", "records, by seed"]
    unbroken = [title.replace("-", "\N{NON-BREAKING HYPHEN}") for title in head]
    top = "".join(f"<th>{escape(title)}</th>" for title in unbroken)
    body = "".join(_row(gathered, data, out, *line[:3]) for line in rows(gathered, data))
    whole = f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="scroll"><table class="tight">{whole}</table></div>'


def _failures(gathered: Gathered, data: Data) -> str:
    """The runs that are missing from the table because they failed, and why; empty without any."""
    lines = unordered([f"{run}: {reason}" for run, reason in gathered.failures(data).items()])
    return f"<h3>Runs that failed</h3>{lines}" if lines else ""


def _row(
    gathered: Gathered,
    data: Data,
    out: Path,
    cell: Cell,
    scores: dict[str, Spread],
    beside: Difference | None,
) -> str:
    links = []
    for outcome in gathered.of(data, cell):
        record = "record.json" if (outcome.run / "record.json").exists() else "trained.json"
        address = (outcome.run / record).relative_to(out).as_posix()
        links.append(f'<a href="{escape(address)}">{outcome.seed}</a>')
    failed = [run for run in gathered.failures(data) if run.startswith(f"{cell.folder}/")]
    links += ["failed"] if failed else [] if links else ["not finished"]
    numbers = [str(scores[key]) if scores else "" for key in SCORES]
    cells = "".join(f"<td>{text}</td>" for text in [*numbers, beside or "", " ".join(links)])
    said = remark(cell, gathered.of(data, cell))
    name = escape(cell.name) + (f' <span class="soft">({said})</span>' if said else "")
    style = ' class="top"' if cell.name == gathered.study.compare else ""
    return f'<tr{style}><td class="word">{name}</td>{cells}</tr>'

"""The files that a study leaves beside its runs."""

from collections.abc import Sequence
from pathlib import Path

from drfm.files import write_atomic, write_json
from drfm.recipes.study.gather import gather, to_json
from drfm.recipes.study.plan import Data, Study
from drfm.recipes.study.tables import csv, markdown


def report_study(study: Study, data: Sequence[Data], out: Path) -> Path:
    """Write ``table.md``, ``table.csv`` and ``results.json`` of what is finished; returns the first."""
    gathered = gather(study, data, out)
    write_json(out / "results.json", to_json(gathered))
    write_atomic(out / "table.csv", csv(gathered))
    write_atomic(out / "table.md", markdown(gathered))
    return out / "table.md"

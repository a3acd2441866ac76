"""A study from benchmark to page, with real runs of a tiny network."""

import sys
from pathlib import Path

from drfm.recipes.study import run as runner
from drfm.recipes.study.plan import Cell, Study, open_data
from drfm.recipes.study.report import report_study
from drfm.recipes.study.run import run_study

TINY = Path(__file__).parents[2] / "engine" / "tiny_run.py"
COMMAND = (
    "import importlib.util, sys\n"
    f"spec = importlib.util.spec_from_file_location('tiny_run', {str(TINY)!r})\n"
    "spec.loader.exec_module(importlib.util.module_from_spec(spec))\n"
    "from drfm.cli import main\n"
    "sys.exit(main())\n"
)


def test_from_benchmark_to_page(tiny, bench, tmp_path, monkeypatch):
    monkeypatch.setattr(runner, "_COMMAND", (sys.executable, "-c", COMMAND))
    cells = (
        Cell("pixels", floor="pixels"),
        Cell("untrained", floor="untrained", of="DRFM"),
        Cell("A1", preset="a1"),
        Cell("ceiling", options={"labels.source": "ground_truth"}),
        Cell("DRFM"),
    )
    study = Study("small", "A small study", cells, (1,), compare="DRFM")
    data = open_data([bench])
    given = {**tiny.OPTIONS, "train.epochs": 1, "train.workers": 1}
    state = run_study(study, data, tmp_path, given=given, at_once=2)
    assert (len(state.done), state.failed) == (3, {})
    html = report_study(study, data, tmp_path).read_text()
    assert html.count("/record.json") == 4
    assert "explained" in html
    rows = (tmp_path / "table.csv").read_text().splitlines()
    assert [row.split(",")[1].strip('"') for row in rows[1:]] == [cell.name for cell in cells]
    assert (tmp_path / f"maps-{data[0].name}.png").read_bytes().startswith(b"\x89PNG")
    header = (tmp_path / data[0].name / "ceiling" / "seed1.log").read_text()
    assert "TRUE IDENTITIES" in header

"""A study from benchmark to page, with real runs of a tiny network."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from drfm.cli import main
from drfm.recipes.study import run as runner
from drfm.recipes.study import study_names
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


GRID = """
title: One that works and one that does not
seeds: [1]
compare: good
cells:
  good: {preset: a1}
  bad: {preset: a3, options: {labels.eps: 0.0001, labels.min_samples: 50}}
"""


@pytest.mark.slow
def test_the_command_tells_what_failed_and_does_nothing_twice(tiny, bench, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(runner, "_COMMAND", (sys.executable, "-c", COMMAND))
    (tmp_path / "grid.yaml").write_text(GRID)
    out = tmp_path / "out"
    given = {**tiny.OPTIONS, "train.epochs": 1, "train.workers": 1}
    del given["labels.eps"], given["labels.min_samples"]
    words = ["study", "run", str(tmp_path / "grid.yaml"), str(bench), "--out", str(out)]
    for option, value in given.items():
        words += [f"--{option}", "x".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    kept = []
    for _ in range(2):
        assert main(words) == 2
        said = capsys.readouterr()
        assert "1 done, 0 running, 1 failed, 0 waiting; " in said.err + said.out
        assert said.err.strip().splitlines()[-1] == (
            f"drfm: error: 1 runs failed; {out / 'failed.json'} says why"
        )
        html = (out / "report.html").read_text()
        assert "1 of 2 runs are finished, 1 failed." in html
        assert "bad/seed1: labels.eps = 0.0001, " in html
        assert "fewer than two clusters" in html
        (model,) = out.glob("*/good/seed1/model/model.safetensors")
        kept.append((model.stat().st_mtime_ns, (model.parents[2] / "seed1.log").stat().st_mtime_ns))
    assert kept[0] == kept[1], "what was finished was trained again"
    page = (out / "report.html").read_text()
    (out / "report.html").unlink()
    assert main(["study", "report", str(tmp_path / "grid.yaml"), str(bench), "--out", str(out)]) == 0
    assert (out / "report.html").read_text() == page


def test_the_command_refuses_in_a_line(bench, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    for words, line in (
        (["table2"], "drfm study: no benchmark named"),
        (["table9", str(bench)], "study = table9: no such study"),
        (["table2", str(bench), str(bench)], "there is another benchmark of the name"),
        (["table2", str(bench), "--at-once", "0"], "--at-once = 0: give 1 or more"),
        (["table2", str(bench), "--split", "99"], "split"),
    ):
        assert main(["study", "run", *words, *out]) == 2
        said = capsys.readouterr().err.strip()
        assert line in said
        assert len(said.splitlines()) == 1
    assert main(["study", "report", "table2", str(bench), *out]) == 2
    assert "no such folder; --out is the folder that `drfm study run` wrote" in capsys.readouterr().err
    (tmp_path / "out").mkdir()
    assert main(["study", "report", "table2", str(bench), *out]) == 0
    assert "0 of 24 runs are finished" in (tmp_path / "out" / "report.html").read_text()
    capsys.readouterr()
    assert main(["study", "list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == study_names()


SCRIPT = """
import json, sys
from pathlib import Path
from drfm.recipes.study import run as runner
from drfm.recipes.study.plan import Cell, Study, open_data
runner._COMMAND = (sys.executable, "-c", {command!r})
study = Study("s", "S", (Cell("A1", preset="a1"), Cell("DRFM")), (1,), compare="DRFM")
runner.run_study(study, open_data([Path({bench!r})]), Path({out!r}), given=json.loads({given!r}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("orphan", ["killed too", "left alone"])
def test_a_study_that_is_killed_ends_as_one_that_is_not(tiny, bench, tmp_path, monkeypatch, orphan):
    """`kill -9` amid its second run, with and without the run; then the same command."""
    monkeypatch.setattr(runner, "_COMMAND", (sys.executable, "-c", COMMAND))
    study = Study("s", "S", (Cell("A1", preset="a1"), Cell("DRFM")), (1,), compare="DRFM")
    given = {**tiny.OPTIONS, "train.epochs": 6, "train.iterations": 10, "train.workers": 1}
    data = open_data([bench])
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    script = SCRIPT.format(command=COMMAND, bench=str(bench), out=str(cut), given=json.dumps(given))
    process = subprocess.Popen([sys.executable, "-c", script], process_group=0)
    second = cut / data[0].name / "drfm" / "seed1"
    while not (second / "journal.jsonl").exists():
        assert process.poll() is None
        time.sleep(0.01)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in (process.pid, *map(int, children)) if orphan == "killed too" else (process.pid,):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    first = second.parents[1] / "a1" / "seed1" / "record.json"
    before = first.read_bytes()
    said = []
    state = run_study(study, data, cut, given=given, say=said.append)
    assert (len(state.done), state.failed) == (2, {})
    assert first.read_bytes() == before
    run_study(study, data, whole, given=given)
    for name in ("a1", "drfm"):
        one, other = (folder / data[0].name / name / "seed1" for folder in (cut, whole))
        assert (one / "model/model.safetensors").read_bytes() == (
            other / "model/model.safetensors"
        ).read_bytes()
        rows = [json.loads((run / "trained.json").read_text())["rows"] for run in (one, other)]
        assert rows[0] == rows[1]

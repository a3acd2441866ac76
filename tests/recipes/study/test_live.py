"""The table that follows a study."""

import io
import json
from pathlib import Path

from rich.console import Console

from drfm.files import write_json
from drfm.recipes.study.live import table
from drfm.recipes.study.plan import Cell, Data, Study, jobs
from drfm.recipes.study.run import State


def shown(state):
    console = Console(file=io.StringIO(), width=100)
    console.print(table(state))
    return console.file.getvalue()


def test_every_run_has_a_word(tmp_path):
    study = Study("s", "S", (Cell("a"), Cell("b")), (1, 2))
    data = [Data("ONE", Path("bench"))]
    state = State(jobs(study, data, tmp_path, "", {"train.epochs": 8}))
    runs = {(job.cell.name, job.seed): job.run for job in state.jobs}
    write_json(runs["a", 1] / "record.json", {"headline": {"rank1": 0.256}})
    state.done.add(runs["a", 1])
    state.failed[runs["a", 2]] = "a bad day"
    state.running |= {runs["b", 1], runs["b", 2]}
    runs["b", 1].mkdir(parents=True)
    lines = [json.dumps({"epoch": epoch}) for epoch in range(2)]
    (runs["b", 1] / "journal.jsonl").write_text("\n".join(lines) + "\n")
    text = shown(state)
    assert "25.6%  failed" in text
    assert "epoch 3/8  epoch 1/8" in text
    assert "1 done, 2 running, 1 failed, 0 waiting" in " ".join(text.split())
    state.running.clear()
    assert "waiting  waiting" in shown(state)


def test_a_journal_that_is_being_written_does_not_stop_the_table(tmp_path):
    state = State(jobs(Study("s", "S", (Cell("a"),), (1,)), [Data("ONE", Path("b"))], tmp_path, "", {}))
    run = state.jobs[0].run
    state.running.add(run)
    run.mkdir(parents=True)
    (run / "journal.jsonl").write_text(json.dumps({"epoch": 0}) + '\n{"epo')
    assert "epoch 2/40" in shown(state)

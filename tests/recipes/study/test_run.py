"""The runner, with a stand-in for `drfm train` that leaves the files of a run."""

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from drfm.errors import DrfmError
from drfm.files import folder_lock, read_json
from drfm.recipes.study import run as runner
from drfm.recipes.study.plan import Cell, Data, Study
from drfm.recipes.study.run import run_study

TRAIN = textwrap.dedent(
    """
    import json, sys, time, pathlib
    from dataclasses import replace
    from drfm.config.load import load_config, to_dict
    words = dict(zip(sys.argv[3::2], sys.argv[4::2]))
    run = pathlib.Path(words["--run"])
    with open(run.parents[2] / "starts", "a") as log:
        log.write(f"{run.parent.name}/{run.name}\\n")
    begun, device = time.time(), words.get("--train.device", "")
    config = load_config(file=pathlib.Path(words["--config"])).config
    config = replace(config, train=replace(config.train, device=device or config.train.device))
    if config.labels.t == 0.5:
        print("drfm: error: labels.t = 0.5: a bad day", flush=True)
        sys.exit(2)
    time.sleep(config.train.lr_step / 1000)
    run.mkdir(exist_ok=True)
    record = {"identity": "i", "config": to_dict(config), "started": "now"}
    record["benchmark"] = {"id": "b", "split": int(words["--split"])}
    record["headline"] = {"rank1": 0.25}
    (run / "record.json").write_text(json.dumps(record))
    if device:
        with open(run.parents[2] / "devices", "a") as log:
            log.write(f"{device} {begun} {time.time()}\\n")
    """
)
DATA = [Data("ONE", Path("bench/one")), Data("TWO", Path("bench/two"))]
GRID = Study("grid", "A grid", (Cell("a"), Cell("bad", options={"labels.t": 0.5}), Cell("b")), (1, 2))


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    monkeypatch.setattr(runner, "_COMMAND", (sys.executable, "-c", TRAIN))
    monkeypatch.setattr(runner, "_PAUSE", 0.01)


def starts(out):
    return (out / "starts").read_text().split()


def test_a_failing_cell_stops_nothing_and_says_why(tmp_path):
    said = []
    state = run_study(GRID, DATA[:1], tmp_path, at_once=2, say=said.append)
    assert len(state.done) == 4
    assert sorted(read_json(tmp_path / "failed.json")) == ["ONE/bad/seed1", "ONE/bad/seed2"]
    assert set(state.failed.values()) == {"labels.t = 0.5: a bad day"}
    assert any(line.startswith("ONE/bad/seed1: FAILED (labels.t = 0.5: a bad day)") for line in said)


def test_a_run_that_leaves_another_record_stops_nothing(tmp_path, monkeypatch):
    """Such as one of a program that was changed while the study ran."""
    changed = TRAIN.replace('"headline"] =', '"headline"] = record["config"]["labels"]["new"] =')
    monkeypatch.setattr(runner, "_COMMAND", (sys.executable, "-c", changed))
    study = Study("s", "S", (Cell("a"), Cell("b")), (1,))
    state = run_study(study, DATA[:1], tmp_path)
    assert (len(state.done), len(state.failed)) == (0, 2)
    assert all("labels.new: no such option" in reason for reason in state.failed.values())


def test_a_floor_that_cannot_be_tested_stops_nothing(tmp_path):
    cells = (Cell("pixels", floor="pixels"), Cell("a"))
    said = []
    state = run_study(Study("s", "S", cells, (1,)), DATA[:1], tmp_path, say=said.append)
    assert [path.parent.name for path in state.done] == ["a"]
    assert list(read_json(tmp_path / "failed.json")) == ["ONE/pixels/seed1"]
    assert any(line.startswith("ONE/pixels/seed1: FAILED (bench/one") for line in said)
    assert state.line() == "1 done, 0 running, 1 failed, 0 waiting"


def test_a_run_under_way_elsewhere_is_waited_for(tmp_path):
    """Such as one that outlived its study, which was killed."""
    good = Study("good", "Good", (Cell("a"), Cell("b")), (1,))
    run_study(good, DATA[:1], tmp_path)
    finished = tmp_path / "ONE/a/seed1"
    record = (finished / "record.json").read_bytes()
    (finished / "record.json").unlink()
    said, freed = [], threading.Event()

    def elsewhere():
        with folder_lock(finished):
            held.set()
            while not any("under way in another process" in line for line in said):
                time.sleep(0.01)
            (finished / "record.json").write_bytes(record)
        freed.set()

    held = threading.Event()
    threading.Thread(target=elsewhere).start()
    assert held.wait(60)
    state = run_study(good, DATA[:1], tmp_path, say=said.append)
    assert freed.wait(60)
    assert (len(state.done), state.failed) == (2, {})
    assert sorted(starts(tmp_path)) == ["a/seed1", "b/seed1"]
    assert sum("under way" in line for line in said) == 1


def test_nothing_is_done_twice(tmp_path):
    good = Study("good", "Good", (Cell("a"), Cell("b")), (1, 2))
    run_study(good, DATA[:1], tmp_path)
    first = starts(tmp_path)
    assert len(first) == 4
    assert run_study(good, DATA[:1], tmp_path).done == {tmp_path / "ONE" / f for f in map(Path, first)}
    assert starts(tmp_path) == first


def test_every_cell_has_its_first_seed_before_any_second(tmp_path):
    good = Study("good", "Good", (Cell("a"), Cell("b")), (1, 2))
    run_study(good, DATA, tmp_path)
    assert [name[-1] for name in starts(tmp_path)] == ["1"] * 4 + ["2"] * 4


def test_layers_of_a_run(tmp_path):
    cell = Cell("a", preset="cpu", options={"labels.k2": 5})
    data = {"ONE": {"train.iterations": 7, "train.epochs": 3}}
    study = Study("s", "S", (cell,), (4,), data=data)
    job = run_study(study, DATA[:1], tmp_path, given={"train.epochs": 2, "labels.k2": 9}).jobs[0]
    config = job.resolved.config
    assert (config.model.backbone, config.train.iterations, config.train.epochs) == (
        "efficientnet_lite0",
        7,
        2,
    )
    assert (config.labels.k2, config.seed) == (5, 4)


def test_other_options_in_the_same_folder_are_refused(tmp_path):
    good = Study("good", "Good", (Cell("a"),), (1,))
    run_study(good, DATA[:1], tmp_path)
    with pytest.raises(DrfmError, match=r"was begun with labels\.k1 = 30, not 12"):
        run_study(good, DATA[:1], tmp_path, given={"labels.k1": 12})


@pytest.mark.parametrize(("id", "split", "said"), [("b", 1, "b, split 1"), ("c", 0, "c, split 0")])
def test_runs_of_another_benchmark_or_split_are_not_taken_for_its_own(tmp_path, id, split, said):
    good = Study("good", "Good", (Cell("a"),), (1,))
    run_study(good, [replace(DATA[0], id="b")], tmp_path)
    assert len(run_study(good, [replace(DATA[0], id="b")], tmp_path).done) == 1
    with pytest.raises(DrfmError, match=f"was begun on benchmark b, split 0, not {said}; give the same"):
        run_study(good, [replace(DATA[0], id=id, split=split)], tmp_path)
    assert starts(tmp_path) == ["a/seed1"]


def test_every_device_has_one_run_at_a_time(tmp_path):
    study = Study("s", "S", tuple(Cell(name) for name in "abcdef"), (1,))
    devices, said, given = ("cuda:0", "cuda:1"), [], {"train.lr_step": 300}
    state = run_study(study, DATA[:1], tmp_path, devices=devices, at_once=5, given=given, say=said.append)
    assert len(state.done) == 6
    spans = [line.split() for line in (tmp_path / "devices").read_text().splitlines()]
    assert {device for device, _, _ in spans} == set(devices)
    for device in devices:
        own = sorted((float(start), float(end)) for name, start, end in spans if name == device)
        assert len(own) > 1
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(own))
    assert said[1].endswith("1 done, 1 running, 0 failed, 4 waiting"), "side by side"
    # The place where a run was trained is no part of it.
    assert run_study(study, DATA[:1], tmp_path, given=given).done == state.done
    assert len(starts(tmp_path)) == 6


def test_a_bad_option_is_told_before_anything_is_trained(tmp_path):
    with pytest.raises(DrfmError, match="k9: no such option"):
        run_study(Study("s", "S", (Cell("a"), Cell("b", options={"labels.k9": 1}))), DATA, tmp_path)
    assert not (tmp_path / "starts").exists()


SCRIPT = """
import sys
from pathlib import Path
from drfm.recipes.study import run as runner
from drfm.recipes.study.plan import Cell, Data, Study
runner._COMMAND = (sys.executable, "-c", {train!r})
cells = (Cell("bad", options={{"labels.t": 0.5}}), *(Cell(name) for name in "abcd"))
study, out = Study("s", "S", cells, (1,)), Path({out!r})
runner.run_study(study, [Data("ONE", Path("bench/one"))], out, given={{"train.lr_step": 700}})
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_killed_or_stopped_and_run_again(tmp_path, number):
    """The finished runs stay, and the same command does the rest."""
    script = SCRIPT.format(train=TRAIN, out=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", script], process_group=0, stderr=subprocess.PIPE)
    wait_for(lambda: len(list(tmp_path.glob("ONE/*/seed1/record.json"))) >= 1, process)
    os.kill(process.pid, number)
    _, said = process.communicate()
    if number != signal.SIGKILL:
        assert b"KeyboardInterrupt: stopped, every run saved; the same command goes on" in said
        assert list(read_json(tmp_path / "failed.json")) == ["ONE/bad/seed1"]
    before = {path: path.read_bytes() for path in tmp_path.glob("ONE/*/seed1/record.json")}
    time.sleep(1)  # what was under way may end by itself
    study = Study("s", "S", tuple(Cell(name) for name in "abcd"), (1,))
    state = run_study(study, DATA[:1], tmp_path, given={"train.lr_step": 700})
    assert (len(state.done), state.failed) == (4, {})
    assert all(path.read_bytes() == content for path, content in before.items())
    begun = starts(tmp_path)
    assert all(begun.count(str(path.parent.relative_to(tmp_path / "ONE"))) == 1 for path in before)


def wait_for(condition, process):
    for _ in range(12000):
        if condition():
            return
        assert process.poll() is None
        time.sleep(0.01)
    raise AssertionError("waited for two minutes in vain")


def test_records_are_read_back(tmp_path):
    run_study(Study("good", "Good", (Cell("a"),), (1,)), DATA[:1], tmp_path)
    assert json.loads((tmp_path / "ONE/a/seed1/record.json").read_text())["headline"] == {"rank1": 0.25}

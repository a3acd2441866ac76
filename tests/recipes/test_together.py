"""The command line under torchrun."""

import json
import os
import subprocess
import sys
from pathlib import Path

from drfm.engine.checkpoint import load_checkpoint


def test_two_processes_leave_one_finished_run(words, tmp_path):
    run = tmp_path / "run"
    small = {"model__backbone": "resnet18", "train__epochs": 1, "train__iterations": 2}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    # Without the two dashes torchrun takes --run for one of its own options.
    command = [*launcher, "-m", "--", "drfm", *words(run, **small), "--profile"]
    ran = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("epoch 1/1") == 1  # the first process alone speaks
    assert ran.stdout.count("of the bare network's rate") == 1
    record = json.loads((run / "record.json").read_text())
    assert set(record["headline"]) >= {"rank1"}
    assert record["model"]["sha256"]
    assert load_checkpoint(run / "checkpoint.pt")["progress"]["epoch"] == 1
    assert {"model", "trained.json", "profile.json", "journal.jsonl"} <= {p.name for p in run.iterdir()}
    (epoch,) = json.loads((run / "profile.json").read_text())["epochs"]
    assert epoch["steps"] == 2


def test_the_package_is_a_command():
    command = [sys.executable, "-m", "drfm", "version"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("drfm ")

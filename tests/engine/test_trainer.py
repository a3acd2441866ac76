import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from drfm.engine.checkpoint import load_checkpoint
from drfm.engine.journal import epoch_line
from drfm.engine.trainer import Interrupted
from drfm.errors import DrfmError
from drfm.learning import batchnorm
from drfm.models.graphs import Graphs


def same(a, b) -> bool:
    """Bit for bit, through dicts and lists; timings do not count."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a if k != "seconds")
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


@pytest.fixture(scope="module")
def whole(tiny, tmp_path_factory) -> Path:
    """Four epochs in one go."""
    torch.set_num_threads(1)
    run = tmp_path_factory.mktemp("whole")
    tiny.tiny_trainer(run, 4).fit()
    return run


def journal(run: Path) -> list[dict]:
    lines = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "seconds"} for line in lines]


def assert_same_run(run: Path, other: Path) -> None:
    assert same(load_checkpoint(run / "checkpoint.pt"), load_checkpoint(other / "checkpoint.pt"))
    assert journal(run) == journal(other)


def test_the_run_trains_all_that_there_is(whole):
    entries = journal(whole)
    assert [entry["epoch"] for entry in entries] == [0, 1, 2, 3]
    assert {"cc", "ic", "total"} <= entries[0]["loss"].keys()
    assert any("ps" in entry["loss"] for entry in entries)
    assert all(entry["clusters"] >= 2 for entry in entries)


def test_two_and_two_epochs_are_four(tiny, whole, tmp_path):
    tiny.tiny_trainer(tmp_path, 2).fit()
    tiny.tiny_trainer(tmp_path, 4).fit()
    assert_same_run(tmp_path, whole)


def test_kill_nine_in_the_middle_of_an_epoch(whole, tmp_path):
    script = Path(__file__).with_name("tiny_run.py")
    command = [sys.executable, str(script), str(tmp_path), "4"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([*command, "7"], env=environment, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(journal(tmp_path)) == 2
    subprocess.run(command, env=environment, check=True)
    assert_same_run(tmp_path, whole)


@pytest.mark.parametrize("steps", [1, 3, 5])
def test_ctrl_c_saves_at_the_step_and_goes_on_bit_for_bit(tiny, whole, tmp_path, steps):
    trainer = tiny.tiny_trainer(tmp_path, 4)
    step, left = trainer._step, steps

    def interrupting(*arguments):
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return step(*arguments)

    trainer._step = interrupting
    with pytest.raises(Interrupted):
        trainer.fit()
    tiny.tiny_trainer(tmp_path, 4).fit()
    assert_same_run(tmp_path, whole)


def test_ctrl_c_while_features_are_extracted_ends_at_once(tiny, whole, tmp_path):
    tiny.tiny_trainer(tmp_path, 2).fit()
    trainer = tiny.tiny_trainer(tmp_path, 4)
    trainer._extract = lambda: os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(Interrupted):
        trainer.fit()
    tiny.tiny_trainer(tmp_path, 4).fit()
    assert_same_run(tmp_path, whole)


def test_signal_handlers_are_put_back(tiny, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    tiny.tiny_trainer(tmp_path, 1).fit()
    assert signal.getsignal(signal.SIGINT) is before


def test_a_finished_run_is_left_as_it_is(tiny, whole):
    before = (whole / "checkpoint.pt").read_bytes()
    tiny.tiny_trainer(whole, 4).fit()
    assert (whole / "checkpoint.pt").read_bytes() == before


def test_another_runs_checkpoint_is_refused(tiny, whole, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes((whole / "checkpoint.pt").read_bytes())
    trainer = tiny.tiny_trainer(tmp_path, 4)
    trainer.identity = "another"
    with pytest.raises(DrfmError, match="another configuration or benchmark"):
        trainer.fit()


def test_a_loss_that_is_not_finite_stops_with_the_batch_on_record(tiny, tmp_path):
    trainer = tiny.tiny_trainer(tmp_path, 1)
    losses = trainer.method.losses
    trainer.method.losses = lambda *a: {**losses(*a), "bad": torch.tensor(float("nan"), requires_grad=True)}
    with pytest.raises(DrfmError, match=r"loss total, bad is not finite in epoch 1, step 1.*train\.lr"):
        trainer.fit()
    record = json.loads((tmp_path / "not_finite.json").read_text())
    assert record["losses"]["bad"] == "nan"
    assert set(record["images"]) <= set(trainer.pairs.names)


def test_validation_and_quality_are_called_and_written(tiny, tmp_path):
    trainer = tiny.tiny_trainer(tmp_path, 2, **{"train.evaluate_every": 2})
    seen = []
    trainer.observe = lambda labels: seen.append(labels) or {"f": 0.5, "cross_f": 0.25}
    trainer.validate = lambda: {"rank1": 0.75}
    trainer.say = seen.append
    trainer.fit()
    first, second = journal(tmp_path)
    assert "evaluation" not in first
    assert second["evaluation"] == {"rank1": 0.75}
    assert second["quality"] == {"f": 0.5, "cross_f": 0.25}
    assert "label F 0.500 (cross-resolution 0.250)  Rank-1 75.0%" in seen[-1]


def test_a_fallback_is_said_on_the_console():
    entry = {"epoch": 0, "loss": {"total": 1.0}, "clusters": 0, "coverage": 0.0, "seconds": {}}
    assert "warning" not in epoch_line({**entry, "labels": {"clusters": 0}}, 4)
    line = epoch_line({**entry, "labels": {"fallback": "clustering found no cluster"}}, 4)
    assert line.endswith("\n  warning: clustering found no cluster")


def test_what_makes_steps_slower_is_said_once(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(batchnorm, "_WHY_NOT", {torch.bfloat16: "", torch.float32: "no compiler"})
    trainer, said = tiny.tiny_trainer(tmp_path, 2), []
    trainer.say = said.append
    trainer._graphs = [Graphs(trainer.method.model.hr_encoder.backbone)]
    trainer._graphs[0].refused = "out of memory"
    trainer.fit()
    assert [line for line in said if "longer" in line] == [
        "BatchNorm without Triton's kernels, steps take longer: no compiler",
        "no CUDA graphs, steps take longer: out of memory",
    ]

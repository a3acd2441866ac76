import contextlib
import json

import pytest
import torch

from drfm.engine import profile
from drfm.engine.profile import PARTS, STEP, Call, Clock, bare_seconds, beside, lines, summary, write_profile
from drfm.models.backbones import build_backbone


@pytest.fixture
def time(monkeypatch) -> list[float]:
    """A clock that the test sets."""
    now = [0.0]
    monkeypatch.setattr(profile.time, "perf_counter", lambda: now[0])
    return now


def test_a_part_within_a_part_is_taken_out_of_it(time):
    clock = Clock(torch.device("cpu"), watching=True)
    with clock.part("losses"):
        time[0] += 1
        with clock.part("forward"):
            time[0] += 2
            with clock.part("images"):
                time[0] += 4
        time[0] += 8
        with clock.part("forward"):
            time[0] += 16
    time[0] += 32
    assert clock.seconds == {"losses": 9, "forward": 18, "images": 4}
    found = summary(
        clock,
        0,
        1,
        62,
    )
    assert found["seconds"]["other"] == 32
    assert sum(found["seconds"].values()) == found["whole"] == 63
    assert found["images_per_second"] == 2
    assert beside(found, 15.5)["share_of_bare_rate"] == 0.5
    assert "bare_step_seconds" not in beside(found, None)


def test_a_part_ends_with_an_error_too(time):
    clock = Clock(torch.device("cpu"), watching=True)
    with contextlib.suppress(ValueError), clock.part("images"):
        time[0] += 1
        raise ValueError
    with clock.part("memory"):
        time[0] += 2
    assert clock.seconds == {"images": 1, "memory": 2}


def test_a_clock_that_does_not_watch_asks_nothing(tiny, monkeypatch, tmp_path):
    monkeypatch.setattr(Clock, "_now", None)
    trainer = tiny.tiny_trainer(tmp_path, 1)
    trainer.fit()
    assert trainer.clock.seconds == {}
    assert not (tmp_path / "profile.json").exists()


@pytest.mark.parametrize("preset", ["paper", "pplr"])
def test_a_run_says_where_its_time_went(tiny, tmp_path, preset):
    said = []
    trainer = tiny.tiny_trainer(tmp_path, 2, preset=preset, profile=True)
    trainer.say = said.append
    trainer.fit()
    epochs = json.loads((tmp_path / "profile.json").read_text())["epochs"]
    assert [epoch["epoch"] for epoch in epochs] == [0, 1]
    for epoch in epochs:
        assert {"extract", "relabel", "record", *STEP} <= epoch["seconds"].keys() <= {*PARTS, "other"}
        assert sum(epoch["seconds"].values()) == pytest.approx(epoch["whole"], rel=0.01)
        assert 0 < epoch["share_of_bare_rate"] < 5
        assert epoch["peak_memory_bytes"] > 1e7
    assert said[1].startswith("profile of epoch 1: ")
    assert "of the bare network's rate" in said[1]
    assert "images/s" in said[0]


def test_watching_changes_no_weight(tiny, tmp_path):
    weights = []
    for name in ("watched", "plain"):
        (tmp_path / name).mkdir()
        trainer = tiny.tiny_trainer(tmp_path / name, 1, profile=name == "watched")
        trainer.fit()
        weights.append(trainer.method.model.state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_the_bare_network_is_a_copy():
    backbone = build_backbone("resnet18", 1).train()
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    calls = [Call(backbone, (2, 3, 32, 16), True, False), Call(backbone, (1, 3, 32, 16), False, True)]
    assert bare_seconds(calls, torch.device("cpu"), repeats=1) > 0
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())
    assert all(parameter.grad is None for parameter in backbone.parameters())


def test_an_epoch_that_is_done_again_takes_its_old_place(tmp_path):
    path = tmp_path / "profile.json"
    for epoch, whole in ((0, 1), (1, 2), (2, 3), (1, 4)):
        write_profile(path, torch.device("cpu"), {"epoch": epoch, "whole": whole})
    assert [e["whole"] for e in json.loads(path.read_text())["epochs"]] == [1, 4]
    path.write_text("not JSON")
    write_profile(path, torch.device("cpu"), {"epoch": 0, "whole": 5})
    assert [e["whole"] for e in json.loads(path.read_text())["epochs"]] == [5]


def test_the_table_has_a_line_for_each_part():
    found = {"epoch": 3, "whole": 4.0, "seconds": {"extract": 1.0, "other": 3.0}, "images_per_second": 7.4,
             "peak_memory_bytes": 2_500_000_000}  # fmt: skip
    assert lines(found).splitlines() == [
        "profile of epoch 4: 4.0 s",
        "  extract         1.00 s  25.0%",
        "  other           3.00 s  75.0%",
        "  7 images/s in steps; peak memory 2.50 GB",
    ]

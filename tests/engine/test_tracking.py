import pytest

from drfm.engine.tracking import numbers, write_curves

ENTRY = {"epoch": 3, "loss": {"cc": 1.5}, "clusters": 7, "labels": {"fallback": "words"}, "flag": True}


def test_numbers_are_named_by_their_path():
    assert dict(numbers(ENTRY)) == {"loss/cc": 1.5, "clusters": 7.0}


def test_curves_are_replaced_and_not_doubled(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):
        write_curves(tmp_path, [{**ENTRY, "epoch": e} for e in range(2)])
    assert len(list(tmp_path.iterdir())) == 1
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss/cc")] == [(0, 1.5), (1, 1.5)]

import pickle
import threading

import pytest
import torch

from drfm.engine import checkpoint
from drfm.engine.checkpoint import CheckpointWriter, load_checkpoint, save_checkpoint
from drfm.errors import DrfmError


def test_round_trip(tmp_path):
    state = {"a": torch.arange(5.0), "b": {"c": [1, 2.5, "x", None]}}
    save_checkpoint(tmp_path / "c.pt", state)
    found = load_checkpoint(tmp_path / "c.pt")
    assert torch.equal(found["a"], state["a"])
    assert found["b"] == state["b"]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign"])
def test_damage_is_one_line_that_names_the_file(tmp_path, damage):
    path = tmp_path / "c.pt"
    save_checkpoint(path, {"a": torch.arange(100.0)})
    raw = path.read_bytes()
    changed = {
        "cut": raw[: len(raw) // 2],
        "flip": raw[:-20] + bytes([raw[-20] ^ 1]) + raw[-19:],
        "empty": b"",
        "foreign": pickle.dumps({"a": 1}),
    }[damage]
    path.write_bytes(changed)
    with pytest.raises(DrfmError, match=r"c\.pt: .*delete it") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(DrfmError, match="cannot be read"):
        load_checkpoint(tmp_path / "none.pt")


def test_code_in_a_checkpoint_is_not_run(tmp_path, monkeypatch):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    save_checkpoint(tmp_path / "c.pt", {"evil": Evil()})
    with pytest.raises(pickle.UnpicklingError):
        load_checkpoint(tmp_path / "c.pt")


def held_back(monkeypatch):
    """Writing waits for the event that is returned."""
    go, write = threading.Event(), checkpoint.write_atomic

    def waiting(path, data):
        assert go.wait(10)
        write(path, data)

    monkeypatch.setattr(checkpoint, "write_atomic", waiting)
    return go


def test_a_writer_keeps_the_state_of_the_moment_and_does_not_wait_for_the_disk(tmp_path, monkeypatch):
    path, state = tmp_path / "c.pt", {"a": torch.zeros(3)}
    go = held_back(monkeypatch)
    with CheckpointWriter() as writer:
        writer.save(path, state)
        state["a"].fill_(7)
        assert not path.exists()
        go.set()
    assert torch.equal(load_checkpoint(path)["a"], torch.zeros(3))


def test_a_writer_writes_one_after_the_other(tmp_path, monkeypatch):
    path = tmp_path / "c.pt"
    writer = CheckpointWriter()
    for number in range(5):
        writer.save(path, {"a": number})
    writer.wait()
    assert load_checkpoint(path) == {"a": 4}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("at", ["save", "end"])
def test_what_could_not_be_written_is_said_at_the_next_chance(tmp_path, at):
    writer = CheckpointWriter()
    (tmp_path / "file").touch()
    writer.save(tmp_path / "file" / "c.pt", {"a": 1})
    with pytest.raises(DrfmError, match=r"c\.pt: cannot be written"):
        writer.save(tmp_path / "c.pt", {"a": 2}) if at == "save" else writer.wait()
    writer.wait()  # it was said once

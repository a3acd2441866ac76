import pickle

import pytest
import torch

from drfm.engine.checkpoint import load_checkpoint, save_checkpoint
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

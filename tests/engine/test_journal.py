import pytest

from drfm.engine.journal import Journal
from drfm.errors import DrfmError


def test_append_read_cut(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    assert journal.read() == []
    journal.cut(0)
    assert not journal.path.exists()
    for epoch in range(3):
        journal.append({"epoch": epoch})
    journal.cut(2)
    assert journal.read() == [{"epoch": 0}, {"epoch": 1}]


def test_a_last_line_that_a_crash_cut_is_left_out(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append({"epoch": 0})
    with journal.path.open("a") as file:
        file.write('{"epoch": 1, "lo')
    assert journal.read() == [{"epoch": 0}]


def test_a_damaged_line_before_the_last_is_named(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.path.write_text('{"epoch": 0}\nnonsense\n{"epoch": 2}\n')
    with pytest.raises(DrfmError, match="line 2"):
        journal.read()


def test_not_a_number_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        Journal(tmp_path / "journal.jsonl").append({"epoch": 0, "loss": float("nan")})
